"""The kernels inside XLA's programs: NumPy's bits, one custom call; and what serves without."""

from __future__ import annotations

import itertools
import os
import re
import subprocess
from pathlib import Path
from typing import Any

import jax
import jax.export
import jax.numpy as jnp
import numpy as np
import pytest

import lossless
from lossless.executors import xla_ffi
from lossless.verification.formats import FLOAT32, FORMATS
from support import ROOT
from support.cases import Case
from support.checks import assert_same_bits
from support.frameworks.cases import SHAPE, arrays, combinations, on_numpy, printed
from support.frameworks.jax import IN_EVERY_DTYPE, IN_FLOAT32, LOSSES, WITH_FLOAT64
from support.frameworks.jax_programs import text


@IN_EVERY_DTYPE
@WITH_FLOAT64
def test_kernels_have_the_bits_of_numpy(case: Case, rng: np.random.Generator) -> None:
    """Explicitly and under jax.grad, whatever the options: all in one program."""
    x, t = arrays(case, SHAPE, rng)
    reduced = [
        ("none", None),
        ("sum", (0, 2)),
        ("mean", None),
        ("mean", 1),
        ("weighted_mean", 0),
    ]
    place = list(FORMATS.values()).index(case.fmt)  # XLA takes its time
    options = combinations(case, rng, reduced)[place :: len(FORMATS)]

    def every(x: Any, t: Any) -> Any:
        results = []
        for given in options:
            total = jax.grad(lambda x, t, g=given: case.function(x, t, **g).sum(), argnums=(0, 1))
            explicit = lossless.value_and_grad(case.function)(x, t, **given)
            results.append((case.function(x, t, **given), *explicit, *total(x, t)))
        second = [
            lossless.grad_and_hess(case.function)(x, t, **{**given, "reduction": "none"})
            for given in options
            if given["reduction"] == "none"
        ]
        return results, second

    results, second = jax.jit(every)(x, t)
    twin = on_numpy(case)
    for given, (plain, value, slope, by_inputs, by_targets) in zip(options, results, strict=True):
        expected, gradient = twin.value_and_grad(x, t, **given)
        for actual, part in (
            (plain, expected),
            (value, expected),
            (slope, gradient),
            (by_inputs, gradient),
        ):
            assert_same_bits(part, actual, case.fmt, f"{case} {given}")
        masked = given["where"] is not None  # a zero of either sign is nothing
        assert masked or gradient.tobytes() == np.asarray(-by_targets).tobytes(), f"{case} {given}"
    for given, parts in zip([g for g in options if g["reduction"] == "none"], second, strict=True):
        for actual, part in zip(parts, twin.grad_and_hess(x, t, **given), strict=True):
            assert_same_bits(part, actual, case.fmt, f"{case} {given}")


@IN_EVERY_DTYPE
@WITH_FLOAT64
def test_kernels_have_the_bits_of_numpy_on_threads_of_xla(
    case: Case, rng: np.random.Generator
) -> None:
    """One element, one block, and enough for several threads; XLA's flush subnormal numbers."""
    x, t = arrays(case, (150_001,), rng)
    x[:1000] *= case.fmt.array(2.0 ** (case.fmt.min_exponent - 1))
    t[:1000] = 0
    assert np.count_nonzero(x[:1000]) > 500
    calls = list(itertools.product((1, 1000, 65_536, 65_537, x.size), ("none", "sum", "mean")))

    def every(x: Any, t: Any) -> Any:
        return [
            (
                case.function(x[:size], t[:size], reduction=reduction),
                *lossless.value_and_grad(case.function)(x[:size], t[:size], reduction=reduction),
            )
            for size, reduction in calls
        ]

    twin = on_numpy(case)
    for (size, reduction), results in zip(calls, jax.jit(every)(x, t), strict=True):
        expected, gradient = twin.value_and_grad(x[:size], t[:size], reduction=reduction)
        for actual, part in zip(results, (expected, expected, gradient), strict=True):
            assert_same_bits(part, actual, case.fmt, f"{case} {size} {reduction}")


@LOSSES
def test_views_and_empty_arrays(loss: Any) -> None:
    x = np.random.default_rng(1).normal(0, 2, (6, 8)).astype(np.float32)
    views: list[Any] = [lambda a: a.T, lambda a: a[::2, 1:], lambda a: a[:0], lambda a: a[2, 3]]
    call: Any = lossless.value_and_grad(loss)
    for view, reduction in itertools.product(views, ("none", "mean")):
        expected = call(view(x), view(x[::-1]), reduction=reduction)
        actual = jax.jit(lambda x, t, v=view, r=reduction: call(v(x), v(t), reduction=r))(
            x, x[::-1]
        )
        for mine, part in zip(actual, expected, strict=True):
            assert_same_bits(part, mine, FLOAT32, f"{reduction}")


@LOSSES
def test_value_and_gradient_are_one_custom_call(loss: Any) -> None:
    """Value and gradient in one pass, and no copies around it."""
    x = jnp.ones((64, 3))
    for reduction in ("sum", "mean"):
        program = text(jax.value_and_grad(lambda x, t, r=reduction: loss(x, t, reduction=r)), x, x)
        assert 1 == program.count("custom-call("), program
        assert "copy" not in program, program
        operations = re.findall(r" = \S+ (?:\S+ )*?([a-z-]+)\(", program)
        assert operations.count("constant") <= 1, program  # the loss's parameters
        others = sorted(name for name in operations if name != "constant")
        assert ["custom-call", "parameter", "parameter"] == others, program
    inside = text(jax.value_and_grad(lambda x, t: 1 + loss(x, t, reduction="mean")), x, x)
    assert 1 == inside.count("custom-call("), inside


@LOSSES
def test_other_platforms_have_no_custom_call(loss: Any) -> None:
    function = jax.jit(jax.value_and_grad(lambda x, t: loss(x, t, reduction="mean")))
    for platform in ("cuda", "tpu", "rocm"):
        program = function.trace(jnp.ones(9), jnp.ones(9)).lower(lowering_platforms=(platform,))
        assert "custom_call" not in program.as_text(), platform
    both = function.trace(jnp.ones(9), jnp.ones(9)).lower(lowering_platforms=("cpu",))
    assert "@lossless" in both.as_text()


@LOSSES
def test_kernels_are_exported(loss: Any) -> None:
    """Composed for anyone; with the custom call to one's own programs."""
    x = jnp.asarray([0.5, -3.0])
    with lossless.composed():
        exported = jax.export.export(jax.jit(lambda x: loss(x, 0.25)), platforms=["cpu", "cuda"])(x)
    np.testing.assert_allclose(exported.call(x), loss(x, 0.25), rtol=2**-20)
    with pytest.raises(ValueError, match=r"to_export_use_lossless\.composed\(\)"):
        jax.export.export(jax.jit(lambda x: loss(x, 0.25) + 1))(x)
    check = jax.export.DisabledSafetyCheck.custom_call("lossless")
    native = jax.export.export(jax.jit(lambda x: loss(x, 0.25)), disabled_checks=[check])(x)
    assert_same_bits(loss(x, 0.25), native.call(x), FLOAT32, "exported")


@IN_FLOAT32
def test_numbers_are_constants_of_the_program(case: Case) -> None:
    """Also their signs: a compiled program is not taken for one of another number."""
    x = jnp.asarray([0.5, -3.0])
    for weight in (0.0, -0.0, 0.0, 2.0):
        assert_same_bits(
            case.function(np.asarray(x), 0.0, weights=weight),
            case.function(x, 0.0, weights=weight),
            FLOAT32,
            f"weights={weight}",
        )
    if case.loss.parameters:
        third = 1 / 3  # counts as float64, where JAX has none
        for edge in np.nextafter(np.float32(third), np.array([0, 1], np.float32)):
            actual = lossless.grad_and_hess(case.function)(jnp.asarray(edge), 0.0, third)
            expected = lossless.grad_and_hess(case.function)(np.asarray(edge), 0.0, third)
            assert [float(w) for w in expected] == [float(g) for g in actual]


COMPARED = {
    # Its name is another in later versions.
    "Extension": ("ExtensionOfCalls", "struct_size type next"),
    "Version": ("XLA_FFI_Api_Version", "struct_size extension_start major_version minor_version"),
    "Metadata": ("XLA_FFI_Metadata", "struct_size api_version traits"),
    "MetadataExtension": ("XLA_FFI_Metadata_Extension", "extension_base metadata"),
    "ErrorCreateArgs": ("XLA_FFI_Error_Create_Args", "struct_size extension_start message errc"),
    "Api": (
        "XLA_FFI_Api",
        "struct_size extension_start api_version internal_api error_create=XLA_FFI_Error_Create",
    ),
    "Buffer": ("XLA_FFI_Buffer", "struct_size extension_start dtype data rank dims"),
    "Array": ("XLA_FFI_Array", "dtype size data"),
    "Attributes": ("XLA_FFI_Attrs", "struct_size extension_start size types names values=attrs"),
    "CallFrame": (
        "XLA_FFI_CallFrame",
        "struct_size extension_start api context=ctx stage arguments=args results=rets "
        "attributes=attrs",
    ),
}
VALUES = {
    "metadata_extension": "Extension_Metadata",
    "execute": "ExecutionStage_EXECUTE",
    "internal_error": "Error_Code_INTERNAL",
    **{
        dtype: f"DataType_{dtype.upper()}"
        for dtype in ("pred", "s32", "s64", "f16", "f32", "f64", "bf16")
    },
}


def test_declared_ffi_is_that_of_jaxlib(tmp_path: Path) -> None:
    """Compiles src/bridges/xla/ffi.h beside jaxlib's own header: offsets, sizes and values."""
    lines = [
        "#include <xla/ffi/api/c_api.h>",
        "#include <type_traits>",
        '#include "bridges/xla/ffi.h"',
    ]
    lines.append("namespace ours = lossless::xla_ffi;")
    pointer = "decltype(XLA_FFI_CallFrame::extension_start)"
    lines.append(f"using ExtensionOfCalls = std::remove_pointer_t<{pointer}>;")
    pairs = [
        ("Buffers", "XLA_FFI_Args", "buffers=args"),
        ("Buffers", "XLA_FFI_Rets", "buffers=rets"),
    ]
    pairs = [
        (mine, theirs, f"struct_size extension_start size types {f}") for mine, theirs, f in pairs
    ]
    pairs += [(mine, theirs, fields) for mine, (theirs, fields) in COMPARED.items()]
    declared = set(
        re.findall(r"^struct (\w+) {", (ROOT / "src/bridges/xla/ffi.h").read_text(), re.M)
    )
    assert declared == {mine for mine, *_ in pairs}
    for mine, theirs, fields in pairs:
        lines.append(f"static_assert(sizeof(ours::{mine}) <= sizeof({theirs}));")
        for field in fields.split():
            ours, _, other = field.partition("=")
            here, there = f"ours::{mine}", f"{theirs}"
            lines.append(
                f"static_assert(offsetof({here}, {ours}) == offsetof({there}, {other or ours}));\n"
                f"static_assert(sizeof({here}::{ours}) <= sizeof({there}::{other or ours}));"
            )
    for ours, theirs in VALUES.items():
        lines.append(f"static_assert(int(ours::{ours}) == int(XLA_FFI_{theirs}));")
    lines.append("static_assert(ours::api_major == XLA_FFI_API_MAJOR);")
    lines.append("static_assert(ours::api_minor <= XLA_FFI_API_MINOR);")
    source = tmp_path / "compare.cpp"
    source.write_text("\n".join(lines))
    compiler = os.environ.get("CXX", "c++")
    command = [compiler, "-std=c++17", "-fsyntax-only", "-Wno-invalid-offsetof", str(source)]
    done = subprocess.run(
        [*command, f"-I{jax.ffi.include_dir()}", f"-I{ROOT / 'src'}"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert 0 == done.returncode, done.stderr


@pytest.mark.parametrize(
    ("spoil", "why"),
    [
        ("xla_ffi.MAJOR = 1", "lossless was built for version 1.1 of XLA's FFI, not 0."),
        ("xla_ffi.MINOR = 999", "lossless was built for version 0.999 of XLA's FFI, not 0."),
        ("sys.modules['lossless._xla'] = None", "the bridge to jax"),
        ("import jax; del jax.ffi.ffi_call", "the bridge to jax"),
    ],
)
def test_formulas_compute_where_the_bridge_does_not_work(spoil: str, why: str) -> None:
    """One warning, the right results, and a JAX that works."""
    code = f"""
import sys, warnings
import lossless
from lossless.executors import xla_ffi
{spoil}
import jax.numpy as jnp
x = jnp.asarray([0.5, -3.0])
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    first = lossless.huber_loss(x, 0.0)
    assert lossless.huber_loss(x, 0.0).tolist() == first.tolist() == [0.125, 2.5]
    assert abs(lossless.cross_entropy(x, 0) / 0.0297504 - 1) < 1e-5
assert float((x * x).sum()) == 9.25
path = lossless.info()["backends"]["jax"]
assert path["executor"] == "formulas", path
print(*(str(w.message) for w in caught if "lossless" in str(w.message)), sep="\\n")
"""
    warned = printed(code)
    assert 1 == len(warned), warned
    assert why in warned[0]


def test_first_array_may_come_while_jax_traces() -> None:
    code = """
import jax, jax.numpy as jnp, lossless
assert lossless.info()["backends"]["jax"]["executor"] == "kernels"
function = jax.jit(jax.grad(lambda x: lossless.huber_loss(x, 0.0, reduction="mean")))
print(function(jnp.asarray([0.5, -3.0])).tolist())
assert lossless.info()["backends"]["jax"]["executor"] == "kernels"
"""
    assert ["[0.25, -0.5]"] == printed(code)


def test_first_array_may_come_inside_of_a_mesh() -> None:
    code = """
import jax, jax.numpy as jnp, lossless
with jax.set_mesh(jax.make_mesh((8,), ("a",))):
    value = jax.jit(lossless.huber_loss)(jnp.full(16, 0.5), 0.0)
print(value.sum(), lossless.info()["backends"]["jax"]["executor"])
"""
    assert ["2.0 kernels"] == printed(code)


def test_mismatch_without_jaxlib(monkeypatch: pytest.MonkeyPatch) -> None:
    assert xla_ffi.mismatch() is None
    monkeypatch.setattr(xla_ffi, "HEADER", "no/such/header.h")
    assert "jaxlib does not tell the version of XLA's FFI" == xla_ffi.mismatch()
