"""Cautious scorers: the incumbent's ask stays on top unless enough is to be gained."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from features.spec import spec_of
from policy.boosted import BoostedScorer
from policy.bundle import load_bundle, save_bundle
from policy.candidates import NOTHING, Candidates, FloatArray
from policy.cautious import CautiousScorer, raised
from policy.explorers import InverseGap
from policy.scorers import load_scorer
from policy.segments import Segments
from tests.policy.boosting import boosted_over, featured
from tests.policy.groups import N_ASKS, groups, joined, one_group, valued_groups
from tests.policy.guardrail_cases import a_catalog, an_ask

CATALOG = a_catalog(*(an_ask(f"ask-{i}") for i in range(N_ASKS)))
SPEC = spec_of(CATALOG)
margins = st.sampled_from([0.0, 0.1, 0.3, 2.0])


@pytest.fixture(scope="module")
def inner() -> BoostedScorer:
    return boosted_over(CATALOG, SPEC, seed=1)


@pytest.fixture(scope="module")
def incumbent() -> BoostedScorer:
    return boosted_over(CATALOG, SPEC, seed=2)


def lifted(values: list[float], row: int, margin: float) -> FloatArray:
    group = one_group(len(values), baseline=row)
    return raised(np.array(values), group.baseline, margin, Segments.of(group))


@pytest.mark.parametrize(
    ("values", "row", "margin", "best"),
    [
        ([0.10, 0.11], 0, 0.2, 0),
        ([0.10, 0.13], 0, 0.2, 1),
        ([0.50, 0.75], 0, 0.5, 1),  # the margin itself is enough
        ([0.11, 0.10], 1, 0.2, 1),
        ([0.10, 0.10], 1, 0.0, 1),  # a tie is no gain
        ([0.10, 0.11], 0, 0.0, 1),
        ([0.0, 0.0, 0.0], 2, 0.2, 2),
        ([0.01, 0.0], 1, 0.2, 0),  # any gain over nothing is large
        ([-0.10, -0.09], 0, 0.2, 0),
        ([-0.10, -0.05], 0, 0.2, 1),
        ([-0.10, 0.0], 0, 2.0, 0),
        ([0.0, -0.3, 0.0], 2, 0.1, 2),
        ([5e-324, 0.0, 5e-324], 2, 0.1, 2),
        ([0.10, 0.30], -1, 9.0, 1),
    ],
)
def test_the_incumbents_ask_is_left_where_the_gain_is_at_least_the_margin(
    values: list[float], row: int, margin: float, best: int
) -> None:
    assert lifted(values, row, margin).argmax() == best


@settings(max_examples=200, deadline=None)
@given(valued_groups(), margins)
def test_only_the_incumbents_value_changes_and_only_up(group: tuple[Candidates, FloatArray], margin: float) -> None:
    candidates, values = group
    row, before = int(candidates.baseline[0]), values.copy()
    after = raised(values, candidates.baseline, margin, Segments.of(candidates))
    assert (values == before).all()
    others = np.arange(len(values)) != row
    assert (after[others] == values[others]).all()
    if row >= 0:
        gain = values.max() - values[row]
        is_left = gain > 0 and gain >= margin * abs(values[row])
        assert after.argmax() == (values.argmax() if is_left else row)
        assert after[row] >= values[row]


@settings(max_examples=50, deadline=None)
@given(st.lists(valued_groups(), min_size=1, max_size=5), margins)
def test_a_group_is_raised_alike_in_any_batch(batch: list[tuple[Candidates, FloatArray]], margin: float) -> None:
    together = joined([group for group, _ in batch])
    values = np.concatenate([values for _, values in batch])
    alone = [raised(values, group.baseline, margin, Segments.of(group)).tobytes() for group, values in batch]
    assert raised(values, together.baseline, margin, Segments.of(together)).tobytes() == b"".join(alone)


@pytest.mark.parametrize("others", [[0.30, 0.20, 0.05], [0.05, -0.20, -0.30], [0.0, -0.1, -0.1], [-0.2, -0.3, -0.4]])
@pytest.mark.parametrize("own", [-0.35, -0.01, 0.04])
def test_exploration_of_the_others_is_as_if_the_incumbents_ask_were_as_good_as_the_best(
    others: list[float], own: float
) -> None:
    explorer, group = InverseGap(loss=0.3, steps=4, floor=0.05), one_group(4, baseline=0)
    changed = explorer.probabilities(lifted([own, *others], 0, 1e6), group)
    level = explorer.probabilities(np.array([max(own, *others), *others]), group)
    assert changed == pytest.approx(level, rel=1e-6)
    assert changed.argmax() == 0


def test_without_an_incumbent_the_baselines_ask_is_kept(inner: BoostedScorer) -> None:
    candidates = featured(joined([one_group(N_ASKS, 4), one_group(9, 7), one_group(5, -1)]), CATALOG, SPEC)
    scores = CautiousScorer(inner, None, margin=1e6).score(candidates)
    expected = inner.score(candidates)
    assert [scores.values[:N_ASKS].argmax(), scores.values[N_ASKS : N_ASKS + 9].argmax()] == [4, 7]
    assert (scores.values[-5:] == expected.values[-5:]).all()
    assert (scores.p_accepts == expected.p_accepts).all()


def test_an_incumbents_best_ask_is_kept(inner: BoostedScorer, incumbent: BoostedScorer) -> None:
    candidates = featured(one_group(N_ASKS, 4), CATALOG, SPEC)
    kept = incumbent.score(candidates).values.argmax()
    assert kept not in (4, inner.score(candidates).values.argmax())
    assert CautiousScorer(inner, incumbent, margin=1e6).score(candidates).values.argmax() == kept


def test_a_small_margin_leaves_the_incumbent_where_a_large_one_does_not(
    inner: BoostedScorer, incumbent: BoostedScorer
) -> None:
    every = [one_group(n) for n in range(2, N_ASKS)]
    candidates = featured(joined(every), CATALOG, SPEC)
    segments = Segments.of(candidates)

    def best(scorer: BoostedScorer | CautiousScorer) -> list[int]:
        values = scorer.score(candidates).values
        return segments.first_rows(values == segments.maxima(values)[segments.groups]).tolist()

    kept = best(incumbent)
    n_kept = [
        sum(a == b for a, b in zip(best(CautiousScorer(inner, incumbent, margin)), kept, strict=True))
        for margin in (0.0, 0.3, 1.0, 1e9)
    ]
    assert n_kept == sorted(n_kept)
    assert n_kept[0] < n_kept[-1] == len(every)


@settings(max_examples=30, deadline=None)
@given(batch=st.lists(groups(), min_size=1, max_size=4))
def test_no_score_depends_on_the_batch(inner: BoostedScorer, incumbent: BoostedScorer, batch: list[Candidates]) -> None:
    for scorer in (CautiousScorer(inner, incumbent, 0.2), CautiousScorer(inner, None, 0.2)):
        alone = [scorer.score(featured(group, CATALOG, SPEC)) for group in batch]
        together = scorer.score(featured(joined(batch), CATALOG, SPEC))
        assert together.values.tobytes() == b"".join(scores.values.tobytes() for scores in alone)
        assert together.p_accepts.tobytes() == b"".join(scores.p_accepts.tobytes() for scores in alone)


def test_asking_nothing_may_be_what_the_incumbent_does(inner: BoostedScorer) -> None:
    candidates = featured(replace(one_group(3, baseline=2), asks=np.array([0, 1, NOTHING])), CATALOG, SPEC)
    scores = CautiousScorer(inner, None, margin=1e6).score(candidates)
    assert (scores.values.argmax(), scores.p_accepts[2]) == (2, 0.0)


@pytest.mark.parametrize("has_incumbent", [True, False])
def test_a_bundle_brings_the_same_scorer_back(
    tmp_path: Path, inner: BoostedScorer, incumbent: BoostedScorer, has_incumbent: bool
) -> None:
    scorer = CautiousScorer(inner, incumbent if has_incumbent else None, 0.2)
    assert ("incumbent.value.txt" in scorer.to_files()) == has_incumbent
    explorer = InverseGap(0.3, 4)
    save_bundle(tmp_path / "b", scorer=scorer, explorer=explorer, catalog=CATALOG, spec=SPEC, info={})
    policy = load_bundle(tmp_path / "b").policy
    assert (type(policy.scorer), policy.scorer) == (CautiousScorer, scorer)
    assert policy.scorer.to_files() == scorer.to_files()
    candidates = featured(one_group(N_ASKS), CATALOG, SPEC)
    own = explorer.under(CATALOG.exploration).probabilities(scorer.score(candidates).values, candidates)
    assert policy.distribution(candidates).probabilities.tobytes() == own.tobytes()


@pytest.mark.parametrize("margin", [-0.1, float("nan"), float("inf"), "0.1", True])
def test_a_margin_that_is_none_is_refused(inner: BoostedScorer, margin: float) -> None:
    with pytest.raises(ValueError, match="margin must be a number from 0"):
        CautiousScorer(inner, None, margin)


def test_an_incumbent_of_other_columns_is_refused(inner: BoostedScorer) -> None:
    larger = replace(CATALOG, signals=("page_view",))
    other = boosted_over(larger, spec_of(larger))
    with pytest.raises(ValueError, match=f"the incumbent has {other.n_features} features; allowed: {inner.n_features}"):
        CautiousScorer(inner, other, 0.2)


@pytest.mark.parametrize(
    ("description", "told"),
    [
        (b"{", r"cautious\.json: Expecting"),
        (b"{}", r"cautious\.json: is not of format 1"),
        (b'{"format": 1, "has_incumbent": 1, "margin": 0.1}', "has_incumbent must be true or false"),
        (b'{"format": 1, "has_incumbent": false, "margin": null}', "margin must be a number"),
    ],
)
def test_a_description_that_cannot_be_is_refused(inner: BoostedScorer, description: bytes, told: str) -> None:
    files = {**CautiousScorer(inner, None, 0.2).to_files(), "cautious.json": description}
    with pytest.raises(ValueError, match=told):
        load_scorer("cautious", files, CATALOG)


def test_a_missing_incumbent_is_a_key_error(inner: BoostedScorer, incumbent: BoostedScorer) -> None:
    files = dict(CautiousScorer(inner, incumbent, 0.2).to_files())
    del files["incumbent.value.txt"]
    with pytest.raises(KeyError, match=r"incumbent\.value\.txt"):
        load_scorer("cautious", files, CATALOG)
