"""Meshes of the eight devices that conftest.py asks XLA for, and arrays spread over them."""

from __future__ import annotations

from typing import Any

import jax
from jax.sharding import AxisType, NamedSharding, PartitionSpec

P = PartitionSpec
MESHES = {
    "1-D": ((8,), ("a",), P("a")),
    "1-D last": ((8,), ("a",), P(None, "a")),
    "2-D": ((4, 2), ("a", "b"), P("a", "b")),
    "2-D one axis": ((4, 2), ("a", "b"), P("b")),
    "2-D both": ((2, 4), ("a", "b"), P(("a", "b"))),
}
SHAPE = (16, 24)


def spread(name: str, kind: AxisType) -> tuple[Any, Any]:
    sizes, names, spec = MESHES[name]
    assert 8 == len(jax.devices())
    mesh = jax.make_mesh(sizes, names, axis_types=(kind,) * len(sizes))
    return mesh, NamedSharding(mesh, spec)
