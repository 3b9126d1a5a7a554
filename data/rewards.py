"""What an episode was worth.

``reward: conversion``
    1 when it converted, else 0.

``reward: value``
    sum over accepted asks (value - cost) + value of the one conversion, where

    - an accepted ask is worth its ``value`` (default 0), a conversion its last reported value (default 1); both may
      be negative;
    - the accepted goal ask *is* the conversion: its value counts once, as the conversion's; its cost counts when the
      goal ask was accepted, not when only a ``converted`` event told of it;
    - an acceptance counts when it came within ``conversion_window`` of the episode's first decision, so that the
      reward of a mature episode is final; prompted ones count for the episode of their decision, unprompted ones for
      the episode that ran when they happened;
    - one order is paid once: acceptances of one ask that name the same order are one, worth the value that arrived
      last; and where a conversion names the order, the money is the conversion's.
"""

from __future__ import annotations

from collections.abc import Mapping

import polars as pl

from data.domain import Catalog


def episode_rewards(catalog: Catalog, conversions: pl.DataFrame, acceptances: pl.DataFrame) -> pl.DataFrame:
    """Rewards of the episodes that have one other than 0: ``episode_id reward``.

    Args:
        catalog: says which reward is meant, and what asks cost.
        conversions: ``episode_id value is_accepted``, at most one row an episode.
        acceptances: ``episode_id ask_id value`` of accepted asks other than the goal, each counted once.
    """
    if catalog.reward == "conversion":
        return conversions.select("episode_id", reward=pl.lit(1.0))
    costs = {ask.id: ask.cost for ask in catalog.asks}
    goal_cost = pl.when("is_accepted").then(costs[catalog.goal]).otherwise(0.0)
    parts = [
        conversions.select("episode_id", reward=pl.col("value") - goal_cost),
        acceptances.select("episode_id", reward=pl.col("value").fill_null(0.0) - _cost(costs)),
    ]
    # A fixed order of summation: equal logs give equal bits.
    return pl.concat(parts).group_by("episode_id", maintain_order=True).agg(pl.col("reward").sum())


def paid_once(acceptances: pl.DataFrame, orders: pl.DataFrame) -> pl.DataFrame:
    """Acceptances with each order counted once; the rules are in the module docstring.

    Args:
        acceptances: rows with at least ``owner ask_id order_id value order``, in arrival order.
        orders: ``owner order_id`` of the reports of conversions.
    """
    named = acceptances.filter(pl.col("order_id").is_not_null())
    if named.is_empty():
        return acceptances
    latest = pl.col("value").drop_nulls().last().over("owner", "ask_id", "order_id")
    once = named.with_columns(value=latest).unique(["owner", "ask_id", "order_id"], keep="first", maintain_order=True)
    claimed = orders.unique().with_columns(is_claimed=pl.lit(True))
    priced = once.join(claimed, on=["owner", "order_id"], how="left", maintain_order="left").with_columns(
        value=pl.when("is_claimed").then(0.0).otherwise("value")
    )
    unnamed = acceptances.filter(pl.col("order_id").is_null())
    return pl.concat([unnamed, priced.drop("is_claimed")]).sort("order")


def _cost(costs: Mapping[str, float]) -> pl.Expr:
    return pl.col("ask_id").replace_strict(costs, default=0.0, return_dtype=pl.Float64)
