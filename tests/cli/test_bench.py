"""`lossless bench`: what it measures, what it prints and writes; never how long anything takes."""

from __future__ import annotations

import json
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.image import imread

import lossless
from lossless._spec import LOSSES
from lossless.bench import peers as _peers
from lossless.bench.measure import DTYPES, Worker, _arrays, _failure, _kernel
from lossless.bench.timing import FEWEST_ROUNDS, interleaved
from lossless.cli import bench
from lossless.cli._losses import chosen
from lossless.scoring.losses import OFFERED
from lossless.verification.frameworks import FRAMEWORKS
from support.command import after, error, interrupt, run, run_json

QUICK = ("--n", "1000", "--seconds", "0")


@pytest.fixture(autouse=True)
def in_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")


def test_bench_json_has_every_case_and_its_ratios() -> None:
    found = run_json("bench", *QUICK, "--backend", "numpy", "--backend", "mlx")
    rows = {
        (row["loss"], row["arrays"], row["implementation"], row["mode"]): row
        for row in found["rows"]
    }
    cases = {("memory", "pass", None), ("kernel", "lossless", None), ("numpy", "lossless", "eager")}
    cases |= {("mlx", "lossless", mode) for mode in ("eager", "compiled")}
    theirs = {("mlx", "mlx.nn.losses", mode) for mode in ("eager", "compiled")}
    for loss in OFFERED:
        expected = cases | (theirs if LOSSES[loss].mlx_name else set())
        assert expected <= {tuple(case) for name, *case in rows if name == loss}
    for (loss, arrays, who, mode), row in rows.items():
        assert row["failure"] is None
        timing = row["seconds"]
        assert 0 < timing["lower_quartile"] <= timing["median"] <= timing["upper_quartile"]
        assert timing["rounds"] >= FEWEST_ROUNDS
        limit = rows[loss, "memory", "pass", None]["seconds"]["median"]
        assert timing["median"] / limit == row["of_memory_pass"]
        if arrays in FRAMEWORKS and who != "lossless":
            ours = rows[loss, arrays, "lossless", mode]["seconds"]["median"]
            assert timing["median"] / ours == row["of_lossless"]
        else:
            assert row["of_lossless"] is None
    assert lossless.info()["threads"] == found["machine"]["threads"]
    assert np.__version__ == found["versions"]["numpy"]
    assert (1000, "float32") == (found["elements"], found["dtype"])
    assert found["fairness"]


def test_bench_prints_saves_and_draws() -> None:
    status, output, errors = run(
        "bench", *QUICK, "--backend", "numpy", "--loss", "huber", "--delta", "0.5",
        "--dtype", "float16", "--save", "speed.json", "--save", "speed.png", "--save", "speed.svg",
    )  # fmt: skip
    assert (0, "") == (status, errors)
    assert "huber delta=0.5, float16, N = 1,000: value (mean) and gradient" in output
    for part in ("memory pass", "kernel", "NumPy: lossless", "NumPy: formula", "÷ memory "):
        assert part in output
    assert "NumPy formula, which writes into arrays that were allocated beforehand" in output
    assert f"lossless {lossless.__version__}, numpy {np.__version__}" in output
    document = json.loads(Path("speed.json").read_text())
    assert {"huber"} == {row["loss"] for row in document["rows"]}
    assert [{"delta": 0.5}] * 4 == [row["parameters"] for row in document["rows"]]
    assert 4 == imread("speed.png").shape[2]
    assert "</svg>" in Path("speed.svg").read_text()
    assert {"speed.json", "speed.png", "speed.svg"} == {path.name for path in Path().iterdir()}


@pytest.mark.parametrize("count", [1, 2, 3, 5])
def test_chart_is_of_points_and_numbers_inside_of_it(count: int) -> None:
    case = {"parameters": {}, "mode": "compiled", "of_memory_pass": 1.0, "of_lossless": None}
    document = bench._document([], 16_000_000, "float32", [])
    document["rows"] = [
        case | {"loss": loss, "arrays": arrays, "implementation": who, "seconds": {"median": time}}
        for loss in list(OFFERED)[:count]
        for arrays, who, time in [
            ("memory", "pass", 0.0064), ("kernel", "lossless", 0.0061),
            ("torch", "torch.nn.functional", 12.345), ("mlx", "lossless", 0.098765),
        ]
    ]  # fmt: skip
    figure = bench._chart(document)
    FigureCanvasAgg(figure)
    figure.draw_without_rendering()
    panels = [axes for axes in figure.axes if axes.axison]
    assert count == len(panels)
    assert figure.bbox.width <= 1600
    for axes in panels:
        assert not axes.patches  # bars
        points = [line for line in axes.get_lines() if line.get_marker() in ("o", "D")]
        places = [np.column_stack(line.get_data())[0] for line in points]
        assert pytest.approx([6.1, 12345, 98.765]) == [x for x, _ in places]
        assert all(axes.bbox.fully_contains(*axes.transData.transform(x)) for x in places)
        assert ["6.1", "12,345", "98.8"] == [text.get_text() for text in axes.texts]
        boxes = [text.get_window_extent() for text in [*axes.texts, *axes.get_yticklabels()]]
        assert not [(a, b) for a, b in combinations(boxes, 2) if a.overlaps(b)]
        for box in boxes:
            assert figure.bbox.fully_containsx(box.x0)
            assert figure.bbox.fully_containsx(box.x1)


@pytest.mark.parametrize("loss", OFFERED)
@pytest.mark.parametrize("backend", FRAMEWORKS)
def test_bench_cases_compute_the_same(
    backend: str, loss: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Or they could not be compared: the mean, and its gradient by the inputs."""
    if backend == "torch":
        import torch

        monkeypatch.setattr(torch, "compile", lambda function, **_: function)
    (one,) = chosen([loss], {})
    inputs, targets = _arrays(501, "float32")
    wide = inputs.astype(np.float64), targets.astype(np.float64)
    parameters: dict[str, Any] = dict(one.parameters)
    value, gradient = lossless.value_and_grad(one.function)(*wide, **parameters, reduction="mean")
    framework = FRAMEWORKS[backend]()
    with framework.setting():
        cases = list(_peers.cases(framework, one, inputs, targets))
        assert (1 if backend == "numpy" else 2) == [who for who, *_ in cases].count("lossless")
        for who, mode, call in cases:
            result: Any = call()
            assert _failure(call) is None
            *got_value, actual = (framework.numpy(array) for array in result)
            what = f"{who} {mode}"
            np.testing.assert_allclose(actual, gradient, rtol=1e-4, atol=1e-9, err_msg=what)
            for number in got_value:  # PyTorch's autograd returns the gradient alone
                np.testing.assert_allclose(number, value, rtol=1e-5, err_msg=what)


@pytest.mark.parametrize("dtype", DTYPES)
def test_bench_kernel_is_the_library(dtype: str) -> None:
    """Into memory of its own, with the library's bits."""
    (huber,) = chosen(["huber"], {"delta": 0.5})
    inputs, targets = _arrays(1000, dtype)
    call = _kernel(huber, inputs, targets, dtype)
    call()
    results = call.keywords
    value, gradient = lossless.value_and_grad(lossless.huber_loss)(
        inputs, targets, 0.5, reduction="mean"
    )
    for name, expected in (("value", value), ("gradient", gradient)):
        actual = results[name].view(np.asarray(expected).dtype)
        assert np.asarray(expected).tobytes() == actual.tobytes()


def test_timing_takes_turns() -> None:
    heard: list[tuple[str, int]] = []
    parts: list[float] = []

    def sampler(name: str, seconds: float) -> Any:
        def sample(repetitions: int) -> float:
            heard.append((name, repetitions))
            return seconds * len(heard)

        return sample

    cases = {"long": sampler("long", 1.0), "short": sampler("short", 1e-5)}
    timings = interleaved(cases, 0.0, parts.append)
    assert [("long", 1), ("short", 1)] == heard[:2]
    assert [("long", 1), ("short", 50)] * FEWEST_ROUNDS == heard[2:]
    assert FEWEST_ROUNDS == timings["long"].rounds
    assert 7.0 == timings["long"].median
    assert (5.0, 9.0) == (timings["long"].lower_quartile, timings["long"].upper_quartile)
    assert "7 s ±29%" == str(timings["long"])
    assert FEWEST_ROUNDS == len(parts)
    assert all(0 <= part <= 1 for part in parts)


def test_a_case_that_fails_is_told() -> None:
    def fails() -> object:
        raise RuntimeError("no compiler\nat all")

    assert "no compiler" == _failure(fails)
    assert "division by zero" == _failure(lambda: 1 / 0)
    assert _failure(lambda: None) is None


def test_bench_says_when_a_process_dies() -> None:
    with Worker("kernel") as worker:
        worker._process.kill()
        worker._process.join()
        with pytest.raises(Exception, match="kernel cannot be measured: its process ended"):
            worker.ask("prepare", None)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("--n 100000000000000 --seconds 0", "kernel cannot be measured: Unable to allocate"),
        ("--dtype int8", "--dtype must be one of float16, bfloat16, float32, float64, got int8"),
        ("--backend cupy", "--backend must be one of numpy, mlx, torch, jax, got cupy"),
        ("--loss hubert", "there is no loss 'hubert'"),
        ("--delta -2", "huber_loss: delta must be > 0, got -2.0"),
        ("--save speed.txt", "--save speed.txt: the name must end with .json, .png, .svg, .pdf"),
        ("--save no/speed.json", "there is no folder no"),
    ],
)
def test_bench_says_what_is_wrong(arguments: str, message: str) -> None:
    assert message in error("bench", *arguments.split())
    assert not list(Path().iterdir())


def test_bench_of_no_elements_is_wrong_usage() -> None:
    status, output, errors = run("bench", "--n", "0")
    assert (2, "") == (status, output)
    assert "--n" in errors


def test_bench_help_shows_an_example() -> None:
    status, output, _ = run("bench", "--help")
    assert 0 == status
    assert "lossless bench --loss huber --n 1000000 --save speed.json" in output


def test_bench_ends_cleanly_when_interrupted() -> None:
    arguments = ["bench", "--n", "100000", "--seconds", "600", "--save", "speed.json"]
    done = interrupt([*arguments, "--backend", "numpy", "--backend", "jax"], after(seconds=8))
    assert (130, "") == (done.returncode, done.stdout)
    assert "lossless bench: interrupted\n" == done.stderr
    assert not list(Path().iterdir())


def test_bench_shows_what_it_kept() -> None:
    arguments = ("bench", *QUICK, "--backend", "numpy", "--loss", "huber", "--save", "a.json")
    _, printed, _ = run(*arguments)
    status, again, errors = run("bench", "--from", "a.json", "--save", "b.json", "--save", "b.png")
    assert (0, "") == (status, errors)
    assert again == printed
    assert Path("a.json").read_text() == Path("b.json").read_text()
    assert 4 == imread("b.png").shape[2]
    median = 1e6 * json.loads(Path("a.json").read_text())["rows"][1]["seconds"]["median"]
    for digits in (1, 5):  # a kernel that takes a microsecond or some
        output = run("bench", "--from", "a.json", "--digits", str(digits))[1]
        assert f" {float(f'{median:.{digits}g}'):g} µs ±" in output


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "No such file"),
        ("{", "is not JSON"),
        ("[]", "was not written by lossless bench --save"),
        ("{}", "was not written by lossless bench --save"),
    ],
)
def test_bench_says_what_is_wrong_with_what_was_kept(text: str | None, message: str) -> None:
    if text is not None:
        Path("a.json").write_text(text)
    assert message in error("bench", "--from", "a.json")


def test_what_is_timed_as_compiled_is_compiled() -> None:
    """A program too many, after which PyTorch is eager, is an error, as is a graph that breaks."""
    import torch

    torch.compiler.reset()
    limit = torch._dynamo.config.recompile_limit
    doubled = _peers.compiled_by_torch(lambda x: x * 2, "eager")
    for size in range(limit):
        doubled(torch.ones(2 + size))
    with pytest.raises(torch._dynamo.exc.FailOnRecompileLimitHit):
        doubled(torch.ones(2 + limit))

    def broken(x: Any) -> Any:
        torch._dynamo.graph_break()
        return x

    with pytest.raises(RuntimeError, match="graph_break"):
        _peers.compiled_by_torch(broken, "eager")(torch.ones(2))
    torch.compiler.reset()
