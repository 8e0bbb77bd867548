"""Run with a package to which the loss has been added: its names, its texts, and NumPy's arrays."""

import inspect
import pickle
import pydoc
from importlib import import_module
from typing import Any

import numpy as np

lossless: Any = import_module("lossless")
pinball = lossless.pinball_loss

# It is listed; MLX's losses, and those with a kernel, are as before.
assert "pinball_loss" in lossless.__all__
info = lossless.info()
assert "pinball_loss" in info["losses"]
assert "pinball" not in info["kernels"]
assert len(lossless.__all__) == len(set(lossless.__all__))

# The signature and the help are whole.
parameters = ["inputs", "targets", "quantile", "reduction", "weights", "where", "axis"]
assert parameters == list(inspect.signature(pinball).parameters)
text = pydoc.render_doc(pinball, renderer=pydoc.plaintext)  # type: ignore[attr-defined]
sections = ["Args:", "Returns:", "Raises:", "Special values:", "Example:", "References:"]
assert sections == [line.strip() for line in text.splitlines() if line.strip() in sections]
described = [line.partition(":")[0].strip() for line in text.splitlines() if line[:8].isspace()]
assert parameters == [name for name in described if name in parameters]
assert "a number `quantile` that is not in (0, 1)" in " ".join(text.split())

# NumPy's arrays, numbers, and what NumPy converts.
x, t = np.array([3.0, 1.0, 2.0]), np.array([1.0, 3.0, 2.0])
assert [1.5, 0.5, 0.0] == pinball(x, t, 0.25).tolist()
assert [1.5, 0.5, 0.0] == pinball([3, 1, 2], [1, 3, 2], quantile=0.25).tolist()
assert 0.5 == pinball(1.0, 3.0, 0.25)
both = pickle.loads(pickle.dumps(lossless.value_and_grad(pinball)))
assert lossless.value_and_grad(pinball) is both

# References know it.
reference = import_module("lossless.verification.losses").LOSSES["pinball"]
assert {"quantile": 0.5} == reference.parameters

print("package: as expected")
