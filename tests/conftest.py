"""The one fixture over losses, backends and dtypes, and the settings that all tests share."""

from __future__ import annotations

import os
from collections.abc import Iterator

import hypothesis
import numpy as np
import pytest

import lossless
from lossless.verification.formats import NARROW
from support import TESTS, leftovers
from support.cases import Case, cases, with_float64
from support.frameworks.cases import PATHS

# For the tests of sharding; before JAX starts.
os.environ.setdefault("XLA_FLAGS", "--xla_force_host_platform_device_count=8")

# A case does not change, so sharing one between examples is safe; mpmath makes them slow.
ALLOWED = [hypothesis.HealthCheck.function_scoped_fixture, hypothesis.HealthCheck.too_slow]
for profile, examples in (("default", 60), ("ci", 150)):
    hypothesis.settings.register_profile(
        profile,
        deadline=None,
        max_examples=examples,
        derandomize=profile == "ci",
        database=None,
        suppress_health_check=ALLOWED,
    )
hypothesis.settings.load_profile("ci" if os.environ.get("CI") else "default")


# Quick and sharp: what is wrong with a kernel shows here.
FIRST = [
    TESTS / "kernels" / f"test_{name}.py"
    for name in ("tables", "special_values", "claimed_errors", "cross_entropy_special")
]


def pytest_configure(config: pytest.Config) -> None:
    if not hasattr(config, "workerinput"):  # workers of xdist are what the run leaves
        leftovers.end_with_this_process()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: item.path not in FIRST)


@pytest.fixture(params=cases())
def case(request: pytest.FixtureRequest) -> Case:
    chosen: Case = request.param
    return chosen


@pytest.fixture(params=cases(NARROW))
def narrow_case(request: pytest.FixtureRequest) -> Case:
    """The dtypes whose element-wise results are correctly rounded."""
    chosen: Case = request.param
    return chosen


@pytest.fixture
def rng(request: pytest.FixtureRequest) -> np.random.Generator:
    """Random numbers of this test alone: the same whichever tests run before it."""
    return np.random.default_rng(list(request.node.name.encode()))


@pytest.fixture(params=PATHS)
def path(request: pytest.FixtureRequest) -> Iterator[None]:
    """Each way in which calls may be computed."""
    with PATHS[request.param]():
        yield


@pytest.fixture
def jax_float64() -> Iterator[None]:
    with with_float64():
        yield


@pytest.fixture
def native() -> Iterator[None]:
    """Gives back the threads and the instruction set that a test changes."""
    before = lossless.info()
    yield
    lossless.set_num_threads(before["threads"])
    lossless._core.set_instruction_set(before["instruction_set"])
