"""Numbers for the keys that name groups of rows, in the order in which they first appear."""

from collections import defaultdict
from itertools import count
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray


class Groups:
    """The groups of all files. Keys of several types are the same where Python finds them equal."""

    def __init__(self) -> None:
        # The numbers of new keys come from the counter. Keys that are missing have none.
        self._numbers: dict[Any, int] = defaultdict(count().__next__, {None: -1, "": -1})

    def keys(self) -> list[Any]:
        """By number."""
        return list(self._numbers)[2:]  # in one step: a thread may be adding to them

    def of(self, array: Any) -> NDArray[np.intp]:
        """The number of each row's group, -1 where it has none."""
        if not pa.types.is_dictionary(array.type):
            array = array.dictionary_encode()
        used = pc.unique(array.indices).drop_null()  # in order of appearance
        keys = array.dictionary.take(used)
        if pa.types.is_floating(keys.type):
            keys = pc.if_else(pc.is_nan(keys), None, keys)
        numbers = np.full(len(array.dictionary) + 1, -1, np.intp)
        numbers[used.to_numpy()] = [self._numbers[key] for key in values(keys)]
        codes = array.indices.fill_null(len(array.dictionary)).to_numpy(zero_copy_only=False)
        result: NDArray[np.intp] = numbers[codes]
        return result


def values(array: Any) -> list[Any]:
    """What an array holds; bytes that are no text are shown all the same."""
    text = pa.types.is_string(array.type) or pa.types.is_large_string(array.type)
    try:
        cells: list[Any] = array.to_pylist()
    except UnicodeDecodeError:
        large = pa.types.is_large_string(array.type)
        raw = array.cast(pa.large_binary() if large else pa.binary()).to_pylist()
        cells = [cell and cell.decode("utf-8", "replace") for cell in raw]
    return [cell and cell.strip() for cell in cells] if text else cells
