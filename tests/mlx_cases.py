"""What the tests of MLX share."""

from __future__ import annotations

from cases import Backend
from framework_cases import on

from lossless.cli.oracle.formats import FLOAT32

IN_EVERY_DTYPE = on(Backend.MLX)
IN_FLOAT32 = on(Backend.MLX, [FLOAT32])
