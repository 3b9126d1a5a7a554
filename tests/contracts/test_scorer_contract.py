"""What every scorer must pass: rows scored for themselves, files that bring the same scorer back, unknown asks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data.domain import Catalog
from features.spec import spec_of
from policy.candidates import NOTHING, Candidates
from policy.cautious import CautiousScorer
from policy.scorers import SCORERS, ConstantScorer, Scorer, Scores, load_scorer
from tests.policy.boosting import boosted_over, featured
from tests.policy.groups import N_ASKS, groups, joined, one_group
from tests.policy.guardrail_cases import a_catalog, an_ask

CATALOG = a_catalog(*(an_ask(f"ask-{i}") for i in range(N_ASKS)))
SPEC = spec_of(CATALOG)
BOOSTED = boosted_over(CATALOG, SPEC)
examples: list[Scorer] = [
    ConstantScorer(
        tuple(ask.id for ask in CATALOG.asks),
        values={f"ask-{i}": i / 70 for i in range(20)},
        p_accepts={f"ask-{i}": 1 / (i + 1) for i in range(25)},
        default_value=0.1,
        default_p_accept=0.7,
        nothing=0.2,
    ),
    BOOSTED,
    CautiousScorer(BOOSTED, boosted_over(CATALOG, SPEC, seed=1), margin=0.2),
]
every_scorer = pytest.mark.parametrize("scorer", examples, ids=lambda scorer: scorer.name)


def scores_of(scorer: Scorer, candidates: Candidates, catalog: Catalog = CATALOG) -> Scores:
    return scorer.score(featured(candidates, catalog, SPEC) if scorer.uses_features else candidates)


def bits(scorer: Scorer, candidates: Candidates, catalog: Catalog = CATALOG) -> list[tuple[bytes, bytes]]:
    scores = scores_of(scorer, candidates, catalog)
    return [(v.tobytes(), p.tobytes()) for v, p in zip(scores.values, scores.p_accepts, strict=True)]


def test_every_registered_scorer_is_under_contract() -> None:
    assert {scorer.name for scorer in examples} == set(SCORERS)


@every_scorer
@settings(max_examples=50, deadline=None)
@given(batch=st.lists(groups(), min_size=1, max_size=5))
def test_a_row_is_scored_alike_in_any_batch(scorer: Scorer, batch: list[Candidates]) -> None:
    assert bits(scorer, joined(batch)) == [row for group in batch for row in bits(scorer, group)]


@every_scorer
def test_scores_are_finite_and_acceptances_are_probabilities(scorer: Scorer) -> None:
    scores = scores_of(scorer, one_group(N_ASKS))
    assert scores.values.shape == scores.p_accepts.shape == (N_ASKS,)
    assert np.isfinite(scores.values).all()
    assert ((scores.p_accepts >= 0) & (scores.p_accepts <= 1)).all()


@every_scorer
def test_asking_nothing_has_a_value_and_is_never_accepted(scorer: Scorer) -> None:
    nothing = Candidates(np.array([0, 1]), np.array([NOTHING]), np.array([-1]), np.array([-1]))
    scores = scores_of(scorer, nothing)
    assert np.isfinite(scores.values).all()
    assert scores.p_accepts.tolist() == [0.0]


@every_scorer
def test_files_bring_the_same_scores_back_to_the_last_bit(scorer: Scorer) -> None:
    again = load_scorer(scorer.name, scorer.to_files(), CATALOG)
    assert bits(again, one_group(N_ASKS)) == bits(scorer, one_group(N_ASKS))
    assert again.to_files() == scorer.to_files()


@every_scorer
def test_an_ask_keeps_its_scores_where_another_catalog_puts_it(scorer: Scorer) -> None:
    turned = replace(CATALOG, asks=CATALOG.asks[::-1])
    expected = bits(scorer, one_group(N_ASKS))[::-1]
    assert bits(scorer.for_catalog(turned), one_group(N_ASKS), turned) == expected
    assert bits(load_scorer(scorer.name, scorer.to_files(), turned), one_group(N_ASKS), turned) == expected


@every_scorer
def test_an_ask_it_has_never_seen_has_a_score_too(scorer: Scorer) -> None:
    larger = replace(CATALOG, asks=(*CATALOG.asks, an_ask("new")))
    scores = scores_of(scorer.for_catalog(larger), one_group(N_ASKS + 1), larger)
    assert np.isfinite(scores.values[-1])


@every_scorer
@pytest.mark.parametrize("damage", [b"", b"{", b"[]", b'{"unheard": 1}', b"\xff\xfe"])
def test_files_that_are_not_its_own_are_refused(scorer: Scorer, damage: bytes) -> None:
    files: Mapping[str, bytes] = dict.fromkeys(scorer.to_files(), damage)
    with pytest.raises(ValueError, match=r"Expecting|JSON|constants|utf-8|is not of format"):
        load_scorer(scorer.name, files, CATALOG)


@every_scorer
def test_a_missing_file_is_a_key_error(scorer: Scorer) -> None:
    with pytest.raises(KeyError):
        load_scorer(scorer.name, {}, CATALOG)


def test_an_unknown_scorer_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match="unknown scorer; received 'os:system'; allowed: constant, boosted"):
        load_scorer("os:system", {}, CATALOG)


@pytest.mark.parametrize(
    "wrong",
    [
        {"values": {"a": float("nan")}},
        {"values": {"a": "0.1"}},
        {"p_accepts": {"a": 1.2}},
        {"default_p_accept": -0.1},
        {"nothing": True},
    ],
)
def test_constants_must_be_numbers_in_their_range(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="must be finite numbers"):
        ConstantScorer(("a",), **wrong)  # type: ignore[arg-type]


def test_a_constant_scorer_falls_back_to_its_defaults() -> None:
    catalog: Catalog = a_catalog(an_ask("a"), an_ask("b"))
    scorer = ConstantScorer(("a",), {"a": 0.3}, {"a": 0.9}, default_value=0.1, default_p_accept=0.2)
    scores = scorer.for_catalog(catalog).score(one_group(2))
    assert (scores.values.tolist(), scores.p_accepts.tolist()) == ([0.3, 0.1], [0.9, 0.2])
