"""The documentation as tests see it: its pages, their fenced blocks, links and headings."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[1]
PAGES: Final = (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))

_BLOCK: Final = re.compile(r"^```(?P<info>[^\n]*)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)
_LINK: Final = re.compile(r"\[[^\]]*\]\((?P<target>[^)\s]+)\)")
_HEADING: Final = re.compile(r"^(?P<level>#+) (?P<title>.+)$", re.MULTILINE)


@dataclass(frozen=True)
class Block:
    """A fenced block: what it is written in (``yaml``, ``yaml ask``), its text, its line."""

    page: Path
    info: str
    text: str
    line: int

    def __str__(self) -> str:
        return f"{self.page.name}:{self.line}"


def blocks(page: Path, *infos: str) -> list[Block]:
    """The fenced blocks of a page that are written in one of these."""
    text = page.read_text(encoding="utf-8")
    found = (Block(page, m["info"], m["text"], text.count("\n", 0, m.start()) + 1) for m in _BLOCK.finditer(text))
    return [block for block in found if block.info in infos]


def section(page: Path, title: str) -> range:
    """The lines of a page's section, those of the sections in it included."""
    lines = page.read_text(encoding="utf-8").splitlines()
    start = next(i for i, line in enumerate(lines) if line.lstrip("#").strip() == title and line.startswith("#"))
    level = len(lines[start]) - len(lines[start].lstrip("#"))
    ends = (i for i in range(start + 1, len(lines)) if re.match(rf"#{{1,{level}}} ", lines[i]))
    return range(start + 1, next(ends, len(lines)) + 1)


def prose(page: Path) -> str:
    """A page without its fenced blocks."""
    return _BLOCK.sub("", page.read_text(encoding="utf-8"))


def links(page: Path) -> Iterator[str]:
    """The targets of a page's links."""
    return (match["target"] for match in _LINK.finditer(prose(page)))


def anchors(page: Path) -> set[str]:
    """The anchors that a page's headings give."""
    titles = (match["title"] for match in _HEADING.finditer(prose(page)))
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def tables(page: Path) -> dict[str, list[list[str]]]:
    """The rows of a page's tables by the text of their headings, joined by ``|``."""
    found: dict[str, list[list[str]]] = {}
    head = None
    for line in prose(page).splitlines():
        cells = [cell.strip().replace("\\|", "|") for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
        if not cells:
            head = None
        elif head is None:
            head = found.setdefault("|".join(cells), [])
        elif not set(cells[0]) <= set("-: "):
            head.append(cells)
    return found
