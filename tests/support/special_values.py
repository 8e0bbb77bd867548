"""Results of Huber and log-cosh at special numbers, known by hand."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from support.cases import Case

INF, NAN = math.inf, math.nan
# inputs, targets -> value, gradient, second derivative; "largest" and the like are of the dtype.
LOG_COSH = [
    ((0.0, 0.0), (0.0, 0.0, 1.0)),
    ((-0.0, 0.0), (0.0, -0.0, 1.0)),
    ((5.0, 5.0), (0.0, 0.0, 1.0)),
    ((-5.0, -5.0), (0.0, 0.0, 1.0)),
    ((INF, 0.0), (INF, 1.0, 0.0)),
    ((-INF, 2.0), (INF, -1.0, 0.0)),
    ((3.0, INF), (INF, -1.0, 0.0)),
    ((INF, -INF), (INF, 1.0, 0.0)),
    ((INF, INF), (NAN, NAN, NAN)),
    ((NAN, 1.0), (NAN, NAN, NAN)),
    ((1.0, NAN), (NAN, NAN, NAN)),
    ((INF, NAN), (NAN, NAN, NAN)),
    (("smallest", 0.0), (0.0, "smallest", 1.0)),
    ((0.0, "smallest"), (0.0, "-smallest", 1.0)),
    (("normal", 0.0), (0.0, "normal", 1.0)),
    (("largest", 0.0), ("largest", 1.0, 0.0)),
    (("-largest", 0.0), ("largest", -1.0, 0.0)),
    (("largest", "-largest"), (INF, 1.0, 0.0)),
    (("-largest", "largest"), (INF, -1.0, 0.0)),
    (("largest", "smallest"), ("largest", 1.0, 0.0)),
    (("largest", "largest"), (0.0, 0.0, 1.0)),
]

NAN_RESIDUALS = [(pair, results) for pair, results in LOG_COSH if results[0] is NAN]
HUBER = {
    1.0: [
        *NAN_RESIDUALS,
        ((0.0, 0.0), (0.0, 0.0, 1.0)),
        ((-0.0, 0.0), (0.0, -0.0, 1.0)),
        ((-5.0, -5.0), (0.0, 0.0, 1.0)),
        ((INF, 3.0), (INF, 1.0, 0.0)),
        ((-INF, INF), (INF, -1.0, 0.0)),
        ((1.0, 0.0), (0.5, 1.0, 1.0)),
        ((3.0, 4.0), (0.5, -1.0, 1.0)),
        ((-3.0, -0.5), (2.0, -1.0, 0.0)),
        (("above one", 0.0), ("above half", 1.0, 0.0)),
        ((0.0, "above one"), ("above half", -1.0, 0.0)),
        (("below one", 0.0), ("half below", "below one", 1.0)),
        (("smallest", 0.0), (0.0, "smallest", 1.0)),
        ((0.0, "smallest"), (0.0, "-smallest", 1.0)),
        (("largest", 0.0), ("largest", 1.0, 0.0)),
        (("largest", "-largest"), (INF, 1.0, 0.0)),
    ],
    INF: [
        *NAN_RESIDUALS,
        ((0.0, -3.0), (4.5, 3.0, 1.0)),
        ((-0.5, 2.0), (3.125, -2.5, 1.0)),
        ((INF, 1.0), (INF, INF, 1.0)),
        ((-INF, 1.0), (INF, -INF, 1.0)),
        (("largest", 0.0), (INF, "largest", 1.0)),
        (("largest", "-largest"), (INF, INF, 1.0)),
        ((-0.0, 0.0), (0.0, -0.0, 1.0)),
    ],
    2.0**-1060: [  # below every number of the narrow dtypes
        *NAN_RESIDUALS,
        ((0.0, 0.0), (0.0, 0.0, 1.0)),
        ((-0.0, 0.0), (0.0, -0.0, 1.0)),
        ((1.5, 0.0), ("delta * 1.5", "delta", 0.0)),
        ((0.0, 1.5), ("delta * 1.5", "-delta", 0.0)),
        ((INF, 1.0), (INF, "delta", 0.0)),
        ((-INF, 1.0), (INF, "-delta", 0.0)),
    ],
    1e300: [
        *NAN_RESIDUALS,
        ((-3.0, 1.0), (8.0, -4.0, 1.0)),
        ((INF, 1.0), (INF, "delta", 0.0)),
        ((-INF, 1.0), (INF, "-delta", 0.0)),
    ],
}
TABLES: list[tuple[str, dict[str, float], Any]] = [("log_cosh", {}, LOG_COSH)]
TABLES += [("huber", {"delta": delta}, table) for delta, table in HUBER.items()]


def number(entry: float | str, case: Case, parameters: dict[str, float]) -> float:
    if not isinstance(entry, str):
        return entry
    fmt = case.fmt
    delta = parameters.get("delta", NAN)
    below = fmt.neighbour(1.0, -1)
    with np.errstate(under="ignore"):
        names = {
            "smallest": fmt.smallest,
            "normal": math.ldexp(1.0, fmt.min_exponent),
            "largest": fmt.largest,
            "below one": below,
            "above one": fmt.neighbour(1.0, 1),
            "above half": 0.5 + (fmt.neighbour(1.0, 1) - 1),
            "half below": float(fmt.array(below * below / 2)),
            "delta": delta,
            "delta * 1.5": delta * 1.5,
        }
    return -names[entry[1:]] if entry.startswith("-") else names[entry]
