"""Which decisions are steps, and what became of each."""

from __future__ import annotations

from typing import Final

import polars as pl

from data.domain import SECOND, Catalog

TIME: Final = pl.Datetime("us", "UTC")


def decisions_of(frame: pl.DataFrame) -> pl.DataFrame:
    """The decisions of a log in arrival order, with ``seen_at`` and ``is_step``."""
    is_alone = pl.col("eligible").list.drop_nulls().list.len() == 0
    is_forced = pl.col("ask_id").is_null() & pl.coalesce(is_alone, pl.col("propensity") == 1.0, pl.lit(False))
    return (
        frame.filter(pl.col("type") == "shown")
        .sort("order")
        .with_columns(seen_at=pl.coalesce("shown_at", "at"), is_step=~is_forced)
    )


def answers_of(frame: pl.DataFrame) -> pl.DataFrame:
    """What became of each decision that has an answer: ``decision_id answer answered_at answer_value ...``.

    An acceptance or a decline is final and replaces ``ignored``. Nobody answers what was not seen yet: such an
    answer is taken at the moment the decision was seen (``time``).
    """
    is_final = pl.col("type").is_in(["accepted", "declined"])
    seen = frame.filter(pl.col("type") == "shown").select("decision_id", seen_at=pl.coalesce("shown_at", "at"))
    answers = frame.filter(is_final | (pl.col("type") == "ignored"), pl.col("decision_id").is_not_null())
    return (
        answers.sort((~is_final), "order")
        .unique("decision_id", keep="first", maintain_order=True)
        .join(seen.unique("decision_id", keep="first"), on="decision_id", how="left", maintain_order="left")
        .select(
            "decision_id",
            answer="type",
            time=pl.max_horizontal("at", "seen_at"),
            answer_value="value",
            answer_order="order",
            order_id="order_id",
        )
    )


def answered_steps(decisions: pl.DataFrame, answers: pl.DataFrame, catalog: Catalog, now: int) -> pl.DataFrame:
    """The steps among the decisions, each with ``answer answered_at value``."""
    age = pl.lit(now) - pl.col("seen_at").cast(pl.Int64)
    is_pending = pl.col("ask_id").is_not_null() & (age < catalog.session_gap_s * SECOND)
    unanswered = pl.when(is_pending).then(pl.lit("pending")).otherwise(pl.lit("ignored"))
    default = pl.when(pl.col("ask_id") == catalog.goal).then(1.0).otherwise(0.0)
    is_accepted = pl.col("answer") == "accepted"
    return (
        decisions.filter("is_step")
        .drop("value", "order_id", strict=False)
        .join(answers, on="decision_id", how="left", maintain_order="left")
        .with_columns(answer=pl.coalesce("answer", unanswered))
        .with_columns(
            answered_at=pl.when(pl.col("answer").is_in(["accepted", "declined"])).then("time").cast(TIME),
            value=pl.when(is_accepted).then(pl.coalesce("answer_value", default)).otherwise(0.0),
        )
    )
