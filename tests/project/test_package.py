"""Public names, signatures, documentation and stubs agree with each other and the references."""

from __future__ import annotations

import ast
import doctest
import inspect
import os
import pkgutil
import re
import subprocess
import sys
from collections.abc import Iterator
from importlib import import_module, metadata
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import lossless
from lossless import _core
from lossless._spec import LOSSES as SPECS
from lossless.verification.losses import LOSSES
from lossless.verification.reference import Loss
from support import ROOT
from support.rows.reference import ROW_LOSSES

FUNCTIONS = {loss.public for loss in LOSSES.values()}
OF_ROWS = {loss.function for loss in ROW_LOSSES.values()}
OF_MLX = {spec.mlx_name for spec in SPECS.values() if spec.mlx_name}


def modules() -> list[str]:
    return [
        module.name
        for module in pkgutil.walk_packages(lossless.__path__, "lossless.")
        if not module.name.startswith(("lossless.cli", "lossless.executors."))
    ]


def test_every_table_has_the_same_losses() -> None:
    """Kernels, formulas, public functions, references: whoever adds one is told what is missing."""
    assert set(LOSSES) | {"cross_entropy"} == set(lossless.info()["kernels"])
    assert set(LOSSES) | set(ROW_LOSSES) == set(SPECS)
    for name, spec in SPECS.items():
        assert spec.public_name in lossless.__all__
        if name in LOSSES:
            _, parameters, _, difference = next(x for x in _core.losses() if name == x[0])
            assert parameters == tuple(parameter.name for parameter in spec.parameters)
            assert difference == spec.uses_difference_only
            assert spec.second_derivative is not None
    names = {name for name in lossless.__all__ if name.endswith(("_loss", "_entropy"))}
    assert FUNCTIONS | OF_ROWS == names == set(lossless.info()["losses"])
    assert set(LOSSES) == {header.stem for header in (ROOT / "src/kernels/losses").glob("*.h")}
    documentation = "\n".join(path.read_text() for path in [ROOT / "README.md"])
    assert not [name for name in FUNCTIONS | OF_ROWS if name not in documentation]


def test_public_names_exist_and_are_documented() -> None:
    assert len(set(lossless.__all__)) == len(lossless.__all__)
    for name in lossless.__all__:
        member = getattr(lossless, name)
        if callable(member):
            assert inspect.getdoc(member), name
    others = {
        name
        for name, member in vars(lossless).items()
        if not name.startswith("_") and not inspect.ismodule(member) and name != "annotations"
    }
    assert others <= set(lossless.__all__)


def test_public_modules_show_their_public_names_only() -> None:
    """Those that the documentation names: no `Any` that one of them has imported."""
    pages = [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]
    text = "\n".join(page.read_text() for page in pages)
    named = set(re.findall(r"\blossless\.([a-z]\w*)", text))
    found = {name for name in named if f"lossless.{name}" in modules()}
    assert {"torch"} == found
    for module in (lossless, *(import_module(f"lossless.{name}") for name in found)):
        shown = {name for name in dir(module) if not name.startswith("_")}
        own = {name for name in shown if not inspect.ismodule(getattr(module, name))}
        assert set(module.__all__) == own - {"annotations"}, module.__name__
        assert module is lossless or own == shown


@pytest.mark.parametrize("name", ["lossless", *modules()])
def test_docstring_examples_run(name: str) -> None:
    if name == "lossless._mlx":  # which finds MLX's library where that is loaded
        import_module("mlx.core")
    module = import_module(name)
    failed, _ = doctest.testmod(module, optionflags=doctest.ELLIPSIS)
    assert 0 == failed


def test_there_are_docstring_examples() -> None:
    finder = doctest.DocTestFinder()
    for name in lossless.__all__:
        member = getattr(lossless, name)
        transforms = {"value_and_grad", "grad_and_hess"}
        if inspect.isfunction(member) and name in FUNCTIONS | OF_ROWS | transforms:
            assert any(test.examples for test in finder.find(member, name)), name


@pytest.mark.parametrize("name", sorted(OF_MLX))
def test_signatures_are_those_of_mlx(name: str) -> None:
    """The positional part, names and defaults are those of mlx.nn.losses; ours are keywords."""
    from mlx.nn import losses

    parameters = inspect.signature(getattr(lossless, name)).parameters.values()
    expected = inspect.signature(getattr(losses, name)).parameters.values()
    positional = [p for p in parameters if p.kind is inspect.Parameter.POSITIONAL_OR_KEYWORD]
    assert [(p.name, p.default) for p in expected] == [(p.name, p.default) for p in positional]
    ours = {p.name: p.default for p in parameters if p.kind is inspect.Parameter.KEYWORD_ONLY}
    assert len(parameters) == len(ours) + len(positional)
    options = {"where"} if name in OF_ROWS else {"weights", "where", "axis"}
    assert dict.fromkeys(options - {p.name for p in positional}) == ours


def test_every_loss_of_mlx_is_here() -> None:
    from mlx.nn import losses

    theirs = {
        name
        for name, member in vars(losses).items()
        if inspect.isfunction(member) and member.__module__ == losses.__name__
    }
    theirs = {name for name in theirs if not name.startswith("_")}
    assert theirs == OF_MLX == {spec.public_name for spec in SPECS.values() if spec.mlx_name}
    assert theirs <= FUNCTIONS | OF_ROWS


@pytest.mark.parametrize("loss", LOSSES.values(), ids=lambda loss: loss.name)
def test_transforms_keep_the_signature(loss: Loss, rng: np.random.Generator) -> None:
    x, t = rng.uniform(0.1, 0.9, (2, 9))
    function = getattr(lossless, loss.public)
    options = {**loss.parameters, **loss.fixed, "reduction": "sum"}
    first, second, *_ = inspect.signature(function).parameters
    value, _ = lossless.value_and_grad(function)(**{first: x, second: t}, **options)
    assert function(x, t, **options) == value
    given = inspect.signature(function).bind(x, t, **options)
    given.apply_defaults()
    assert value == lossless.value_and_grad(function)(*given.args, **given.kwargs)[0]
    signatures = map(inspect.signature, (function, lossless.grad_and_hess(function)))
    plain, derived = (signature.replace(return_annotation=None) for signature in signatures)
    assert plain == derived


def test_info() -> None:
    info = lossless.info()
    expected = "version numpy instruction_set instruction_sets threads losses kernels backends"
    assert set(expected.split()) == set(info)
    assert metadata.version("lossless") == lossless.__version__ == info["version"]
    assert np.__version__ == info["numpy"]
    assert info["instruction_set"] in info["instruction_sets"]
    assert "baseline" in info["instruction_sets"]
    assert info["threads"] >= 1
    paths = {name: backend["executor"] for name, backend in info["backends"].items()}
    native = dict.fromkeys(("numpy", "mlx", "torch", "jax"), "kernels")
    assert {**native, "array_api": "formulas"} == paths
    assert all(
        {"executor", "why", "executors"} == set(backend) for backend in info["backends"].values()
    )
    with lossless.composed():
        for name in native:
            assert "formulas" == lossless.info()["backends"][name]["executor"]


@pytest.mark.usefixtures("native")
def test_number_of_threads() -> None:
    for threads in (1, 2, 5):
        lossless.set_num_threads(threads)
        assert threads == lossless.info()["threads"]
    for wrong in (0, -1):
        with pytest.raises(ValueError, match=str(wrong)):
            lossless.set_num_threads(wrong)
    for other in (1.5, "2", None):
        with pytest.raises(TypeError):
            lossless.set_num_threads(other)  # type: ignore[arg-type]
    assert 5 == lossless.info()["threads"]


STUBS = """
import sys, types
from unittest.mock import MagicMock
for name in ("jaxlib", "jax", "jax.numpy", "mlx", "mlx.core", "torch"):
    sys.modules[name] = {stub}(name)
import lossless, numpy as np
print(sorted(lossless.info()["backends"]), lossless.info()["backends"]["jax"]["executor"])
print(lossless.huber_loss(np.array([3.0]), np.array([0.0])))
"""


@pytest.mark.parametrize("stub", ["types.ModuleType", "lambda name: MagicMock()"])
def test_info_beside_stubs_of_frameworks(stub: str) -> None:
    """As documentation is built, where frameworks are missing."""
    first, second = run_python(STUBS.replace("{stub}", f"({stub})")).splitlines()
    assert "['array_api', 'jax', 'mlx', 'numpy', 'torch'] formulas" == first
    assert "[2.5]" == second


def run_python(code: str, **environment: str) -> str:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        capture_output=True, text=True, check=True,
        env={**os.environ, "LOSSLESS_NUM_THREADS": "2"} | environment,
    )  # fmt: skip
    return done.stdout.strip()


@pytest.mark.parametrize("threads", [1, 3])
def test_threads_from_the_environment(threads: int) -> None:
    code = "import lossless; print(lossless.info()['threads'])"
    assert str(threads) == run_python(code, LOSSLESS_NUM_THREADS=str(threads))


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="no affinity on this system")
def test_threads_follow_the_affinity() -> None:
    code = (
        "import os; os.sched_setaffinity(0, {min(os.sched_getaffinity(0))});"
        "del os.environ['LOSSLESS_NUM_THREADS'];"
        "import lossless; print(lossless.info()['threads'])"
    )
    assert "1" == run_python(code)


def test_import_brings_numpy_and_no_other_framework() -> None:
    code = (
        "import sys; before = set(sys.modules); import lossless;"
        "print(*sorted({name.split('.')[0] for name in set(sys.modules) - before}))"
    )
    brought = set(run_python(code).split())
    assert "numpy" in brought
    others = {"mlx", "torch", "jax", "jaxlib", "ml_dtypes", "mpmath", "rich", "typer", "scipy"}
    assert not brought & others


def _declared(body: list[ast.stmt], owner: str = "") -> Iterator[tuple[str, ast.FunctionDef]]:
    for node in body:
        if isinstance(node, ast.FunctionDef):
            yield owner + node.name, node
        elif isinstance(node, ast.ClassDef):
            yield from _declared(node.body, f"{node.name}.")


def _compiled(module: Any, owner: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in vars(module).items():
        if isinstance(value, type):
            yield from _compiled(value, f"{name}.")
        elif hasattr(value, "__nb_signature__"):
            yield owner + name, value


def test_native_stubs_are_true() -> None:
    """_core.pyi has the functions and methods of the compiled module, and their arguments.

    mypy's stubtest takes nanobind's functions for no functions, so nanobind's own record of the
    signatures is the witness.
    """
    stub = ast.parse((Path(lossless.__file__).parent / "_core.pyi").read_text())
    declared = dict(_declared(stub.body))
    compiled = dict(_compiled(lossless._core))
    assert set(compiled) == set(declared)
    for name, function in compiled.items():
        ((signature, *_),) = function.__nb_signature__
        signature = re.sub(r"= \\\d+", "= ...", signature)  # nanobind keeps defaults elsewhere
        (witness,) = ast.parse(f"{signature}: ...").body
        assert isinstance(witness, ast.FunctionDef)
        for actual, expected in zip(declared[name].args.args, witness.args.args, strict=True):
            assert expected.arg == actual.arg, name
            if actual.arg == "self":
                continue
            exact = {"int", "float", "str", "int | None"}
            assert actual.annotation
            assert expected.annotation
            annotations = ast.unparse(actual.annotation), ast.unparse(expected.annotation)
            assert annotations[0] == annotations[1] or annotations[1] not in exact, (
                name,
                actual.arg,
            )
        returns = [ast.unparse(node.returns) for node in (declared[name], witness) if node.returns]
        # list[str] tells more than list, and an object may be anything.
        assert "object" == returns[1] or returns[0].startswith(returns[1]), name


def test_package_is_typed() -> None:
    assert (Path(lossless.__file__).parent / "py.typed").exists()
