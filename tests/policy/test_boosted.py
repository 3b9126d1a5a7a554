"""Boosted scorers: LightGBM's predictions to the last bit, and texts that are refused before the library sees them."""

from __future__ import annotations

import copy
import hashlib
import json
import pickle
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import lightgbm
import numpy as np
import pytest

from data.errors import BadBundle
from features.spec import spec_of
from policy.boosted import BoostedScorer
from policy.boosters import Trees
from policy.bundle import load_bundle, save_bundle
from policy.candidates import NOTHING
from policy.explorers import InverseGap
from tests.policy.boosting import boosted, boosted_over, featured, random_matrix, train
from tests.policy.groups import one_group
from tests.policy.guardrail_cases import a_catalog, an_ask

ROOT = Path(__file__).parents[2]
ROWS = random_matrix(500, 6)
ROWS[:, 2] = np.arange(500) % 12
TARGETS = np.random.default_rng(0).random(500) * (1 + (ROWS[:, 2] % 3 == 0)) / 2
BOOSTERS = {
    "regression": train(ROWS, TARGETS, "regression", categorical=(2,)),
    "binary": train(ROWS, TARGETS.round(), "binary", categorical=(2,)),
    "cross_entropy": train(ROWS, TARGETS, "cross_entropy", categorical=(2,)),
}
every_booster = pytest.mark.parametrize("booster", BOOSTERS.values(), ids=BOOSTERS)
TEXT = BOOSTERS["cross_entropy"].model_to_string().encode()
CATALOG = a_catalog(*(an_ask(f"ask-{i}") for i in range(8)))
SPEC = spec_of(CATALOG)


@every_booster
def test_predictions_are_those_of_lightgbm_to_the_last_bit(booster: lightgbm.Booster) -> None:
    rows = random_matrix(97, 6, seed=5)
    rows[:, 2] = np.arange(97) - 4
    expected = booster.predict(rows, num_threads=1).tobytes()
    trees = Trees.of(booster)
    for layout in (rows, np.ascontiguousarray(rows), np.repeat(rows, 2, axis=1)[:, ::2]):
        assert trees.predict(layout).tobytes() == expected
    assert trees.predict(rows, threads=2).tobytes() == expected


@every_booster
def test_a_row_alone_is_predicted_as_in_a_batch(booster: lightgbm.Booster) -> None:
    trees, rows = Trees.of(booster), random_matrix(60, 6, seed=6)
    alone = b"".join(trees.predict(rows[i : i + 1]).tobytes() for i in range(60))
    assert alone == trees.predict(rows).tobytes()
    assert trees.predict(rows[:0]).shape == (0,)


def test_what_the_text_says_is_known() -> None:
    text = Trees(TEXT).text
    assert (text.n_features, text.n_trees, text.objective) == (6, 8, "cross_entropy")


def test_a_booster_that_stopped_early_is_taken_up_to_its_best_iteration() -> None:
    booster = copy.deepcopy(BOOSTERS["regression"])
    booster.best_iteration = 3
    trees = Trees.of(booster)
    assert trees.text.n_trees == 3
    assert trees.predict(ROWS).tobytes() == booster.predict(ROWS).tobytes()


def test_trees_that_never_split_are_trees() -> None:
    booster = train(np.ones((50, 3)), np.arange(50.0), "regression")
    assert Trees.of(booster).predict(np.ones((2, 3))).tolist() == [24.5, 24.5]


def test_what_is_missing_may_be_split_from_all_else() -> None:
    rows = np.where(np.arange(60) % 3 == 0, np.nan, 0.0)[:, None]
    booster = train(rows, np.isnan(rows[:, 0]) * 1.0, "regression")
    assert "threshold=inf" in booster.model_to_string()
    seen = np.array([[np.nan], [1e300], [0.0], [-1e300]])
    assert Trees.of(booster).predict(seen).tobytes() == booster.predict(seen).tobytes()


def test_copies_and_pickles_predict_alike() -> None:
    trees = Trees(TEXT)
    for again in (copy.deepcopy(trees), pickle.loads(pickle.dumps(trees)), replace(trees)):
        assert again == trees
        assert again.predict(ROWS).tobytes() == trees.predict(ROWS).tobytes()


def test_threads_load_and_predict_at_the_same_time() -> None:
    expected, seen = Trees(TEXT).predict(ROWS).tobytes(), []
    threads = [
        threading.Thread(target=lambda: seen.extend(Trees(TEXT).predict(ROWS).tobytes() for _ in range(20)))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert seen == [expected] * 80


@pytest.mark.parametrize(
    "features", [np.ones((2, 5)), np.ones((2, 7)), np.ones(6), np.ones((2, 6), dtype=np.float32), np.ones((2, 6), int)]
)
def test_a_matrix_of_other_columns_or_entries_is_refused(features: np.ndarray) -> None:
    with pytest.raises(ValueError, match="64-bit floats in 6 columns; received"):
        Trees(TEXT).predict(features)


def test_a_text_cut_off_anywhere_is_refused(capfd: pytest.CaptureFixture[str]) -> None:
    whole = TEXT.index(b"\nend of parameters\n") + len(b"\nend of parameters\n")
    for length in [*range(0, whole - 1, 97), whole - 1]:
        with pytest.raises(ValueError, match=r"booster|header|tree|lacks"):
            Trees(TEXT[:length])
    assert capfd.readouterr() == ("", "")


def edited(before: bytes, after: bytes) -> bytes:
    """The text with its first ``before`` replaced, and the sizes of trees set right."""
    assert before in TEXT
    head, trees = TEXT.replace(before, after, 1).split(b"\n\nTree=", 1)
    trees, end = (b"Tree=" + trees).split(b"end of trees", 1)
    sizes = [len(b"Tree=" + tree) for tree in trees.split(b"Tree=")[1:]]
    lines = [
        b"tree_sizes=" + b" ".join(b"%d" % n for n in sizes) if x[:10] == b"tree_sizes" else x
        for x in head.split(b"\n")
    ]
    return b"\n".join(lines) + b"\n\n" + trees + b"end of trees" + end


def line_of(key: bytes) -> bytes:
    start = TEXT.index(b"\n" + key + b"=") + 1
    return TEXT[start : TEXT.index(b"\n", start)]


def with_first(key: bytes, word: bytes) -> bytes:
    """The text with another first word of a line in the first tree."""
    line = line_of(key)
    rest = line.partition(b"=")[2].split(b" ")[1:]
    return edited(line, key + b"=" + b" ".join([word, *rest]))


def test_editing_without_a_change_changes_nothing() -> None:
    assert edited(b"Tree=0", b"Tree=0") == TEXT


@pytest.mark.parametrize(
    ("damaged", "told"),
    [
        (b"", "no text of a LightGBM booster"),
        (b"tree\n", "no text of a LightGBM booster"),
        (TEXT + b"more", "does not end as a booster"),
        (TEXT.replace(b"Tree=1", b"Tree=1\0"), "no text of a LightGBM booster"),
        (TEXT.replace(b"pandas_categorical:null", b"pandas_categorical:[[1]]"), "does not end as a booster"),
        (edited(b"num_class=1", b"num_class=2"), "num_class is 2; allowed: 1"),
        (edited(b"objective=cross_entropy", b"objective=lambdarank"), "objective is 'lambdarank'"),
        (edited(b"max_feature_idx=5", b"max_feature_idx=6"), "feature_names has 6 entries; expected 7"),
        (edited(b"label_index=0\n", b""), "the header lacks or does not know: label_index"),
        (edited(b"Tree=1", b"Tree=2"), "tree 1 is not where it should be"),
        (edited(b"is_linear=0", b"is_linear=1"), "tree 0: is_linear is 1"),
        (with_first(b"leaf_value", b"nan"), "leaf_value must be numbers"),
        (with_first(b"leaf_value", b"1e+999"), "leaves add up to inf"),
        (with_first(b"leaf_value", b"-inf"), "leaves add up to inf"),
        (with_first(b"internal_value", b"infinity"), "internal_value must be numbers"),
        (with_first(b"leaf_value", b"1e+305"), "leaves add up to"),
        (with_first(b"leaf_value", b"0 0"), "leaf_value has"),
        (with_first(b"internal_weight", b"1-05"), "internal_weight must be numbers"),
        (with_first(b"split_gain", b""), "split_gain must be numbers"),
        (with_first(b"left_child", b"7000"), "its nodes do not make a tree"),
        (with_first(b"left_child", b"0"), "its nodes do not make a tree"),
        (with_first(b"split_feature", b"6"), "split_feature must be whole numbers from 0 to 5; received 6"),
        (with_first(b"split_feature", b"1_0"), "split_feature must be whole numbers"),
        (with_first(b"decision_type", b"12"), "decision_type must be whole numbers from 0 to 11"),
        (with_first(b"cat_boundaries", b"1"), "cat_boundaries do not divide"),
        (with_first(b"cat_threshold", b"4294967296"), "cat_threshold must be whole numbers"),
        (edited(line_of(b"num_leaves"), b"num_leaves=1"), "has one leaf, but splits"),
        (edited(line_of(b"num_leaves"), b"num_leaves=0"), "num_leaves is 0; allowed"),
    ],
)
def test_a_text_that_is_no_booster_of_one_output_is_refused(
    damaged: bytes, told: str, capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(ValueError, match=told):
        Trees(damaged)
    assert capfd.readouterr() == ("", "")


def test_children_in_a_circle_are_refused() -> None:
    left, right = line_of(b"left_child"), line_of(b"right_child")
    children = (left.split(b"=")[1] + b" " + right.split(b"=")[1]).split(b" ")
    first, last = children.index(b"1"), children.index(b"%d" % (len(children) // 2 - 1))
    children[first], children[last] = children[last], children[first]
    half = len(children) // 2
    swapped = b"left_child=" + b" ".join(children[:half]) + b"\nright_child=" + b" ".join(children[half:])
    with pytest.raises(ValueError, match="a node is the child of a later one"):
        Trees(edited(left + b"\n" + right, swapped))


def test_random_damage_is_refused_or_still_predicts_numbers() -> None:
    rng, n_loaded = np.random.default_rng(3), 0
    for _ in range(400):
        damaged = bytearray(TEXT)
        for place in rng.integers(0, TEXT.index(b"end of trees"), 2):
            damaged[place] = rng.choice(list(b"0123456789 -.=e\nx"))
        try:
            trees = Trees(bytes(damaged))
        except ValueError:
            continue
        n_loaded += 1
        assert np.isfinite(trees.predict(ROWS)).all()
    assert n_loaded > 0


def test_values_are_clipped_and_nothing_is_never_accepted() -> None:
    scorer = boosted(ROWS)
    candidates = replace(one_group(500), asks=np.where(np.arange(500) % 9 == 0, NOTHING, 3), features=ROWS)
    scores, raw = scorer.score(candidates), scorer.value.predict(ROWS)
    assert raw.min() < -0.3
    assert raw.max() > 0.7
    assert scores.values.tolist() == np.clip(raw, -0.3, 0.7).tolist()
    accepts = scorer.p_accept.predict(ROWS)
    assert scores.p_accepts.tolist() == np.where(candidates.asks == NOTHING, 0.0, accepts).tolist()


def test_acceptances_of_a_regression_are_probabilities_too() -> None:
    scorer = boosted(ROWS)
    swapped = BoostedScorer(scorer.value, scorer.value, -1.0, 1.0)
    p_accepts = swapped.score(replace(one_group(500), features=ROWS)).p_accepts
    assert (p_accepts.min(), p_accepts.max() <= 1.0) == (0.0, True)


def test_no_features_or_too_few_rows_of_them_are_refused() -> None:
    scorer = boosted(ROWS)
    for features in (None, ROWS[:3]):
        with pytest.raises(ValueError, match="features must be one row a candidate, 4; received"):
            scorer.score(replace(one_group(4), features=features))


@pytest.mark.parametrize(
    ("low", "high"), [(1.0, 0.0), (float("nan"), 1.0), (0.0, float("inf")), ("0", 1.0), (True, 1.0)]
)
def test_a_range_that_is_none_is_refused(low: float, high: float) -> None:
    trees = Trees(TEXT)
    with pytest.raises(ValueError, match="low and high must be"):
        BoostedScorer(trees, trees, low, high)


def test_boosters_of_other_columns_are_refused() -> None:
    with pytest.raises(ValueError, match=r"value\.txt has 6 features, p_accept\.txt 3"):
        BoostedScorer(Trees(TEXT), boosted(ROWS[:, :3]).value, 0, 1)


@pytest.fixture(scope="module")
def scorer() -> BoostedScorer:
    return boosted_over(CATALOG, SPEC)


@pytest.fixture
def saved(tmp_path: Path, scorer: BoostedScorer) -> Path:
    folder = tmp_path / "bundle"
    save_bundle(folder, scorer=scorer, explorer=InverseGap(0.3, 4), catalog=CATALOG, spec=SPEC, info={})
    return folder


def rewrite(folder: Path, name: str, change: Callable[[bytes], bytes]) -> None:
    """Changes a file and the manifest with it."""
    (folder / name).write_bytes(change((folder / name).read_bytes()))
    manifest = json.loads((folder / "manifest.json").read_bytes())
    manifest["files"][name] = hashlib.sha256((folder / name).read_bytes()).hexdigest()
    (folder / "manifest.json").write_text(json.dumps(manifest))


def test_a_bundle_brings_the_same_scorer_back_byte_for_byte(saved: Path, scorer: BoostedScorer) -> None:
    bundle = load_bundle(saved)
    assert bundle.policy.scorer == scorer
    assert bundle.policy.scorer.to_files() == scorer.to_files()
    candidates = featured(one_group(8), CATALOG, SPEC)
    explorer = InverseGap(0.3, 4).under(CATALOG.exploration)
    expected = explorer.probabilities(scorer.score(candidates).values, candidates)
    assert bundle.policy.distribution(candidates).probabilities.tobytes() == expected.tobytes()


@pytest.mark.parametrize("name", ["value.txt", "p_accept.txt"])
@pytest.mark.parametrize("kept", [0.0, 0.3, 0.6, 0.9])
def test_a_cut_off_booster_is_a_bad_bundle_though_its_digest_is_right(saved: Path, name: str, kept: float) -> None:
    rewrite(saved, name, lambda content: content[: int(len(content) * kept)])
    with pytest.raises(BadBundle, match=f"{name}: "):
        load_bundle(saved)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"low": 2.0}, "low not above high"),
        ({"low": None}, "low and high must be numbers"),
        ({"format": 2}, r"boosted\.json: is not of format 1"),
        ({"more": 2}, r"boosted\.json: is not of format 1"),
        ({"objectives": {}}, r"boosted\.json: objectives are"),
    ],
)
def test_a_description_that_cannot_be_is_a_bad_bundle(saved: Path, change: dict[str, object], told: str) -> None:
    rewrite(saved, "boosted.json", lambda content: json.dumps({**json.loads(content), **change}).encode())
    with pytest.raises(BadBundle, match=told):
        load_bundle(saved)


def test_boosters_that_do_not_fit_the_features_are_a_bad_bundle(tmp_path: Path) -> None:
    save_bundle(tmp_path / "b", scorer=boosted(ROWS), explorer=InverseGap(0.3, 4), catalog=CATALOG, spec=SPEC, info={})
    with pytest.raises(BadBundle, match=rf"value\.txt: has 6 features; features\.json names {len(SPEC.names)}"):
        load_bundle(tmp_path / "b")


@pytest.mark.parametrize("order", ["before", "after"])
def test_training_and_serving_share_a_process_in_either_order(saved: Path, order: str) -> None:
    load = "from policy.bundle import load_bundle; bundle = load_bundle(Path(sys.argv[1]))"
    learn = """
        import lightgbm, numpy as np
        from lightgbm import LGBMRegressor
        rows = np.arange(200.0)[:, None]
        model = LGBMRegressor(n_estimators=3, num_threads=1, verbose=-1).fit(rows, rows[:, 0])
    """
    first, second = (load, learn) if order == "before" else (learn, load)
    check = """
        trees = bundle.policy.scorer.value
        rows = np.ones((5, trees.text.n_features))
        own = lightgbm.Booster(model_str=trees.content.decode()).predict(rows)
        print(trees.predict(rows).tobytes() == own.tobytes(), model.n_features_in_, end="")
    """
    start = "import sys; from pathlib import Path"
    program = "\n".join(map(textwrap.dedent, (start, first, second, check)))
    done = subprocess.run([sys.executable, "-c", program, saved], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr, done.returncode) == ("True 1", "", 0)
