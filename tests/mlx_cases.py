"""What the tests of MLX share."""

from __future__ import annotations

from cases import Backend
from formats import FLOAT32
from framework_cases import on

IN_EVERY_DTYPE = on(Backend.MLX)
IN_FLOAT32 = on(Backend.MLX, [FLOAT32])
