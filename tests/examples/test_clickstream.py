"""The clickstream example: what its page says is typed is typed, and what it says comes out comes out."""

from __future__ import annotations

import shutil
from itertools import pairwise
from pathlib import Path

import pytest

from data.log.mapping import load_map
from tests.documents import ROOT, Block, blocks, links
from tests.examples.terminals import copy_of, typed, without_ends

PAGE = ROOT / "examples" / "clickstream" / "README.md"


def spoken() -> list[tuple[Block, Block]]:
    """Every block that is typed with the block of what comes out."""
    pairs = list(pairwise(blocks(PAGE, "sh", "text")))
    return [(first, second) for first, second in pairs if (first.info, second.info) == ("sh", "text")]


def test_the_page_is_what_happens(tmp_path: Path) -> None:
    if shutil.which("bash") is None:
        pytest.skip("the page is typed in bash")
    folder = copy_of("clickstream", tmp_path)
    # ``head`` ends a pipe early; that is no failure.
    said = {str(typing): typed(f"set +o pipefail\n{typing.text}", folder) for typing, _ in spoken()}
    assert said == {str(typing): without_ends(shown.text) for typing, shown in spoken()}


def test_all_that_is_typed_is_compared() -> None:
    assert len(spoken()) == len(blocks(PAGE, "sh")) == 5


def test_the_page_has_the_real_map() -> None:
    (shown,) = blocks(PAGE, "yaml")
    assert shown.text == (PAGE.parent / "map.yaml").read_text(encoding="utf-8")
    assert load_map(PAGE.parent / "map.yaml").constants["journey"] == "shop"


def test_another_seed_is_another_clickstream(tmp_path: Path) -> None:
    folder = copy_of("clickstream", tmp_path)
    for out, seed in (("a", 1), ("b", 1), ("c", 2)):
        typed(f"python generate.py --clients 20 --seed {seed} --out {out}", folder)
    a, b, c = ((folder / out / "clicks.csv").read_text() for out in "abc")
    assert a == b != c


@pytest.mark.parametrize("page", sorted((ROOT / "examples").glob("*/README.md")), ids=lambda page: page.parent.name)
def test_links_lead_somewhere(page: Path) -> None:
    assert [link for link in links(page) if not link.startswith("https://") and not (page.parent / link).exists()] == []
