"""The demo's hurried world has the shop's true values, its past is settled, and its report counts each visitor once."""

from __future__ import annotations

import io
import json
import socket
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest
from rich.console import Console

from data.arrivals import arrange
from data.catalog import load_folder
from data.clock import now
from data.domain import SECOND, Decision, Event
from data.episodes import Episodes, episodes_of
from data.errors import BadInput, Unavailable
from data.log.items import frame_of
from data.simulator.truth import value_of_direct, value_of_nothing, value_of_sequence
from data.simulator.worlds import world
from data.stores.registry import open_store
from data.workspace import Workspace
from tests.conftest import Answer
from training.demo.past import PastPart, parts_of, simulate, simulate_past
from training.demo.place import choose_port, default_folder, make_place
from training.demo.report import render_sides, sides_of
from training.demo.takeover import Takeover, Watch
from training.demo.telling import render_funnel, tell_day_zero, tell_takeover, what_to_try
from training.demo.world import LIVE_STREAM, N_STREAMS, WINDOW_S, driven_world, quick_world, stream_seed
from training.funnel import funnel
from training.sources import source_of_store

Smallyes = Callable[..., Answer]
CATALOG = quick_world().catalog
START = 1_800_000_000 * SECOND


@pytest.fixture
def place(tmp_path: Path) -> Workspace:
    return make_place(tmp_path / "demo", 3999, 0, 500)


# --- the world


def test_hurry_changes_no_true_value() -> None:
    usual, quick = world("skincare"), quick_world()
    assert value_of_sequence(quick, CATALOG.baseline) == value_of_sequence(usual, usual.catalog.baseline)
    assert value_of_direct(quick) == value_of_direct(usual)
    assert value_of_nothing(quick) == value_of_nothing(usual)
    assert 0 < value_of_direct(quick) < value_of_sequence(quick, CATALOG.baseline)


def test_only_durations_limits_of_the_day_and_holdouts_differ() -> None:
    usual = world("skincare").catalog
    back = replace(
        CATALOG,
        conversion_window_s=usual.conversion_window_s,
        session_gap_s=usual.session_gap_s,
        limits=replace(CATALOG.limits, max_asks_per_day=usual.limits.max_asks_per_day),
        holdout=usual.holdout,
        digest=usual.digest,
    )
    assert back == usual


def test_a_visitors_whole_life_fits_into_the_conversion_window() -> None:
    timing, leaving = quick_world().timing, quick_world().leaving
    visit_s = leaving.max_steps * (timing.page_s[1] + timing.think_s[1])
    life_s = leaving.max_visits * visit_s + (leaving.max_visits - 1) * timing.back_s[1]
    assert life_s + timing.late_s[1] + timing.report_s[1] < WINDOW_S


def test_the_driver_never_rounds_a_duration_up() -> None:
    timing = driven_world().timing
    assert min(timing.page_s[0], timing.think_s[0]) >= 1.0


def test_groups_of_visitors_share_no_seed() -> None:
    seeds = [stream_seed(seed, stream) for seed in range(3) for stream in (0, 1, LIVE_STREAM, N_STREAMS - 1)]
    assert len(set(seeds)) == len(seeds)


# --- the past


def test_the_past_is_settled_and_gone(place: Workspace) -> None:
    counts: list[int] = []
    simulate_past(place, 120, 3, counts.append)
    store = open_store(place.store_url)
    try:
        source = source_of_store(store, CATALOG, now())
    finally:
        store.close()
    episodes = episodes_of(source.arrivals, CATALOG, now=source.now).episodes
    assert counts[-1] == 120
    assert episodes["visitor_id"].n_unique() == 120
    assert episodes["is_mature"].all()
    last = source.arrivals.frame["received_at"].cast(pl.Int64).max()
    assert isinstance(last, int)
    assert last < now()


def part(folder: Path, secret: str = "s" * 32) -> PastPart:
    return PastPart(f"sqlite:///{folder}/past.db", secret, 300, 7, START, 6.0, "past1-")


def test_the_same_seed_and_secret_give_the_same_past(tmp_path: Path) -> None:
    frames = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        simulate(part(tmp_path / name))
        store = open_store(part(tmp_path / name).store_url)
        frames.append(source_of_store(store, CATALOG).arrivals.frame.drop("event_id", strict=False))
        store.close()
    assert frames[0].equals(frames[1])


def test_what_the_store_knows_is_what_happened(tmp_path: Path) -> None:
    truth = simulate(part(tmp_path))
    store = open_store(part(tmp_path).store_url)
    source = source_of_store(store, CATALOG, START + 100 * SECOND)
    store.close()
    episodes = episodes_of(source.arrivals, CATALOG, now=source.now)
    assert truth.n_rejected == 0
    assert int(episodes.episodes["is_converted"].sum()) == int(truth.is_converted.sum()) == episodes.n_conversions
    assert episodes.n_conversions_outside == 0
    late = source.arrivals.frame.filter(pl.col("type") == "converted")
    assert late.height > 0
    assert set(episodes.steps["policy"]) == {"baseline", "holdout:baseline", "holdout:direct"}


def test_a_failing_process_says_why(place: Workspace) -> None:
    Path(place.store_url.removeprefix("sqlite:///")).write_bytes(b"no database at all" * 100)
    with pytest.raises(Unavailable, match=r"past visitors could not be simulated: .*smallyes\.db"):
        simulate_past(place, 20, 0, lambda _done: None)


def test_parts_make_up_the_whole(place: Workspace) -> None:
    parts = parts_of(place, 101, 0, START)
    assert sum(one.n_visitors for one in parts) == 101
    assert len({one.prefix for one in parts}) == len({one.seed for one in parts}) == len(parts)
    assert all(one.began_at + one.span_s * SECOND == START for one in parts)


# --- the report


def decision(visitor: str, step: int, policy: str, ask: str = "skin_quiz") -> Decision:
    at = START + step * SECOND
    return Decision(
        decision_id=f"{visitor}-{step}",
        visitor_id=visitor,
        journey="skincare",
        at=at,
        received_at=at,
        ask_id=ask,
        propensity=1.0,
        eligible=("skin_quiz", "purchase"),
        policy=policy,
    )


def event(visitor: str, kind: str, *, decision_id: str | None = None, ask: str | None = None) -> Event:
    at = START + 3 * SECOND
    return Event(
        visitor_id=visitor,
        type=kind,  # type: ignore[arg-type]
        at=at,
        received_at=at,
        journey="skincare",
        ask_id=ask,
        event_id=f"{visitor}-{kind}",
        decision_id=decision_id,
    )


def told(tell: Callable[[Console], None]) -> str:
    """What is printed, and that it is nowhere wider than allowed."""
    console = Console(width=120, file=io.StringIO(), highlight=False)
    tell(console)
    assert isinstance(console.file, io.StringIO)
    text = console.file.getvalue()
    assert max(map(len, text.splitlines())) <= 120
    return text


def episodes(items: list[Decision | Event], at_s: int = WINDOW_S + 10) -> Episodes:
    return episodes_of(arrange(frame_of(items), CATALOG), CATALOG, now=START + at_s * SECOND)


def some_items() -> list[Decision | Event]:
    return [
        decision("live1-0", 0, "holdout:direct", "purchase"),
        event("live1-0", "accepted", decision_id="live1-0-0", ask="purchase"),
        decision("live1-1", 0, "holdout:direct", "purchase"),
        decision("live1-2", 0, "holdout:baseline"),
        event("live1-2", "converted"),
        decision("live1-3", 0, "challenger:1"),
        decision("live1-3", 1, "fallback"),
        event("live1-3", "converted"),
        decision("live1-4", 0, "challenger:1"),
        decision("live1-5", 0, "baseline"),
        event("live1-5", "converted"),
        decision("live1-6", 0, "champion:2"),
        decision("past1-0", 0, "holdout:direct", "purchase"),
        decision("witness-1", 0, "champion:1"),
    ]


def test_each_live_visitor_counts_once_for_whoever_asked_first() -> None:
    direct, baseline, learned = sides_of(episodes(some_items()), "purchase", 1)
    assert [(side.visitors, side.converted, side.late) for side in (direct, baseline, learned)] == [
        (2, 1, 0),
        (1, 1, 1),
        (2, 1, 1),
    ]
    assert learned.to_json() | {"low": 0, "high": 0} == {
        "value": 0.5,
        "low": 0,
        "high": 0,
        "visitors": 2,
        "converted": 1,
        "late": 1,
    }
    found = learned.rate
    assert (round(found.low or 0, 4), round(found.high or 0, 4)) == (0.0945, 0.9055)  # Wilson, 1 of 2


def test_who_may_still_buy_is_not_counted_yet() -> None:
    assert [side.visitors for side in sides_of(episodes(some_items(), WINDOW_S - 1), "purchase", 1)] == [0, 0, 0]


def test_a_side_without_visitors_has_no_value_and_says_so() -> None:
    items = [item for item in some_items() if item.visitor_id in ("live1-3", "live1-2")]
    sides = sides_of(episodes(items), "purchase", 1)
    assert json.loads(json.dumps(sides[0].to_json(), allow_nan=False))["value"] is None
    text = told(lambda console: render_sides(sides, 1, console))
    assert "no live visitor was served by it" in text
    assert "Learned minus the fixed sequence" in text
    assert "asking at once:" not in text


def test_the_funnel_in_short_has_every_ask_and_every_arm() -> None:
    text = told(lambda console: render_funnel(funnel(episodes(some_items()), CATALOG), console))
    assert all(ask.id in text for ask in CATALOG.asks)
    assert "holdout:baseline" in text
    assert "holdout:direct" in text
    assert "9 visitors, 4 purchases: 44.4 % (18.9 to 73.3)" in text


# --- what is said


def test_day_zero_is_told_with_its_shares() -> None:
    text = tell_day_zero(CATALOG)
    assert "skin_quiz > routine_guide > wishlist > purchase" in text
    assert "10 % always get nothing but the sale" in text


@pytest.mark.parametrize(("after", "words"), [((7, 8), "the same processes as before"), ((7, 9), "other processes")])
def test_a_takeover_tells_whether_anything_was_restarted(after: tuple[int, ...], words: str) -> None:
    watch = Watch()
    for policy in ("champion:1", "champion:1", "holdout:direct", "challenger:2", "champion:2"):
        name, _, version = policy.partition(":")
        watch.saw({"policy": {"name": name, "version": version}})
    witness = {"ask": {"id": "skin_quiz"}, "propensity": 0.5}
    takeover = Takeover(2, True, watch, witness, ((7, 8), after))
    text = tell_takeover(takeover)
    assert words in text
    assert "5 requests came in and 0 failed; they were answered by champion:1 then champion:2" in text
    assert takeover.to_json()["same_processes"] == (after == (7, 8))


def test_what_to_try_names_this_service_and_this_workspace(place: Workspace) -> None:
    text = what_to_try(place, Path("/opt/bin"))
    assert text.count("http://127.0.0.1:3999/v1/") == 4
    assert f"/opt/bin/smallyes rollback --workspace {place.root}" in text
    assert f"/opt/bin/mlflow ui --backend-store-uri {place.mlflow_uri}" in text


# --- the place


def test_a_place_is_a_workspace_with_the_journey_of_the_demo(place: Workspace) -> None:
    assert load_folder(place.journeys)["skincare"] == CATALOG
    assert place.settings.serve.port == 3999
    assert place.secret() == make_place(place.root.parent / "again", 3999, 0, 500).secret()
    assert place.secret() != make_place(place.root.parent / "other", 3999, 1, 500).secret()
    assert (place.var / "secret").stat().st_mode & 0o077 == 0


def test_settings_meant_for_another_workspace_are_not_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SMALLYES_STORE_URL", "sqlite:////shop.db")
    assert make_place(tmp_path / "demo", 3999, 0, 500).store_url == f"sqlite:///{tmp_path}/demo/var/smallyes.db"


def test_a_default_folder_is_never_one_that_exists(tmp_path: Path) -> None:
    found = set()
    for _ in range(3):
        folder = default_folder(tmp_path)
        folder.mkdir(parents=True)
        found.add(folder)
    assert len(found) == 3
    assert {folder.parent for folder in found} == {tmp_path / "var"}


def test_a_folder_in_use_is_refused(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").touch()
    with pytest.raises(BadInput, match="needs a new or an empty folder"):
        make_place(tmp_path, 3999, 0, 500)


def test_too_little_space_is_told_before_anything_is_simulated(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match=r"needs about [\d,]+ MB, and [\d,]+ MB are free"):
        make_place(tmp_path / "demo", 3999, 0, 10**12)


def test_ports() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = int(taken.getsockname()[1])
        with pytest.raises(Unavailable, match=f"--port: {port} is taken"):
            choose_port(port)
        assert choose_port(0) not in (0, port)
    assert choose_port(None) >= 3000


def test_the_usual_port_makes_way(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = int(taken.getsockname()[1])
        monkeypatch.setattr("training.demo.place.PORT", port)
        assert port < choose_port(None) < port + 100


# --- the command


def test_a_taken_port_ends_the_command_before_it_begins(
    smallyes: Smallyes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        answer = smallyes("demo", "--port", taken.getsockname()[1])
    assert (answer.code, answer.out) == (3, "")
    assert "is taken by another program" in answer.err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("option", ["--workspace", "--journey"])
def test_the_demo_takes_no_other_workspace(smallyes: Smallyes, tmp_path: Path, option: str) -> None:
    answer = smallyes("demo", option, tmp_path)
    assert answer.code == 2
    assert "--dir" in answer.err
