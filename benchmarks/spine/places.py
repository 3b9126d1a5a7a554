"""Workspaces to measure: a journey of twenty asks, visitors with a past, a hand-made policy of constant values."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from data.catalog import dump_catalog
from data.clock import now
from data.domain import SECOND, Ask, Catalog, Decision, Event, Exploration, Feature, Holdout, Limits
from data.stores.registry import open_store
from data.workspace import Workspace
from policy.bundle import save_bundle
from policy.explorers import InverseGap
from policy.following import Pointed, publish_pointer
from policy.importing import Arrival, import_arrivals
from policy.live import LiveJourney
from policy.scorers import ConstantScorer
from tests.journeys.services import make_served_workspace

N_ASKS = 20
PAST_EVENTS = 50


def big_catalog(**changes: object) -> Catalog:
    """Twenty asks under every guardrail that a request can meet."""
    kinds = ("quiz", "content", "video", "poll", "save")
    asks = [
        Ask(f"ask_{i:02d}", f"Ask number {i}", kinds[i % 5], effort=1 + i % 5, gives=3, repeat_after_s=0, max_shows=50)
        for i in range(N_ASKS - 1)
    ]
    asks.append(Ask("purchase", "Buy the set", "purchase", effort=8, gives=5, repeat_after_s=0))
    fields: dict[str, object] = {
        "journey": "big",
        "goal": "purchase",
        "baseline": ("ask_00", "ask_04", "purchase"),
        "asks": tuple(asks),
        "context": (
            Feature("basket_value", "number", minimum=0.0),
            Feature("device", "category", ("desktop", "mobile")),
        ),
        "answers": (Feature("skin", "category", ("dry", "oily")),),
        "limits": Limits(
            max_asks_per_session=400,
            max_asks_per_day=500,
            stop_after_declines=400,
            max_effort_step=5,
            max_effort_gap=4,
            step_down_after_decline=True,
        ),
        "exploration": Exploration(day_zero=0.5, floor=0.05, loss=0.05),
    }
    return Catalog(**{**fields, **changes})  # type: ignore[arg-type]


def make_place(root: Path, catalog: Catalog, *, workers: int = 1, has_model: bool = True) -> Workspace:
    """A workspace with the catalog and, on request, a champion of constant values."""
    workspace = make_served_workspace(root, dump_catalog(catalog), serve__workers=workers, serve__deadline_ms=10_000)
    if has_model:
        go_live(workspace, catalog, "1")
    return workspace


def go_live(workspace: Workspace, catalog: Catalog, version: str, *, challenger: str | None = None) -> None:
    """Makes a policy of constant values champion (and another one challenger to a fifth of visitors)."""
    pointed = _save(workspace, catalog, version)
    other = None if challenger is None else _save(workspace, catalog, challenger, share=0.2)
    publish_pointer(workspace.policies, catalog.journey, champion=pointed, challenger=other)


def policy_folder(workspace: Workspace, catalog: Catalog, version: str) -> Path:
    """Where the bundle of a version lies."""
    return workspace.policies / catalog.journey / version


def _save(workspace: Workspace, catalog: Catalog, version: str, share: float = 0.0) -> Pointed:
    rng = np.random.default_rng(int(version))
    values = {ask.id: float(rng.uniform(0.01, 0.1)) for ask in catalog.asks}
    accepts = {ask.id: float(rng.uniform(0.1, 0.6)) for ask in catalog.asks}
    scorer = ConstantScorer(tuple(values), values, accepts, nothing=0.01)
    explorer = InverseGap(loss=catalog.exploration.loss, steps=4.0, floor=catalog.exploration.floor)
    folder = policy_folder(workspace, catalog, version)
    digest = save_bundle(folder, scorer=scorer, explorer=explorer, catalog=catalog, spec=None, info={})
    return Pointed(version, str(folder.relative_to(workspace.policies)), digest, share)


def give_past(workspace: Workspace, catalog: Catalog, n_visitors: int) -> None:
    """Every visitor gets ``PAST_EVENTS`` events, the last ones minutes ago."""
    store = open_store(workspace.store_url)
    present = now()
    try:
        for _ in import_arrivals(_past(catalog, n_visitors, present), LiveJourney(catalog), store, now=present):
            pass
    finally:
        store.close()


def _past(catalog: Catalog, n_visitors: int, present: int) -> Iterator[tuple[int, Arrival]]:
    for number in range(n_visitors):
        visitor, at = f"v{number}", present - PAST_EVENTS * 120 * SECOND
        for step in range(PAST_EVENTS // 2):
            ask = catalog.asks[(number + step) % (N_ASKS - 1)].id
            decision_id = f"past-{number}-{step}"
            yield number, Decision(decision_id, visitor, "big", at, at, ask, None, None, "past")
            at += 60 * SECOND
            answer = "accepted" if (number + step) % 3 == 0 else "ignored"
            yield number, Event(visitor, answer, at, at, "big", ask_id=ask, decision_id=decision_id)  # type: ignore[arg-type]
            at += 60 * SECOND


def with_every_arm(catalog: Catalog) -> Catalog:
    """The catalog with a tenth of visitors in each kind of holdout."""
    from dataclasses import replace

    arms = tuple(Holdout(0.1, policy) for policy in ("baseline", "direct", "random", "none"))  # type: ignore[arg-type]
    return replace(catalog, holdout=arms)
