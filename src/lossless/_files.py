"""Files that a command writes completely or not at all."""

import os
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ._errors import UserError


def check_path(option: str, path: Path, suffixes: tuple[str, ...]) -> None:
    """Report a problem with the path before an hour of work, not after it."""
    if path.suffix.lower() not in suffixes:
        raise UserError(f"{option} {path}: the name must end with {', '.join(suffixes)}")
    with _reporting(option, path):
        if path.is_dir():
            raise UserError(f"{option} {path}: is a folder")
        if not path.parent.is_dir():
            raise UserError(f"{option} {path}: there is no folder {path.parent}")
        os.unlink(_new_file(path))


@contextmanager
def replacing(option: str, path: Path) -> Iterator[str]:
    """The name of a new file in the same folder, which replaces the path if there is no error."""
    with _reporting(option, path):
        name = _new_file(path)
        try:
            yield name
            os.chmod(name, 0o644)
            os.replace(name, path)
        except BaseException:
            os.unlink(name)
            raise


def _new_file(path: Path) -> str:
    handle, name = tempfile.mkstemp(suffix=path.suffix, dir=path.parent)
    os.close(handle)
    return name


@contextmanager
def _reporting(option: str, path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        # Arrow's errors have their number in the text.
        number = re.search(r"\[errno (\d+)\]", str(error))
        reason = os.strerror(int(number[1])) if number else error.strerror or error
        raise UserError(f"{option} {path}: {reason}") from None
