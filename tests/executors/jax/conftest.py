"""Fixtures of the tests of JAX."""

from __future__ import annotations

import pytest
from jax.sharding import AxisType


@pytest.fixture(params=[AxisType.Auto, AxisType.Explicit], ids=["auto", "explicit"])
def kind(request: pytest.FixtureRequest) -> AxisType:
    chosen: AxisType = request.param
    return chosen
