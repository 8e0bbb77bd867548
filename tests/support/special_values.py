"""Tests over what is known of losses at special numbers."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import pytest

from lossless.verification.formats import FLOAT32, FORMATS, Format
from lossless.verification.special import SpecialValues
from support.cases import REPRESENTATIVES, Backend, cases


def special_values(
    formats: Iterable[Format] = FORMATS.values(),
    backends: Iterable[Backend] = (Backend.NUMPY,),
    *,
    held: bool = False,
) -> pytest.MarkDecorator:
    """Parameters `case` and `special`; `held`: only with parameters that float32 holds."""
    formats, backends = list(formats), list(backends)
    return pytest.mark.parametrize(
        ("case", "special"),
        [
            pytest.param(*case.values, special, id=f"{case.id}{special.parameters or ''}")
            for loss in REPRESENTATIVES.values()
            for special in loss.special_values
            if not held or all(map(_is_held, special.parameters.values()))
            for case in cases(formats, [loss], backends)
        ],
    )


def _is_held(parameter: float) -> bool:
    return FLOAT32.smallest <= parameter <= FLOAT32.largest or parameter == float("inf")


def without_subnormal_arguments(special: SpecialValues) -> SpecialValues:
    rows = tuple(row for row in special.rows if not {"smallest", "-smallest"} & set(row[0]))
    return replace(special, rows=rows)
