"""Types of columns that name groups, two keys of each, and how they are shown."""

from __future__ import annotations

from decimal import Decimal
from typing import Any, NamedTuple

import pyarrow as pa


class Key(NamedTuple):
    """An array of two keys, with their names in JSON and in CSV, where they are text."""

    array: Any
    names: tuple[Any, Any]
    csv: tuple[str, str] | None

    @property
    def kind(self) -> Any:
        return self.array.type

    @property
    def text(self) -> Any:
        """A type to compare them in, in every digit."""
        binary = pa.types.is_binary(self.kind) or pa.types.is_fixed_size_binary(self.kind)
        view = pa.types.is_binary_view(self.kind)
        return pa.binary() if binary or view else pa.string()


def _times(kind: Any, first: int, second: int, *names: str) -> Key:
    integers = pa.int32() if kind.bit_width == 32 else pa.int64()
    return Key(pa.array([first, second], integers).view(kind), names, names)  # type: ignore[arg-type]


def _text(kind: Any) -> Key:
    return Key(pa.array(["Köln", "a b"]).cast(kind), ("Köln", "a b"), ("Köln", "a b"))


def _decimals(kind: Any, *names: str) -> Key:
    return Key(pa.array([*map(Decimal, names)], kind), names, names)  # type: ignore[arg-type]


DAY = 19_723  # 2024-01-01
SECOND = 86_400 * DAY
KEYS = [
    *map(_text, (pa.string(), pa.large_string(), pa.string_view())),
    _text(pa.dictionary(pa.int32(), pa.string())),
    _text(pa.dictionary(pa.int32(), pa.large_string())),
    Key(pa.array([5, 6]).dictionary_encode(), (5, 6), ("5", "6")),
    Key(pa.array([1, 2]).view(pa.timestamp("us")).dictionary_encode(),
        ("1970-01-01 00:00:00.000001", "1970-01-01 00:00:00.000002"),
        ("1970-01-01 00:00:00.000001", "1970-01-01 00:00:00.000002")),
    Key(pa.array([b"Koeln", b"\xff"]), ("Koeln", "\\xff"), None),
    Key(pa.array([b"Koeln", b"\xff"], pa.binary_view()), ("Koeln", "\\xff"), None),
    Key(pa.array([b"ab", b"cd"], pa.binary(2)), ("ab", "cd"), ("ab", "cd")),
    Key(pa.array([True, False]), (True, False), ("true", "false")),
    Key(pa.array([2**63 + 5, 2**63 + 6], pa.uint64()), (2**63 + 5, 2**63 + 6),
        ("9223372036854775813", "9223372036854775814")),
    Key(pa.array([-1, 2], pa.int8()), (-1, 2), ("-1", "2")),
    Key(pa.array([0.5, 1.0], pa.float16()), (0.5, 1.0), ("0.5", "1")),
    Key(pa.array([2**53 + 0.0, 1.5]), (2.0**53, 1.5), ("9.007199254740992e+15", "1.5")),
    _decimals(pa.decimal128(10, 1), "1.1", "123456.1"),
    _decimals(pa.decimal256(50, 2), "1.10", "-123456.10"),
    _decimals(pa.decimal32(7, 1), "1.1", "12345.1"),
    _times(pa.date32(), DAY, 0, "2024-01-01", "1970-01-01"),
    _times(pa.date64(), 1000 * SECOND, 0, "2024-01-01", "1970-01-01"),
    _times(pa.timestamp("s"), SECOND, 1, "2024-01-01 00:00:00", "1970-01-01 00:00:01")._replace(
        csv=("2024-01-01 00:00:00.000", "1970-01-01 00:00:01.000")),
    Key(pa.array([1, 123_456_789]).view(pa.timestamp("ns")),
        ("1970-01-01 00:00:00.000000001", "1970-01-01 00:00:00.123456789"),
        ("1970-01-01 00:00:00.000000001", "1970-01-01 00:00:00.123456789")),
    Key(pa.array([10**9 * SECOND, 1_500_000_000]).view(pa.timestamp("ns", "UTC")),
        ("2024-01-01 00:00:00Z", "1970-01-01 00:00:01.5Z"),
        ("2024-01-01 00:00:00.000000000Z", "1970-01-01 00:00:01.500000000Z")),
    Key(pa.array([1, 1_500_000_000]).view(pa.time64("ns")), ("00:00:00.000000001", "00:00:01.5"),
        ("00:00:00.000000001", "00:00:01.500000000")),
    Key(pa.array([1, 5_400_000_000_000]).view(pa.duration("ns")),
        ("0:00:00.000000001", "1:30:00"), ("0:00:00.000000001", "1:30:00")),
    _times(pa.duration("s"), -1, 360_000, "-0:00:01", "100:00:00"),
]  # fmt: skip
