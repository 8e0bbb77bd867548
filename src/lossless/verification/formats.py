"""The four floating-point formats, and what it means to round a real number to one of them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import ml_dtypes
import numpy as np
from mpmath import mp
from numpy.typing import NDArray

Array = NDArray[Any]
Mpf = Any  # mpmath has no type stubs
Extended = NDArray[np.longdouble]


@dataclass(frozen=True)
class Format:
    """Numbers n * 2**q with |n| < 2**precision and q >= min_exponent - precision + 1."""

    name: str
    precision: int
    min_exponent: int  # of the smallest normal number, 2**min_exponent
    max_exponent: int  # of the largest binade

    @property
    def dtype(self) -> np.dtype[Any]:
        return np.dtype(ml_dtypes.bfloat16 if self.name == "bfloat16" else self.name)

    @property
    def unsigned(self) -> np.dtype[Any]:
        """The integers that hold the bits of this format."""
        return np.dtype(f"u{self.dtype.itemsize}")

    @property
    def largest(self) -> float:
        return math.ldexp(2.0 - 2.0 ** (1 - self.precision), self.max_exponent)

    @property
    def smallest(self) -> float:
        """The smallest subnormal number, which is also the quantum of the subnormal range."""
        return math.ldexp(1.0, self.min_exponent - self.precision + 1)

    def array(self, numbers: Any) -> Array:
        """Rounds to this format; numbers that it holds stay what they are."""
        return np.asarray(round_extended(np.asarray(numbers, np.float64), self))

    def from_bits(self, bits: Any) -> Array:
        return np.asarray(bits).astype(self.unsigned).view(self.dtype)

    def bits(self, array: Array) -> Array:
        """The bits, with one pattern for every NaN."""
        array = np.asarray(array, self.dtype)
        nan = np.asarray(np.nan, self.dtype)
        return np.where(np.isnan(array), nan, array).view(self.unsigned)

    def quantum_exponent(self, magnitude: int) -> int:
        """log2 of the spacing at numbers x with 2**(magnitude - 1) <= |x| < 2**magnitude."""
        return max(magnitude - self.precision, self.min_exponent - self.precision + 1)

    def spacing(self, array: Any) -> NDArray[np.float64]:
        """One ULP at each number, as float64."""
        magnitude = np.frexp(np.asarray(array, np.float64))[1]
        lowest = self.min_exponent - self.precision + 1
        exponent = np.maximum(magnitude - self.precision, lowest)
        result: NDArray[np.float64] = np.ldexp(np.ones(exponent.shape), exponent)
        return result

    def neighbour(self, number: float, steps: int) -> float:
        """The number so many steps of this format upwards (downwards if negative)."""
        bits = int(self.bits(self.array(number)))
        sign = 1 << (self.dtype.itemsize * 8 - 1)
        ordered = (sign - bits if bits & sign else bits) + steps
        return float(self.from_bits(ordered if ordered >= 0 else sign - ordered))


FORMATS = {
    fmt.name: fmt
    for fmt in (
        Format("float16", 11, -14, 15),
        Format("bfloat16", 8, -126, 127),
        Format("float32", 24, -126, 127),
        Format("float64", 53, -1022, 1023),
    )
}
FLOAT16, BFLOAT16, FLOAT32, FLOAT64 = FORMATS.values()
# In these the contract is a correctly rounded result.
NARROW = (FLOAT16, BFLOAT16, FLOAT32)


def round_real(number: Mpf, fmt: Format) -> float:
    """The number of the format nearest to a real one: ties to even, subnormals, overflow to inf."""
    if mp.isnan(number):
        return math.nan
    sign, mantissa, exponent, length = number._mpf_
    if mp.isinf(number):
        return math.inf if number > 0 else -math.inf
    mantissa, exponent, length, magnitude = (*map(int, (mantissa, exponent, length)), 0)
    magnitude = exponent + length
    if magnitude > fmt.max_exponent + 1:
        result = math.inf
    elif magnitude < fmt.min_exponent - fmt.precision:  # below half of the smallest
        result = 0.0
    else:
        quantum = fmt.quantum_exponent(magnitude)
        shift = quantum - exponent
        if shift <= 0:
            count = mantissa << -shift
        else:
            count, rest = divmod(mantissa, 1 << shift)
            half = 1 << (shift - 1)
            count += rest > half or (rest == half and count % 2 == 1)
        overflow = count >= 1 << (fmt.max_exponent + 1 - quantum)
        result = math.inf if overflow else math.ldexp(count, quantum)
    return -result if sign else result


def round_extended(numbers: Extended | NDArray[np.float64], fmt: Format) -> Array:
    """Rounds wider numbers to the format, once.

    Casts to bfloat16, and of long doubles to float16, round twice: first to float32 or float64.
    """
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        if fmt.dtype.kind == "f" and fmt.dtype.itemsize >= 4:
            return numbers.astype(fmt.dtype)
        magnitude = np.frexp(numbers)[1]
        lowest = fmt.min_exponent - fmt.precision + 1
        quantum = np.maximum(magnitude - fmt.precision, lowest)
        rounded = np.ldexp(np.rint(np.ldexp(numbers, -quantum)), quantum)
        result: Array = rounded.astype(np.float32).astype(fmt.dtype)
        return result


def ulp_error(got: float, true: Mpf, fmt: Format) -> float:
    """|got - true| in units of the spacing at the true number; 0 where both overflow or are NaN."""
    if math.isnan(got) or mp.isnan(true):
        return 0.0 if math.isnan(got) and mp.isnan(true) else math.inf
    if math.isinf(got):
        return 0.0 if round_real(true, fmt) == got else math.inf
    if mp.isinf(true):
        return math.inf
    magnitude = mp.mag(true) if true else fmt.min_exponent
    with mp.workprec(2400):  # the difference of two float64 numbers is exact
        quantum = fmt.quantum_exponent(int(magnitude))
        return float(mp.ldexp(abs(mp.mpf(got) - true), -quantum))
