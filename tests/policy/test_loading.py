"""``policy.load``: the decisions of the service without the service."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import policy
from data.clock import to_iso
from data.domain import Decision, Event
from data.errors import BadBundle, BadRequest
from features.state import fold
from policy.bundle import load_bundle, save_bundle
from policy.choose import weigh
from policy.explorers import InverseGap
from policy.live import LiveJourney, LivePolicy, served
from policy.replay import situation_of
from policy.scorers import ConstantScorer
from tests.policy.shop import MINUTE, START, Shop, limited

CATALOG = limited(max_effort_step=4, stop_after_declines=2)
STEPS = (("quiz", "accepted"), ("guide", "declined"), ("wishlist", "ignored"))
PROGRAM = "import json, sys, policy; print(json.dumps(policy.load(sys.argv[1]).next_ask(json.loads(sys.argv[2]))))"


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    scorer = ConstantScorer((), {"quiz": 0.031, "guide": 0.03, "purchase": 0.02}, {"quiz": 1 / 3}, default_value=0.005)
    folder = tmp_path / "bundle"
    explorer = InverseGap(loss=0.05, steps=4, floor=0.05)
    save_bundle(folder, scorer=scorer, explorer=explorer, catalog=CATALOG, spec=None, info={"version": "7"})
    return folder


def request(n_steps: int, **fields: Any) -> dict[str, Any]:
    items = []
    for number, (ask_id, answer) in enumerate(STEPS[:n_steps]):
        at = START - (20 - 5 * number) * MINUTE
        items.append({"type": "shown", "ask_id": ask_id, "decision_id": f"h{number}", "at": to_iso(at)})
        items.append({"type": answer, "ask_id": ask_id, "decision_id": f"h{number}", "at": to_iso(at + MINUTE)})
    return {"visitor_id": "v", "history": items, "at": to_iso(START), "decision_id": "d-1", "trace": True, **fields}


def shop_with(folder: Path) -> Shop:
    shop = Shop(CATALOG)
    shop.go_live(LiveJourney(CATALOG, champion=LivePolicy.of(load_bundle(folder, CATALOG))))
    return shop


@pytest.mark.parametrize("n_steps", range(len(STEPS) + 1))
def test_the_service_decides_the_same(bundle: Path, n_steps: int) -> None:
    asked = request(n_steps)
    local = policy.load(bundle, secret="secret").next_ask(asked)
    assert local == shop_with(bundle).site.next_ask(asked)
    assert local["policy"] == {"name": "champion", "version": "7", "reason": None}


@pytest.mark.parametrize("n_steps", range(len(STEPS) + 1))
def test_the_log_evaluator_weighs_the_same(bundle: Path, n_steps: int) -> None:
    live = LiveJourney(CATALOG, champion=LivePolicy.of(load_bundle(bundle)))
    past: list[Decision | Event] = []
    for number, (ask_id, answer) in enumerate(STEPS[:n_steps]):
        at = START - (20 - 5 * number) * MINUTE
        past.append(Decision(f"h{number}", "v", "shop", at, at, ask_id, None, None, ""))
        at += MINUTE
        past.append(Event("v", answer, at, at, "shop", ask_id=ask_id, decision_id=f"h{number}"))  # type: ignore[arg-type]
    row = Decision("d-1", "v", "shop", START, START, None, None, None, "champion:7", withheld=("email",))
    weighed = weigh(live, situation_of(row, fold(past, live.scopes), live), served(live, "main"))
    traced = policy.load(bundle).next_ask(request(n_steps))["candidates"]
    assert {row["ask_id"]: row["propensity"] for row in traced} == dict(
        zip(weighed.eligible, weighed.probabilities, strict=True)
    )


def test_a_new_process_decides_the_same(bundle: Path) -> None:
    asked = request(2)
    told = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(bundle), json.dumps(asked)], check=True, capture_output=True, text=True
    )
    assert json.loads(told.stdout) == policy.load(bundle).next_ask(asked)


def test_a_seed_fixes_the_draw_before_the_decision_id(bundle: Path) -> None:
    local = policy.load(bundle)
    asks = [local.next_ask(request(0, decision_id=f"d{i}", seed="s"))["ask"]["id"] for i in range(20)]
    assert len(set(asks)) == 1
    assert len({local.next_ask(request(0, decision_id=f"d{i}"))["ask"]["id"] for i in range(60)}) > 1


def test_many_requests_are_answered_in_order(bundle: Path) -> None:
    local = policy.load(bundle)
    requests = [request(n, decision_id=f"d{n}") for n in range(4)]
    assert local.next_asks(requests) == [local.next_ask(one) for one in requests]


def test_history_is_required_and_faults_name_the_request(bundle: Path) -> None:
    local = policy.load(bundle)
    with pytest.raises(BadRequest) as caught:
        local.next_asks([request(0), {"visitor_id": "v"}])
    assert caught.value.field == "requests[1].history"


def test_a_changed_byte_is_refused(bundle: Path) -> None:
    (bundle / "policy.json").write_bytes((bundle / "policy.json").read_bytes() + b" ")
    with pytest.raises(BadBundle, match=r"policy\.json"):
        policy.load(bundle)
