"""The types of columns with keys of groups, and the type that holds the keys of all files."""

from collections.abc import Callable
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

TEXT = pa.large_string()
KINDS: tuple[Callable[[Any], bool], ...] = (
    pa.types.is_string,
    pa.types.is_large_string,
    pa.types.is_binary,
    pa.types.is_large_binary,
    pa.types.is_fixed_size_binary,
    pa.types.is_boolean,
    pa.types.is_integer,
    pa.types.is_floating,
    pa.types.is_decimal,
    pa.types.is_date,
    pa.types.is_time,
    pa.types.is_timestamp,
    pa.types.is_duration,
    pa.types.is_null,
)


class NoKeyError(Exception):
    """The values of a type cannot be keys of groups."""


def is_text(kind: Any) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def is_binary(kind: Any) -> bool:
    fixed = pa.types.is_fixed_size_binary(kind)
    return bool(fixed or pa.types.is_binary(kind) or pa.types.is_large_binary(kind))


def plain(kind: Any) -> Any:
    """The type of a column's values, in a form in which Arrow finds equal values."""
    if isinstance(kind, pa.BaseExtensionType):
        return plain(kind.storage_type)
    if pa.types.is_dictionary(kind) or pa.types.is_run_end_encoded(kind):
        return plain(kind.value_type)
    if pa.types.is_string_view(kind):
        return TEXT
    if pa.types.is_binary_view(kind):
        return pa.large_binary()
    if pa.types.is_decimal(kind) and kind.bit_width < 128:
        return pa.decimal128(kind.precision, kind.scale)
    if not any(is_kind(kind) for is_kind in KINDS):
        raise NoKeyError(f"cannot group by {kind}")
    return kind


def common(kinds: list[Any]) -> Any:
    """The smallest type that holds the values of all types; text, for numbers and text."""
    schemas = [pa.schema([("", kind)]) for kind in dict.fromkeys(map(plain, kinds))]
    try:
        return pa.unify_schemas(schemas, promote_options="permissive").field(0).type
    except pa.ArrowException:
        return TEXT


def own(kinds: list[Any]) -> Any:
    """The type of the column in the output: the common type, or the type of all the columns."""
    kind, first = common(kinds), kinds[0]
    if all(map(pa.types.is_dictionary, kinds)) and is_text(kind):
        return pa.dictionary(pa.int32(), kind)
    packed = pa.types.is_dictionary(first) or pa.types.is_run_end_encoded(first)
    return kind if packed or any(other != first for other in kinds) else first


def of_csv(kind: Any) -> Any:
    """The type in a CSV file: text, unless Arrow writes the type in the usual form."""
    kind = plain(kind)
    texts = is_text(kind) or is_binary(kind) or pa.types.is_duration(kind)
    return TEXT if texts else kind


def written(values: Any, kind: Any) -> Any:
    """Plain values in the type of the column in the output."""
    if isinstance(kind, pa.BaseExtensionType):
        return kind.wrap_array(values.cast(kind.storage_type))
    if pa.types.is_duration(values.type) and is_text(kind):
        return pa.array(names(values), kind)
    if is_binary(values.type) and is_text(kind):
        return pa.array([cell.decode() for cell in values.to_pylist()], kind)
    return values if values.type == kind else values.cast(kind)


def encoded(array: Any) -> Any:
    """A dictionary array of plain values."""
    if isinstance(array.type, pa.BaseExtensionType):
        return encoded(array.storage)
    if pa.types.is_run_end_encoded(array.type):
        return encoded(pc.run_end_decode(array))
    if not pa.types.is_dictionary(array.type):
        return _cast(array, plain(array.type)).dictionary_encode()
    values = array.dictionary
    values = values.storage if isinstance(values.type, pa.BaseExtensionType) else values
    return pa.DictionaryArray.from_arrays(array.indices, _cast(values, plain(values.type)))


def cast(values: Any, kind: Any) -> Any:
    """Plain values in a common type; ArrowInvalid for a value that it cannot hold."""
    if is_text(kind) and not is_text(values.type) and not is_binary(values.type):
        return pa.array([None if x is None else str(x) for x in names(values)], kind)
    return _cast(values, kind)


def stored(values: Any) -> Any:
    """Values that Python hashes fast and exactly: times as the integers that represent them."""
    if pa.types.is_temporal(values.type):
        return values.view(pa.int32() if values.type.bit_width == 32 else pa.int64())
    return values


def restored(values: list[Any], kind: Any) -> Any:
    """The opposite of `stored(...).to_pylist()`."""
    if pa.types.is_temporal(kind):
        return pa.array(values, pa.int32() if kind.bit_width == 32 else pa.int64()).view(kind)
    try:
        return pa.array(values, kind)
    except UnicodeEncodeError:
        return pa.array([escaped(value) for value in values], kind)


def names(values: Any) -> list[Any]:
    """Plain values for display: numbers and text. Bytes that are not text are escaped."""
    kind = values.type
    if pa.types.is_duration(kind):
        return [
            None if count is None else _duration(count, kind.unit) for count in _integers(values)
        ]
    if pa.types.is_temporal(kind):
        text = pc.replace_substring_regex(values.cast(TEXT), r"(\.\d*?)0+([Z+-]|$)", r"\1\2")
        return list(pc.replace_substring_regex(text, r"\.([Z+-]|$)", r"\1").to_pylist())
    cells: list[Any] = values.to_pylist()
    if is_binary(kind):
        return [
            None if cell is None else cell.decode("utf-8", "backslashreplace") for cell in cells
        ]
    return cells


def escaped(text: str) -> str:
    """Text with escapes in place of surrogates, which stand for bytes that are not text."""
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def _duration(count: int, unit: str) -> str:
    per_second = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}[unit]
    sign, (seconds, rest) = "-" * (count < 0), divmod(abs(count), per_second)
    fraction = f".{rest:0{len(str(per_second)) - 1}d}".rstrip("0") if rest else ""
    hours, minutes = divmod(seconds // 60, 60)
    return f"{sign}{hours}:{minutes:02d}:{seconds % 60:02d}{fraction}"


def _integers(values: Any) -> list[Any]:
    return list(stored(values).to_pylist())


def _cast(values: Any, kind: Any) -> Any:
    return values if values.type == kind else values.cast(kind)
