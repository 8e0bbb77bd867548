"""`lossless info`: the versions, and the path of each framework as its arrays find it."""

from __future__ import annotations

from importlib import metadata

import pytest

import lossless
from lossless.verification import frameworks as _frameworks
from support.command import run, run_json


@pytest.fixture(autouse=True)
def wide(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")


def test_info_json_is_what_the_library_says() -> None:
    found = run_json("info")
    library = lossless.info()
    for name in ("losses", "instruction_set", "instruction_sets", "threads", "numpy"):
        assert library[name] == found[name]
    assert library["version"] == found["lossless"]
    assert lossless._core.__file__ == found["native_modules"]["_core"]
    assert {"_core", "_mlx", "_xla"} == set(found["native_modules"])
    assert set(library["backends"]) == set(found["backends"])
    for name, path in library["backends"].items():  # now that all arrays have come
        version = None if name == "array_api" else metadata.version(name)
        assert {"version": version, **path} == found["backends"][name]


def test_info_prints_a_row_for_each_framework() -> None:
    status, output, errors = run("info")
    assert (0, "") == (status, errors)
    for name, backend in lossless.info()["backends"].items():
        row, *executors = [line for line in output.splitlines() if line.split()[:1] == [name]]
        assert backend["executor"] in row.split()
        assert row.rstrip().endswith(backend["why"])
        assert len(executors) == len(backend["executors"])
        for line, executor in zip(executors, backend["executors"], strict=True):
            assert [name, executor["name"], executor["device"]] == line.split()[:3]
            assert line.rstrip().endswith(executor["refuses"])
    assert f"lossless         {lossless.__version__}, Python" in output


def test_info_inside_composed() -> None:
    with lossless.composed():
        found = run_json("info")["backends"]
    assert dict.fromkeys(_frameworks.FRAMEWORKS, "formulas") == {
        name: found[name]["executor"] for name in _frameworks.FRAMEWORKS
    }


def test_info_of_a_broken_and_a_missing_framework(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_: object) -> None:
        raise ImportError("libtorch.so: cannot open [shared] object file\nmore")

    monkeypatch.setattr(_frameworks.Torch, "__init__", broken)
    monkeypatch.setattr(_frameworks.JAX, "is_installed", lambda: False)
    found = run_json("info")["backends"]
    assert {
        "version": metadata.version("torch"),
        "executor": "none",
        "why": "its test failed: libtorch.so: cannot open [shared] object file",
        "executors": [],
    } == found["torch"]
    assert found["jax"]["version"] is None
    assert "cannot open [shared] object file" in run("info")[1]


def test_info_takes_no_arguments() -> None:
    for arguments in (["--jsn"], ["torch"]):
        status, output, errors = run("info", *arguments)
        assert (2, "") == (status, output)
        assert arguments[0] in errors


def test_info_help_shows_an_example() -> None:
    status, output, _ = run("info", "--help")
    assert 0 == status
    assert "lossless info --json | jq .backends.torch" in output
