"""The docstrings of the losses: whole for readers, and without repetition in the source."""

from __future__ import annotations

import inspect
import pydoc
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

import lossless
from lossless import _docstrings

NAMES = [name for name in lossless.__all__ if name.endswith(("_loss", "_entropy"))]
SECTIONS = ["Args:", "Returns:", "Raises:", "Special values:", "Example:", "References:"]
OWN = """The toy loss, as {a} \\frac{1}{2}.

    More about it.

    Args:
        scale: how steep it is, over
            two lines.
        inputs: the weights of toys.
        where: Broken toys count as false.

    Returns:
        Toys are never negative.

    Raises:
        TypeError: a `scale` of wood.
        ToyError: no toys.

    Example:
        >>> 1
        1

    *New in 9.9.*
    """


def doc(name: str) -> str:
    text = getattr(lossless, name).__doc__
    assert isinstance(text, str)
    return text


def own(name: str) -> str:
    """What the source of the loss says, on one line."""
    return " ".join(inspect.unwrap(getattr(lossless, name)).__doc__.split())


def section(text: str, header: str) -> str:
    found = re.search(rf"^{header}\n((?: .*\n|\n)*)", f"{text}\n", re.MULTILINE)
    assert found, header
    return found[1]


def sentences(text: str, words: int) -> list[str]:
    """The sentences with at least this number of words."""
    return [part for part in re.split(r"(?<=[.;:]) ", text) if len(part.split()) >= words]


def texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, tuple | list):
        for one in value:
            yield from texts(one)
    elif isinstance(value, dict):
        yield from texts([*value.values()])


def toy(inputs: Any, targets: Any, scale: float = 1.0, *, where: Any = None) -> None:
    """A signature."""


@pytest.mark.parametrize("name", NAMES)
def test_parameters_are_described_in_the_order_of_the_signature(name: str) -> None:
    described = re.findall(r"^    (\w+): \S", section(doc(name), "Args:"), re.MULTILINE)
    assert list(inspect.signature(getattr(lossless, name)).parameters) == described


@pytest.mark.parametrize("name", NAMES)
def test_sections_are_there_once_and_in_order(name: str) -> None:
    headers = [line for line in doc(name).splitlines() if line in SECTIONS]
    assert SECTIONS == headers
    assert all(section(doc(name), header).strip() for header in SECTIONS)
    assert doc(name).endswith("*New in 0.1.0.*")
    assert ".. math::" in doc(name).split("Args:")[0]


@pytest.mark.parametrize("name", NAMES)
def test_docstrings_are_ready_to_read(name: str) -> None:
    loss = getattr(lossless, name)
    assert doc(name) == inspect.getdoc(loss)
    shown = pydoc.render_doc(loss, renderer=pydoc.plaintext)  # type: ignore[attr-defined]
    assert doc(name) in re.sub(r"^    ", "", shown, flags=re.MULTILINE)
    assert [] == [
        line for line in doc(name).splitlines() if len(line) > 96 or line != line.rstrip()
    ]
    assert "\n\n\n" not in doc(name)
    assert not {"FIRST", "OPERANDS"} & set(re.findall(r"\w+", doc(name)))


@pytest.mark.parametrize("name", NAMES)
def test_the_source_has_only_its_own_part(name: str) -> None:
    common = sentences(" ".join(texts([*vars(_docstrings).values()])), words=8)
    assert len(common) > 10
    assert [] == [sentence for sentence in common if sentence in own(name)]


def test_no_two_sources_have_a_long_sentence_in_common() -> None:
    count = Counter(text for name in NAMES for text in set(sentences(own(name), words=12)))
    assert [] == [sentence for sentence, times in count.items() if times > 1]


def test_own_words_and_common_ones_are_combined() -> None:
    text = _docstrings.complete(OWN, inspect.signature(toy))
    before, _, after = text.partition("Args:\n")
    assert "The toy loss, as {a} \\frac{1}{2}.\n\nMore about it.\n\n" == before
    arguments = " ".join(section(text, "Args:").split())
    assert arguments.startswith("inputs: the weights of toys, an array of any shape, of NumPy")
    assert "targets: the true values, of the same shape." in arguments
    assert "scale: how steep it is, over two lines. where: a boolean array" in arguments
    assert arguments.endswith("its loss is 0. Broken toys count as false.")
    assert "`inputs` and `targets`:" in section(text, "Returns:")
    assert " ".join(section(text, "Returns:").split()).endswith("Toys are never negative.")
    raises = " ".join(section(text, "Raises:").split())
    assert "that is not boolean; a `scale` of wood. ValueError: shapes" in raises
    assert raises.endswith("without a reduction. ToyError: no toys.")
    assert after.endswith("no toys.\n\nExample:\n    >>> 1\n    1\n\n*New in 9.9.*")


def test_a_docstring_without_sections_gets_them() -> None:
    text = _docstrings.complete("A toy.", inspect.signature(toy))
    assert text.startswith("A toy.\n\nArgs:\n    inputs: the predictions, an array of any shape")
    assert "scale" not in section(text, "Args:")
    assert "Returns:" in text


@pytest.mark.parametrize("name", NAMES)
def test_derivatives_say_what_they_return(name: str) -> None:
    both = lossless.value_and_grad(getattr(lossless, name))
    assert f"Return `(value, gradient)` of `{name}`" in (inspect.getdoc(both) or "")
    if hasattr(getattr(lossless, name), "_grad_and_hess"):
        both = lossless.grad_and_hess(getattr(lossless, name))
        assert f"Return `(gradient, second_derivative)` of `{name}`" in (both.__doc__ or "")


def test_the_package_works_without_docstrings() -> None:
    script = (
        "import lossless; f = lossless.huber_loss; assert f.__doc__ is None, f.__doc__; "
        "assert lossless.value_and_grad(f).__doc__ is None; print(float(f(3.0, 1.0)))"
    )
    done = subprocess.run(
        [sys.executable, "-OO", "-c", script], capture_output=True, text=True, check=False
    )
    assert ("1.5\n", "") == (done.stdout, done.stderr)
