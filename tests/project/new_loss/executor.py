"""Run with a package to which the executor has been added: who computes, and who says why not."""

from importlib import import_module
from typing import Any

import numpy as np

lossless: Any = import_module("lossless")
framework = import_module("lossless.executors.numpy").FRAMEWORK
new, *others = framework.executors
assert ["kernels", "formulas"] == [executor.name for executor in others]
new.record.clear()


def record() -> list[str]:
    """What happened since the last time."""
    found = list(new.record)
    new.record.clear()
    return found


x, t = np.array([0.25, -3.0, 1.0]), np.array([0.0, 1.0, 1.0])
narrow = x.astype(np.float32), t.astype(np.float32)
huber = lossless.huber_loss

# What it takes, it computes.
total = huber(*narrow, reduction="sum")
assert ["taken", "run"] == record()
assert np.float32(3.53125) == total
assert np.float32 is type(total)
rows = lossless.cosine_similarity_loss(*narrow, axis=0, reduction="sum")
assert ["taken", "run"] == record()
assert np.float32 is type(rows)

# What it refuses goes to the next one, with the same results as before.
value, gradient = lossless.value_and_grad(huber)(*narrow, reduction="sum")
assert (3.53125, [0.25, -1.0, 0.0]) == (value, gradient.tolist())
assert ["not a sum"] == record()
assert 3.53125 == huber(x, t, reduction="sum")
assert ["not float32 but float64"] == record()
assert [0.03125, 3.5, 0.0] == huber(*narrow).tolist()
assert ["not a sum"] == record()

# The formulas alone.
with lossless.composed():
    assert 3.53125 == huber(*narrow, reduction="sum")
    assert "formulas" == lossless.info()["backends"]["numpy"]["executor"]
assert [] == record()

# Reports.
entry = lossless.info()["backends"]["numpy"]
assert "float32 sums" == entry["executor"]
assert ["float32 sums", "kernels", "formulas"] == [row["name"] for row in entry["executors"]]
assert "everything but sums of float32 losses" == entry["executors"][0]["refuses"]

print("executor: as expected")
