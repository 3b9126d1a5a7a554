from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from data.catalog import load_catalog
from data.errors import BadInput
from policy.bundle import save_bundle
from policy.explorers import Greedy
from policy.following import Following, Pointed, parse_pointer, pointer_path, publish_pointer, read_pointer
from policy.live import MAIN, served
from policy.scorers import ConstantScorer

CATALOG = """
format: 1
journey: shop
goal: buy
baseline: [quiz, buy]
asks:
  - {id: quiz, title: Quiz, kind: quiz, effort: 1}
  - {id: buy, title: Buy, kind: purchase, effort: 2}
"""


class Site:
    """A workspace whose catalogs and policies are followed."""

    def __init__(self, root: Path) -> None:
        self.journeys, self.policies = root / "journeys", root / "policies"
        self.journeys.mkdir()
        self.edit(CATALOG)
        self.now = 0
        self._following: Following | None = None

    @property
    def following(self) -> Following:
        if self._following is None:
            self._following = Following(self.journeys, self.policies, lambda: self.now)
        return self._following

    def edit(self, catalog: str) -> None:
        (self.journeys / "shop.yaml").write_text(catalog)

    def bundle(self, version: str) -> Pointed:
        catalog = load_catalog(self.journeys / "shop.yaml")
        scorer = ConstantScorer(tuple(ask.id for ask in catalog.asks), {"quiz": float(version)})
        folder = f"shop/{version}"
        digest = save_bundle(
            self.policies / folder, scorer=scorer, explorer=Greedy(0.0), catalog=catalog, spec=None, info={}
        )
        return Pointed(version, folder, digest)

    def serves(self) -> str:
        """The log's name of what serves the main arm after the next look."""
        self.following.refresh()
        return served(self.following.live["shop"], MAIN).label


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


def test_without_a_pointer_it_is_day_zero(site: Site) -> None:
    assert site.serves() == "baseline"
    assert not site.following.troubles


def test_a_published_champion_is_followed_without_restart(site: Site) -> None:
    assert site.serves() == "baseline"
    publish_pointer(site.policies, "shop", champion=site.bundle("7"))
    site.now = 5
    assert site.serves() == "champion:7"
    assert site.following.live["shop"].loaded_at == 5


def test_nothing_new_changes_nothing(site: Site) -> None:
    publish_pointer(site.policies, "shop", champion=site.bundle("7"))
    live = site.following.live["shop"]
    assert site.following.refresh() is False
    assert site.following.live["shop"] is live


def test_a_deleted_pointer_is_day_zero_again(site: Site) -> None:
    path = publish_pointer(site.policies, "shop", champion=site.bundle("7"))
    assert site.serves() == "champion:7"
    path.unlink()
    assert site.serves() == "baseline"


def test_a_half_written_pointer_keeps_what_is_live_and_shows(site: Site) -> None:
    path = publish_pointer(site.policies, "shop", champion=site.bundle("7"))
    assert site.serves() == "champion:7"
    path.write_bytes(path.read_bytes()[:40])
    assert site.serves() == "champion:7"
    assert "is not JSON" in site.following.troubles["shop"]


def test_a_half_written_pointer_on_day_zero_leaves_it_day_zero(site: Site) -> None:
    assert site.serves() == "baseline"
    site.policies.mkdir()
    pointer_path(site.policies, "shop").write_text("{")
    assert site.serves() == "baseline"


def test_who_never_saw_a_good_pointer_falls_back(site: Site) -> None:
    site.policies.mkdir()
    pointer_path(site.policies, "shop").write_text("{")
    assert site.serves() == "fallback"


def test_a_changed_byte_in_the_bundle_is_refused(site: Site) -> None:
    champion = site.bundle("7")
    file = site.policies / champion.folder / "policy.json"
    file.write_bytes(file.read_bytes().replace(b"shop", b"ship"))
    publish_pointer(site.policies, "shop", champion=champion)
    assert site.serves() == "fallback"
    assert "policy.json" in site.following.troubles["shop"]
    assert "version 7 cannot be served" in (site.following.live["shop"].trouble or "")


def test_another_bundle_than_the_one_promoted_is_refused(site: Site) -> None:
    site.bundle("7")
    other = site.bundle("8")
    publish_pointer(site.policies, "shop", champion=Pointed("7", "shop/7", other.digest))
    assert site.serves() == "fallback"


def test_a_newer_bundle_that_is_broken_keeps_the_older_champion(site: Site) -> None:
    publish_pointer(site.policies, "shop", champion=site.bundle("7"))
    assert site.serves() == "champion:7"
    newer = site.bundle("8")
    shutil.rmtree(site.policies / newer.folder)
    publish_pointer(site.policies, "shop", champion=newer)
    assert site.serves() == "champion:7"
    assert "version 8" in site.following.troubles["shop"]


def test_a_rollback_to_a_broken_bundle_falls_back(site: Site) -> None:
    older = site.bundle("7")
    publish_pointer(site.policies, "shop", champion=site.bundle("8"))
    assert site.serves() == "champion:8"
    shutil.rmtree(site.policies / older.folder)
    publish_pointer(site.policies, "shop", champion=older)
    assert site.serves() == "fallback"


def test_a_bundle_that_arrives_late_is_taken_then(site: Site) -> None:
    champion = site.bundle("7")
    hidden = (site.policies / champion.folder).rename(site.policies / "hidden")
    publish_pointer(site.policies, "shop", champion=champion)
    assert site.serves() == "fallback"
    hidden.rename(site.policies / champion.folder)
    assert site.serves() == "champion:7"
    assert not site.following.troubles


def test_a_loaded_bundle_may_be_removed(site: Site) -> None:
    champion = site.bundle("7")
    publish_pointer(site.policies, "shop", champion=champion)
    assert site.serves() == "champion:7"
    shutil.rmtree(site.policies / champion.folder)
    assert site.serves() == "champion:7"


def test_a_challenger_is_followed_with_its_share(site: Site) -> None:
    challenger = site.bundle("8")
    trial = Pointed(challenger.version, challenger.folder, challenger.digest, share=0.25)
    publish_pointer(site.policies, "shop", champion=site.bundle("7"), challenger=trial)
    site.following.refresh()
    live = site.following.live["shop"]
    assert live.challenger is not None
    assert (live.challenger.version, live.challenger_share) == ("8", 0.25)


def test_a_changed_share_needs_no_loading(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    challenger = site.bundle("8")
    publish_pointer(site.policies, "shop", challenger=challenger)
    assert site.serves() == "baseline"
    monkeypatch.setattr("policy.following.load_bundle", None)
    publish_pointer(site.policies, "shop", challenger=Pointed("8", challenger.folder, challenger.digest, share=0.5))
    assert site.serves() == "baseline"
    assert site.following.live["shop"].challenger_share == 0.5


def test_a_broken_challenger_leaves_the_champion_alone(site: Site) -> None:
    publish_pointer(
        site.policies, "shop", champion=site.bundle("7"), challenger=Pointed("8", "shop/8", "0" * 64, share=0.5)
    )
    assert site.serves() == "champion:7"
    assert site.following.live["shop"].challenger is None
    assert site.following.troubles["shop"].startswith("challenger")


def test_an_edited_catalog_gets_the_same_champion(site: Site) -> None:
    publish_pointer(site.policies, "shop", champion=site.bundle("7"))
    assert site.serves() == "champion:7"
    site.edit(CATALOG.replace("asks:", "asks:\n  - {id: video, title: Video, kind: video, effort: 1}"))
    assert site.serves() == "champion:7"
    live = site.following.live["shop"]
    assert live.champion is not None
    assert [ask.id for ask in live.catalog.asks] == ["video", "quiz", "buy"]


def test_a_journey_whose_file_is_gone_is_gone(site: Site) -> None:
    site.following.refresh()
    (site.journeys / "shop.yaml").unlink()
    site.following.refresh()
    assert not site.following.live


def test_a_bundle_outside_the_folder_is_refused(site: Site) -> None:
    champion = site.bundle("7")
    publish_pointer(site.policies, "shop", champion=Pointed("7", "../policies/../journeys", champion.digest))
    assert site.serves() == "fallback"
    assert "lies outside" in site.following.troubles["shop"]


def test_what_is_published_is_what_is_read(site: Site) -> None:
    champion = site.bundle("7")
    challenger = Pointed("8", "shop/8", "1" * 64, 0.1)
    publish_pointer(site.policies, "shop", champion=champion, challenger=challenger)
    pointer = read_pointer(site.policies, "shop")
    assert (pointer.champion, pointer.challenger) == (champion, challenger)
    assert not [file for file in site.policies.iterdir() if file.name.startswith(".")]


_GOOD = {"version": "7", "folder": "shop/7", "digest": "0" * 64}


@pytest.mark.parametrize(
    "content",
    [
        [],
        {},
        {"format": 2},
        {"format": 1, "champions": None},
        {"format": 1, "champion": []},
        {"format": 1, "champion": {**_GOOD, "share": 0.5}},
        {"format": 1, "champion": {**_GOOD, "version": 7}},
        {"format": 1, "champion": {**_GOOD, "digest": "0"}},
        {"format": 1, "challenger": _GOOD},
        {"format": 1, "challenger": {**_GOOD, "share": 1.5}},
        {"format": 1, "challenger": {**_GOOD, "share": True}},
    ],
)
def test_what_is_no_pointer_is_refused(content: object) -> None:
    with pytest.raises(BadInput, match=r"shop\.json"):
        parse_pointer(json.dumps(content).encode(), "shop.json")
