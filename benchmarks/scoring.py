"""What a decision by boosted trees costs, against ``Booster.predict`` alone: ``python -m benchmarks.scoring``.

The columns are random with 3 % missing, trees have 31 leaves, everything runs on one thread, and every call is about
another visitor: the same rows again and again would be learned by the processor and take half the time. A model's whole
``distribution`` (two boosters, clipping, exploration) is compared with one ``Booster.predict`` of the values on the
same rows in the same run, and so are the ways of asking one booster.
"""

from __future__ import annotations

import argparse
import ctypes
import time
from collections.abc import Callable
from typing import Any

import lightgbm
import numpy as np
from lightgbm.basic import _InnerPredictor

from policy.boosted import BoostedScorer
from policy.boosters import Trees
from policy.candidates import Candidates
from policy.cautious import CautiousScorer
from policy.explorers import InverseGap
from policy.policies import Model
from policy.scorers import ConstantScorer

N_VISITORS = 200


def columns(n_rows: int, n_columns: int, seed: int) -> Any:
    rng = np.random.default_rng(seed)
    values = rng.random((n_columns, n_rows))
    values[rng.random(values.shape) < 0.03] = np.nan
    return values.T  # columns contiguous, as features are


def train(n_trees: int, n_columns: int, objective: str) -> lightgbm.Booster:
    rows = columns(8_000, n_columns, seed=0)
    targets = np.random.default_rng(1).random(len(rows))
    settings = {"objective": objective, "num_leaves": 31, "num_threads": 1, "seed": 0, "verbose": -1}
    booster = lightgbm.train(settings, lightgbm.Dataset(rows, targets), n_trees)
    return lightgbm.Booster(model_str=booster.model_to_string())


def single_row_fast(booster: lightgbm.Booster, n_columns: int) -> Callable[[Any], Any]:
    """The C interface's way for one row, in a loop."""
    library = lightgbm.basic._LIB
    fast, n = ctypes.c_void_p(), ctypes.c_int64()
    library.LGBM_BoosterPredictForMatSingleRowFastInit(
        booster._handle, 0, 0, -1, 1, ctypes.c_int32(n_columns), b"num_threads=1", ctypes.byref(fast)
    )
    n_pointer = ctypes.byref(n)

    def predict(rows: Any) -> Any:
        rows, out = np.ascontiguousarray(rows), np.empty(len(rows))
        row, end = rows.ctypes.data, out.ctypes.data
        for i in range(len(rows)):
            library.LGBM_BoosterPredictForMatSingleRowFast(
                fast, ctypes.c_void_p(row + i * n_columns * 8), n_pointer, ctypes.c_void_p(end + i * 8)
            )
        return out

    return predict


def microseconds(runs: dict[str, Callable[[Any], Any]], visitors: list[Candidates], repeats: int) -> dict[str, float]:
    """The best of some turns over all visitors, taken in turns, so that a busy machine is busy for all."""
    best = dict.fromkeys(runs, float("inf"))
    for _ in range(repeats):
        for name, run in runs.items():
            started = time.perf_counter()
            for group in visitors:
                run(group)
            best[name] = min(best[name], (time.perf_counter() - started) / len(visitors) * 1e6)
    return best


def compare(n_trees: int, n_candidates: int, n_columns: int, repeats: int) -> None:
    booster, p_accept = train(n_trees, n_columns, "regression"), train(n_trees, n_columns, "cross_entropy")
    trees = Trees.of(booster)
    offsets, asks = np.array([0, n_candidates]), np.arange(n_candidates)
    visitors = [
        Candidates(offsets, asks, np.array([0]), np.array([-1]), features=columns(n_candidates, n_columns, seed))
        for seed in range(N_VISITORS)
    ]
    scorer, explorer = BoostedScorer(trees, Trees.of(p_accept), 0.0, 1.0), InverseGap(loss=0.3, steps=4, floor=0.05)
    boosted = Model(scorer, explorer)
    baselines = Model(CautiousScorer(scorer, None, 0.2), explorer)
    cautious = Model(CautiousScorer(scorer, scorer, 0.2), explorer)
    constant = Model(ConstantScorer(tuple(f"ask-{i}" for i in range(n_candidates))), explorer)
    inner = _InnerPredictor.from_booster(booster, {"num_threads": 1})
    one_by_one = single_row_fast(booster, n_columns)
    predictions: dict[str, Callable[[Any], Any]] = {
        "Booster.predict": lambda group: booster.predict(group.features, num_threads=1),
        "_InnerPredictor": lambda group: inner.predict(group.features),
        "Trees.predict": lambda group: trees.predict(group.features),
        "single row fast": lambda group: one_by_one(group.features),
    }
    for name, predict in predictions.items():
        for group in visitors:
            if predict(group).tobytes() != predictions["Booster.predict"](group).tobytes():
                raise ValueError(f"{name} predicts other numbers than Booster.predict")
    runs = predictions | {
        "distribution, constant": constant.distribution,
        "distribution, boosted": boosted.distribution,
        "distribution, cautious of the baseline": baselines.distribution,
        "distribution, cautious of boosted": cautious.distribution,
    }
    times = microseconds(runs, visitors, repeats)
    started = time.perf_counter()
    Trees(trees.content)
    loading = time.perf_counter() - started
    print(
        f"{n_trees} trees, {n_candidates} candidates, {n_columns} columns; loading one booster {loading * 1e3:.0f} ms"
    )
    for name, taken in times.items():
        print(f"  {name:40} {taken:7.1f} us = {taken / times['Booster.predict']:.2f} of Booster.predict")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--candidates", type=int, default=12)
    parser.add_argument("--columns", type=int, default=60)
    parser.add_argument("--repeats", type=int, default=20)
    arguments = parser.parse_args()
    for n_trees in (100, 200, 400):
        compare(n_trees, arguments.candidates, arguments.columns, arguments.repeats)


if __name__ == "__main__":
    main()
