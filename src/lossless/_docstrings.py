"""The docstrings of the losses: what all of them have in common is written here, once.

The docstring in the source of a loss has only its own part. `complete` adds the common part when
the loss is defined, so that `help()`, IPython and Sphinx show all of it.
"""

from __future__ import annotations

import inspect
from functools import cache

WIDTH = 96  # of a line; help() indents by 4

_LIBRARIES = "of NumPy, MLX, PyTorch, JAX or another library that follows the Python array API"

_LATER = ("Special values:", "Example:", "References:")  # the sections of a loss alone

# The first arguments, unless the loss has words of its own, and what follows these words.
_OPERANDS = ("the predictions", "the true values")
_SHAPES = (
    f"an array of any shape, {_LIBRARIES} standard.",
    "of the same shape. Either one may be a scalar instead; other shapes are not broadcast.",
)
_SHAPES_OF_ROWS = (f"an array of at least one dimension, {_LIBRARIES} standard.",)

# The other arguments that losses share. What a loss says about them is added.
_REDUCTION = (
    '`"none"` (an array of losses), `"sum"`, `"mean"` (the sum divided by the number of elements '
    'that `where` selects) or `"weighted_mean"` (the sum divided by the sum of the weights; NaN '
    "if that is 0)."
)
_WEIGHTS = "factors of the losses, a number or an array that broadcasts to their shape."
_OPTIONS = {
    "reduction": _REDUCTION,
    "weights": _WEIGHTS,
    "where": "a boolean array that broadcasts to the shape of the losses. An element where it is "
    'false adds nothing, even if it is NaN or infinite; with `"none"` its loss is 0.',
    "axis": "the axis, or a tuple of axes, to reduce; by default all.",
}
_OPTIONS_OF_ROWS = {
    "reduction": '`"none"` (an array of losses), `"sum"` or `"mean"` (the sum divided by the '
    "number of rows that `where` selects).",
    "where": "a boolean array that broadcasts to the shape of the losses. A row where it is false "
    'adds nothing, even if it contains NaN; with `"none"` its loss is 0.',
}
_OPTIONS_OF_WEIGHTED_ROWS = {
    **_OPTIONS_OF_ROWS,
    "reduction": _REDUCTION.replace("elements", "rows"),
    "weights": _WEIGHTS,
}
_OTHER_DEFAULT = 'The default of PyTorch is `"mean"`.'

# Names in capitals are replaced by those of the arguments.
_RETURNS = (
    "The losses in the shape of the residuals, or their reduction: a scalar, or an array of the "
    "remaining axes. The dtype is that of OPERANDS: float16, bfloat16, float32 and float64 stay "
    "as they are, integers and booleans become the framework's default float. The other arguments "
    "do not change it. A NaN makes only its own loss NaN.",
    "Without weights, the C++ kernels round each loss correctly in float16, bfloat16 and float32: "
    "it is the floating-point number nearest to the exact result. Sums are accumulated in double "
    "and rounded once. In float64, and where no kernel is used (`lossless.info()` reports where), "
    "losses are within a few units in the last place (ULP); docs/numerics.md has the bounds.",
)
_RETURNS_OF_ROWS = (
    "The losses in the shape of FIRST without `axis`, or their reduction, a scalar. The dtype is "
    "that of FIRST, or the one to which it promotes with another floating-point operand; integers "
    "and booleans become the framework's default float. Half types are computed in float32, and "
    "float32 in float64 where the framework has it; docs/numerics.md has the bounds.",
)

_TYPE_ERROR = (
    "complex, non-numeric or masked arrays; arrays of two frameworks; a `where` that is not boolean"
)
_VALUE_ERROR = "shapes that do not match; an unknown reduction; an `axis` that does not exist"
_RAISES = {
    "TypeError": _TYPE_ERROR,
    "ValueError": f"{_VALUE_ERROR}; an `axis` without a reduction",
}
_RAISES_OF_ROWS = {"TypeError": _TYPE_ERROR, "ValueError": f"{_VALUE_ERROR} or is empty"}


def complete(text: str, signature: inspect.Signature) -> str:
    """The docstring of a loss: the text in its source, and the common part.

    Sections of Google's style are completed: `Args:` in the order of the signature, `Returns:`
    and `Raises:`. What comes before and after them stays as it is.
    """
    before, own, after = _sections(inspect.cleandoc(text).splitlines())
    of_rows = _is_of_rows(signature)
    lines = ["\n".join(before).rstrip(), "", "Args:"]
    for name, words in _arguments(signature, of_rows, _entries(own["Args:"])).items():
        lines += _filled(f"{name}: {words}", 4, 8)
    lines += ["", "Returns:"]
    *paragraphs, last = _RETURNS_OF_ROWS if of_rows else _RETURNS
    for paragraph in (*paragraphs, " ".join([last, *own["Returns:"]])):
        lines += [*_filled(_named(paragraph, signature), 4, 4), ""]
    lines += ["Raises:"]
    raises = _entries(own["Raises:"])
    for error, words in (_RAISES_OF_ROWS if of_rows else _RAISES).items():
        more = raises.pop(error, "")
        lines += _filled(f"{error}: {words}{'; ' + more if more else '.'}", 4, 8)
    for error, words in raises.items():
        lines += _filled(f"{error}: {words}", 4, 8)
    return "\n".join([*lines, "", *after]).rstrip()


def _is_of_rows(signature: inspect.Signature) -> bool:
    """Whether rows lie along an axis; by default, an element-wise loss reduces all axes."""
    axis = signature.parameters.get("axis")
    return axis is not None and axis.default is not None


def _arguments(signature: inspect.Signature, of_rows: bool, own: dict[str, str]) -> dict[str, str]:
    """What is said about each argument that has a description."""
    shapes, options = (_SHAPES_OF_ROWS, _OPTIONS_OF_ROWS) if of_rows else (_SHAPES, _OPTIONS)
    if of_rows and "weights" in signature.parameters:
        options = _OPTIONS_OF_WEIGHTED_ROWS
    found = {}
    for place, (name, parameter) in enumerate(signature.parameters.items()):
        words = own.get(name, "")
        if place < len(shapes):
            words = f"{words.rstrip('.') or _OPERANDS[place]}, {shapes[place]}"
        elif name in options:
            if name == "reduction" and parameter.default == "none":
                words = f"{_OTHER_DEFAULT} {words}"
            words = f"{options[name]} {words}"
        if words:
            found[name] = words
    return found


def _named(text: str, signature: inspect.Signature) -> str:
    """With the names of the arguments that have no default, the operands."""
    parameters = signature.parameters.values()
    *names, last = (f"`{p.name}`" for p in parameters if p.default is p.empty)
    return text.replace("FIRST", [*names, last][0]).replace(
        "OPERANDS", f"{', '.join(names)} and {last}"
    )


def _sections(lines: list[str]) -> tuple[list[str], dict[str, list[str]], list[str]]:
    """The lines before the sections to complete, the lines of each one, and the lines after."""
    before: list[str] = []
    own: dict[str, list[str]] = {"Args:": [], "Returns:": [], "Raises:": []}
    after: list[str] = []
    current = before
    for line in lines:
        if line in own and current is not after:
            current = own[line]
            continue
        if line in _LATER:
            current = after
        current.append(line)
    return before, own, after


def _entries(lines: list[str]) -> dict[str, str]:
    """The text of each entry of a section, by its name."""
    found: dict[str, str] = {}
    name = ""
    for line in filter(None, lines):
        if not line.startswith(5 * " "):
            name, _, line = line.strip().partition(": ")
            found[name] = line
        else:
            found[name] += f" {line.strip()}"
    return found


@cache
def _filled(text: str, indent: int, further: int) -> tuple[str, ...]:
    """The lines of a paragraph, the first one with its own indent. (textwrap is slower.)"""
    lines: list[str] = []
    line = " " * (indent - 1)
    for word in text.split():
        if len(line) + len(word) >= WIDTH:
            lines.append(line)
            line = " " * (further - 1)
        line += f" {word}"
    return (*lines, line)
