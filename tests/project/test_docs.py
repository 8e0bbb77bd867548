"""All pages: their links, anchors, files and commands exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from support import ROOT

PAGES = [
    ROOT / "CONTRIBUTING.md",
    ROOT / "README.md",
    ROOT / "CHANGELOG.md",
    *sorted((ROOT / "docs").glob("*.md")),
]
FOLDERS = "src|tests|benchmarks|examples|tools|docs"
pages = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)


def anchors(page: Path) -> set[str]:
    """As GitHub makes them from headings."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pages
def test_links_lead_somewhere(page: Path) -> None:
    links = re.findall(r"\]\(([^)]+)\)", page.read_text())
    for link in links:
        name, _, anchor = link.partition("#")
        target = page.parent / name if name else page
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


def test_there_are_links_and_anchors() -> None:
    text = "\n".join(page.read_text() for page in PAGES)
    assert "](docs/belgian_calls.png)" in text
    assert "](speed.md#" in text
    assert "experiments-with-huber" in anchors(ROOT / "docs/speed.md")


@pages
def test_named_files_exist(page: Path) -> None:
    text = re.sub(r"\]\([^)]*\)", "", page.read_text())
    for name in re.findall(rf"\b(?:{FOLDERS})/[\w/.-]*\w", text):
        assert "NAME" in name or (ROOT / name).exists(), name


@pages
def test_make_has_the_named_targets(page: Path) -> None:
    makefile = (ROOT / "Makefile").read_text()
    for targets in re.findall(r"(?:`|\$ )make ((?:[a-z-]+ ?)+)", page.read_text()):
        for target in targets.split():
            assert re.search(rf"^{target}:.*## ", makefile, re.MULTILINE), target
