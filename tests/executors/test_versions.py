"""Which versions of a framework are too old, and what is said then."""

from __future__ import annotations

from importlib import metadata

import pytest

from lossless.executors import versions


@pytest.mark.parametrize(
    ("version", "works"),
    [
        ("0.32.3", True),
        ("0.32.4", True),
        ("0.33.0.dev20270101+abc99", True),
        ("1.0", True),
        ("0.32.10", True),
        ("0.32.2", False),
        ("0.32", False),
        ("0.4.38", False),
        ("0.31.2.dev33", False),
    ],
)
def test_an_older_version_is_one_error(
    version: str, works: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(versions.OLDEST, "mlx", "0.32.3")
    monkeypatch.setattr(metadata, "version", lambda name: version)
    if works:
        versions.check("mlx")
        return
    said = f"lossless needs mlx 0.32.3 or newer, got {version}: pip install --upgrade "
    with pytest.raises(ImportError) as error:
        versions.check("mlx")
    assert str(error.value).startswith(said)


def test_a_framework_without_metadata_may_be_new() -> None:
    assert versions.too_old("a framework that nobody has installed") is None
