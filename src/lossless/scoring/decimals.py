"""Decimal columns as the nearest doubles: Arrow's own cast multiplies by a rounded power of ten."""

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

# Integers below 2**53 and powers of ten up to 10**22 are doubles, so one division rounds once.
EXACT_INTEGER = 1 << 53
EXACT_SCALE = 22


def numbers(array: Any) -> NDArray[np.float64]:
    """The nearest double of each decimal; missing ones are NaN."""
    if not 0 <= array.type.scale <= EXACT_SCALE or array.type.bit_width > 128:
        return _by_text(array)
    if array.type.bit_width < 128:
        array = array.cast(pa.decimal128(array.type.precision, array.type.scale))
    low, small = _integers(array)
    result: NDArray[np.float64] = low / 10.0**array.type.scale
    if array.null_count:
        known = array.is_valid().to_numpy(zero_copy_only=False)
        result[~known] = np.nan
        small |= ~known
    if not small.all():
        result[~small] = _by_text(array.filter(pa.array(~small)))
    return result


def _integers(array: Any) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """The low words of unscaled values, and whether each is the whole value and a double."""
    words = np.frombuffer(array.buffers()[1], "<i8").reshape(-1, 2)
    low, high = words[array.offset : array.offset + len(array)].T
    return low, (high == low >> 63) & (abs(low) < EXACT_INTEGER) & (low > np.iinfo(low.dtype).min)


def _by_text(array: Any) -> NDArray[np.float64]:
    """Arrow reads text as the nearest double."""
    text = array.cast(pa.string())
    result: NDArray[np.float64] = pc.cast(text, pa.float64()).to_numpy(zero_copy_only=False)
    return result
