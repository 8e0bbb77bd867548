"""`lossless verify`: it finds what is wrong, counts it, and says so by its exit code."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import lossless
from lossless.cli.verify import _run, _settings
from lossless.executors.numpy import FRAMEWORK
from lossless.verification import frameworks as _frameworks
from lossless.verification import tasks as _tasks
from lossless.verification.formats import FLOAT32, FLOAT64, FORMATS
from lossless.verification.judge import Bound, Tally, judge, tallies
from lossless.verification.losses import LOSSES
from lossless.verification.reference import OUTPUTS
from support.command import after, error, interrupt, run, run_json

NUMPY = ("--backend", "numpy")


@pytest.fixture(autouse=True)
def wide(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "250")


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fewer float32 residuals."""
    monkeypatch.setattr(_tasks, "STRIDE", 1_000_003)
    monkeypatch.setattr(_tasks, "PAIRS", 256)


def damage(monkeypatch: pytest.MonkeyPatch, change: Callable[[Any], Any]) -> None:
    """Results of NumPy calls with other arrays than one element come out changed."""

    def numpy(_: object, array: Any) -> Any:
        result = np.array(array)
        return change(result) if result.size > 1 else result

    monkeypatch.setattr(_frameworks.NumPy, "numpy", numpy)


@pytest.mark.usefixtures("few")
@pytest.mark.parametrize("backend", _frameworks.FRAMEWORKS)
def test_verify_finds_the_contract_met(backend: str) -> None:
    names = ("log-cosh", "binary-cross-entropy")
    chosen = [argument for name in names for argument in ("--loss", name)]
    found = run_json("verify", "--backend", backend, *chosen)
    assert found["holds"] is True
    assert 0 == found["beyond_contract"]
    rows = {(row["loss"], row["dtype"], row["executor"]): row["outputs"] for row in found["rows"]}
    assert len(names) * len(FORMATS) * 2 == len(rows) == len(found["rows"])
    for (_, dtype, path), outputs in rows.items():
        assert set(OUTPUTS) == set(outputs)
        if path == "kernels" and dtype != "float64":
            assert {0} == {out["not_correctly_rounded"] for out in outputs.values()}
            assert pytest.approx(0.5, abs=0.01) == max(out["worst_ulp"] for out in outputs.values())
        if dtype in ("float16", "bfloat16"):  # both signs of all, infinity included, but NaN
            everything = 2 * (0x7C01 if dtype == "float16" else 0x7F81)
            assert outputs["second_derivative"]["results"] > everything
    assert (
        sum(out["results"] for outputs in rows.values() for out in outputs.values())
        == found["results"]
    )


def test_verify_prints_a_table() -> None:
    status, output, errors = run("verify", *NUMPY, "--dtype", "float16", "--loss", "huber")
    assert (0, "") == (status, errors)
    lines = output.splitlines()
    assert "float16, kernels: NumPy; correctly rounded" in lines
    assert "float16, formulas: NumPy; ≤ 1 ULP" in lines
    assert 2 == sum(line.startswith("huber delta=1 ") for line in lines)
    assert "numpy " + np.__version__ in output
    assert output.endswith("s: the contract is met\n")


def test_verify_prints_markdown() -> None:
    arguments = ("verify", *NUMPY, "--dtype", "bfloat16", "--loss", "log_cosh", "--markdown")
    status, output, _ = run(*arguments)
    assert 0 == status
    above, _, heading, rule, native, composed, *_ = output.splitlines()
    assert "dtype: bfloat16; arrays of: NumPy; verdict: met" == above
    assert heading.startswith("| loss | executor | results |")
    assert {9} == {line.count("|") for line in (heading, rule, native, composed)}
    assert native.startswith("| log_cosh | kernels | ")
    assert native.endswith(" | correctly rounded |")
    more = run(*arguments, "--digits", "5")[1].splitlines()[4]
    assert 3 == len(re.findall(r"\| 0\.\d{4} ", more))


def test_verify_with_another_parameter() -> None:
    arguments = ("--loss", "huber", "--delta", "0.1", "--dtype", "float16")
    found = run_json("verify", *NUMPY, *arguments)
    assert [{"delta": 0.1}] * 2 == [row["parameters"] for row in found["rows"]]
    assert found["holds"]


@pytest.mark.parametrize("loss", ["huber", "smooth_l1", "binary_cross_entropy"])
def test_verify_finds_one_wrong_result(loss: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """By one step, which the kernels may not, and the formulas may."""

    monkeypatch.setattr(_tasks, "STRIDE", 1_900_000)  # so many numbers are in no other array
    count = len(range(0, 0x7F800001, _tasks.STRIDE))

    def change(results: Any) -> Any:
        if results.size == count:
            middle = count // 2
            results[middle] = np.nextafter(results[middle], np.float32(9), dtype=np.float32)
        return results

    damage(monkeypatch, change)
    arguments = ("verify", *NUMPY, "--dtype", "float32", "--loss", loss)
    status, output, errors = run(*arguments, "--json")
    assert (1, "") == (status, errors)
    found = json.loads(output)
    native, composed = found["rows"]
    assert not found["holds"]
    for output_name, calls in zip(OUTPUTS, (2, 2, 1), strict=True):
        counts = native["outputs"][output_name]
        assert 2 * calls == counts["not_correctly_rounded"] == counts["beyond_contract"]
        assert 0.5 < counts["worst_ulp"] <= 1.5
        assert 0 == composed["outputs"][output_name]["beyond_contract"]
        assert composed["outputs"][output_name]["not_correctly_rounded"] >= 2 * calls
    assert 10 == found["beyond_contract"]
    assert native["examples"]
    assert [] == composed["examples"]
    status, output, _ = run(*arguments)
    assert 1 == status
    assert "BROKEN by 10" in output
    assert native["examples"][0] in output
    assert output.endswith("s: the contract is broken\n")


@pytest.mark.parametrize("change", [np.negative, np.zeros_like, lambda x: x * np.float16(0.99)])
def test_verify_finds_every_result_wrong(
    monkeypatch: pytest.MonkeyPatch, change: Callable[[Any], Any]
) -> None:
    damage(monkeypatch, change)
    status, output, _ = run("verify", *NUMPY, "--dtype", "float16", "--loss", "log_cosh", "--json")
    assert 1 == status
    for row in json.loads(output)["rows"]:
        assert row["outputs"]["value"]["beyond_contract"] > 50_000, row["executor"]
        assert row["outputs"]["gradient"]["beyond_contract"] > 30_000, row["executor"]


class Fixed:
    """A case that gives these results, and the reference for all other outputs."""

    def __init__(self, fmt: Any, results: dict[str, Any]) -> None:
        self.loss, self.fmt, self.results = LOSSES["log_cosh"], fmt, results

    def element_wise(self, inputs: Any, targets: Any, /, **_: Any) -> Any:
        for output, result in self.results.items():
            yield output, "fixed", self.fmt.array(result)


def judged(fmt: Any, output: str, x: Any, actual: Any, bound: Bound | None = None) -> Tally:
    found = tallies()
    bounds = None if bound is None else dict.fromkeys(OUTPUTS, bound)
    judge(Fixed(fmt, {output: actual}), fmt.array(x), None, {}, found, bounds=bounds)
    return found[output]


@pytest.mark.parametrize("fmt", [FLOAT32, FLOAT64])
def test_judge_measures_in_ulp(fmt: Any) -> None:
    """log cosh 1 = 0.43378083048302..., tanh 40 = 1 - 3.6e-35."""
    right = float(fmt.array(np.log(np.cosh(np.longdouble(1)))))
    for steps in (0, 1, 3, -7):
        tally = judged(fmt, "value", [1.0], [fmt.neighbour(right, steps)], Bound(3.0))
        assert abs(tally.worst - abs(steps)) <= 0.5
        assert (steps != 0) == tally.wrong
        assert (steps == -7) == tally.broken
    assert judged(fmt, "gradient", [40.0], [1.0]).worst < 1e-9
    assert 1 == judged(fmt, "gradient", [40.0], [fmt.neighbour(1.0, -1)]).wrong


def test_judge_minds_signs_of_zeros_infinities_and_nan() -> None:
    for x, right, wrong in [
        (-0.0, -0.0, 0.0), (np.inf, 1.0, np.inf), (np.nan, np.nan, 0.0), (-np.inf, -1.0, np.nan),
    ]:  # fmt: skip
        assert 0 == judged(FLOAT32, "gradient", [x], [right]).wrong
        assert 1 == judged(FLOAT32, "gradient", [x], [wrong]).wrong
        beyond = judged(FLOAT32, "gradient", [x], [wrong], Bound(8.0)).broken
        assert (x != 0) == beyond  # the sign of a zero is no matter of ULP


def test_judge_allows_only_what_is_promised_beyond_two_and_below_normal() -> None:
    bound = Bound(16.0, absolute_beyond_2=2.0**-22, flushes=True)
    far, near = 1 / np.cosh(5.0) ** 2, 1 / np.cosh(1.5) ** 2
    for x, value, off, broken in [
        (5.0, far, 2.0**-23, 0), (5.0, far, 2.0**-21, 1), (1.5, near, 2.0**-23, 0),
        (1.5, near, 2.0**-21, 1),
    ]:  # fmt: skip
        assert broken == judged(FLOAT32, "second_derivative", [x], [value + off], bound).broken
    tiny = 2.0**-140
    assert 0 == judged(FLOAT32, "gradient", [tiny], [0.0], bound).broken
    assert 1 == judged(FLOAT32, "gradient", [tiny], [0.0], Bound(16.0)).broken
    assert 1 == judged(FLOAT32, "gradient", [2.0**-126], [0.0], bound).broken


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("--backend tensorflow", "--backend must be one of numpy, mlx, torch, jax, got tensorflow"),
        ("--dtype float8", "--dtype must be one of float16, bfloat16, float32, float64, got"),
        ("--loss hubert", "there is no loss 'hubert'"),
        ("--loss huber --delta 0", "huber_loss: delta must be > 0, got 0.0"),
        ("--loss hinge --delta 1", "--delta: hinge has no such parameter"),
        ("--executor kernel", "--executor must be one of kernels, formulas, got kernel"),
    ],
)
def test_verify_says_what_is_wrong_with_an_option(arguments: str, message: str) -> None:
    assert message in error("verify", *arguments.split())


def test_verify_of_a_missing_framework(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_frameworks.MLX, "is_installed", lambda: False)
    assert "--backend mlx: MLX is not installed" in error("verify", "--backend", "mlx")


def test_verify_without_kernels_judges_the_formulas_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    kernels = FRAMEWORK.executors[0]
    monkeypatch.setattr(kernels, "idle", lambda: "a test", raising=False)
    _tasks._available.cache_clear()
    found = run_json("verify", *NUMPY, "--dtype", "float16", "--loss", "huber")
    _tasks._available.cache_clear()
    assert ["formulas"] == [row["executor"] for row in found["rows"]]


@pytest.mark.parametrize(
    ("loss", "largest"),
    [
        ("huber", 0x7F800000),
        ("hinge", 0x7F800000),
        ("binary_cross_entropy_of_probabilities", 0x3F800000),  # 1
    ],
)
def test_verify_exhaustive_has_every_input(loss: str, largest: int) -> None:
    settings = _settings([loss], {}, None, exhaustive=True)[:1]
    every_task = list(_tasks.tasks(settings, [FLOAT32], ("numpy",), exhaustive=True))
    inputs = [task for task in every_task if task.kind == "inputs"]
    assert set(LOSSES[loss].targets) == {task.target for task in inputs}
    swept = sorted({(task.start, task.stop, task.stride) for task in inputs})
    assert 0 == swept[0][0]
    assert largest + 1 == swept[-1][1]
    assert {1} == {stride for *_, stride in swept}
    assert [stop for _, stop, _ in swept[:-1]] == [start for start, *_ in swept[1:]]


def test_verify_spread_among_processes_finds_the_same() -> None:
    settings = _settings(["log_cosh", "hinge"], {}, None, exhaustive=False)
    every_task = list(_tasks.tasks(settings, [FORMATS["float16"]], ("numpy",), exhaustive=False))
    here, there = (_run(every_task, spread=spread) for spread in (False, True))
    assert here == there
    assert list(here) == list(there), "in another order"


def test_verify_tries_every_loss_and_exhaustively_other_parameters() -> None:
    quick = _settings(None, {}, None, exhaustive=False)
    assert {name for name, *_ in quick} == {*lossless.info()["kernels"]} - {"cross_entropy"}
    assert {stride for *_, stride in quick} == {_tasks.STRIDE}
    expected = [("huber", {"delta": 1.0}, 1), ("mse", {}, 1), ("huber", {"delta": 0.1}, 17)]
    assert expected == _settings(["huber", "mse"], {}, None, exhaustive=True)
    expected = [("huber", {"delta": 0.1}, 5)]
    assert expected == _settings(["huber"], {"delta": 0.1}, 5, exhaustive=True)


@pytest.mark.parametrize("loss", LOSSES)
def test_verify_finds_one_wrong_bit_of_every_loss(
    loss: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In each sweep over all inputs of one sign, one result is off by the least that there is."""
    sizes = {0x7C01, 0x3C01}  # the numbers up to infinity, and the probabilities

    def change(results: Any) -> Any:
        if results.size in sizes:
            results.view(np.uint16)[9_000] += 1
        return results

    damage(monkeypatch, change)
    arguments = ("--dtype", "float16", "--loss", loss, "--executor", "kernels", "--json")
    status, output, _ = run("verify", *NUMPY, *arguments)
    assert 1 == status
    (row,) = json.loads(output)["rows"]
    expected = [4, 4, 2]  # by so many calls, for two signs or two labels
    assert expected == [out["beyond_contract"] for out in row["outputs"].values()]


def test_verify_help_shows_an_example() -> None:
    status, output, _ = run("verify", "--help")
    assert 0 == status
    assert "lossless verify --loss huber --delta 0.1 --backend torch" in output


def test_verify_ends_cleanly_when_interrupted() -> None:
    arguments = ["verify", "--exhaustive", *NUMPY]
    done = interrupt(arguments, after(seconds=4))
    assert (130, "") == (done.returncode, done.stdout)
    assert "lossless verify: interrupted\n" == done.stderr
