"""A spec says which columns a model knows, and notices every difference."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given

from data.domain import Ask, Feature
from data.errors import BadBundle
from features.spec import FeatureSpec, spec_of, with_edges
from tests.features.random_logs import CATALOG
from tests.strategies import catalogs

SPEC = spec_of(CATALOG, {"context.referrer": ("search", "social")})


@given(catalogs())
def test_a_spec_survives_json(catalog):
    spec = spec_of(catalog)
    again = FeatureSpec.from_json(spec.to_json())
    assert (again, again.fingerprint, again.names) == (spec, spec.fingerprint, spec.names)


@given(catalogs())
def test_every_catalog_has_columns_with_names_of_their_own(catalog):
    names = spec_of(catalog).names
    assert len(set(names)) == len(names)


@pytest.mark.parametrize(
    "other",
    [
        replace(SPEC, signals=("page",)),
        replace(SPEC, asks=("quiz", "save")),
        replace(SPEC, context=SPEC.context[1:]),
        replace(SPEC, edges={"ask.effort": (1.0,)}),
        replace(SPEC, versions=SPEC.versions | {"ask": 99}),
        spec_of(CATALOG, {"context.referrer": ("search",)}),
        spec_of(replace(CATALOG, context=(Feature("basket", "number", maximum=5),))),
    ],
)
def test_whatever_changes_a_column_changes_the_fingerprint(other):
    assert other.fingerprint != SPEC.fingerprint


def test_an_ask_with_another_effort_does_not_change_the_fingerprint():
    asks = (Ask("quiz", "Quiz", "quiz", 3), *CATALOG.asks[1:])
    assert spec_of(replace(CATALOG, asks=asks)).fingerprint == spec_of(CATALOG).fingerprint


def test_a_file_lists_what_the_contract_names():
    assert {"names", "categories", "edges", "fingerprint"} <= json.loads(SPEC.to_json()).keys()


def test_category_columns_are_known_by_position():
    named = [SPEC.names[i] for i in SPEC.categorical]
    wanted = ["ask", "ask.kind", "ask.stage", "channel", "context.device", "context.referrer", "answers.skin"]
    assert named == wanted


@pytest.mark.parametrize("text", ["", "[]", "{}", "null", '{"context": 1}', SPEC.to_json().replace('"skin"', '"hair"')])
def test_a_damaged_file_is_refused(text):
    with pytest.raises(BadBundle, match=r"features\.json"):
        FeatureSpec.from_json(text)


def test_a_file_of_another_column_version_is_refused():
    old = replace(SPEC, versions=SPEC.versions | {"pair": 0})
    with pytest.raises(BadBundle, match="train anew"):
        FeatureSpec.from_json(old.to_json())


def test_edges_are_quantiles_of_the_values_that_occur():
    matrix = np.full((100, len(SPEC.names)), np.nan)
    matrix[:, SPEC.names.index("ask.effort")] = np.arange(100)[::-1]
    matrix[:, SPEC.names.index("ask")] = 1
    spec = with_edges(SPEC, matrix, n_bins=4)
    assert spec.edges == {"ask.effort": (25.0, 50.0, 75.0)}
    assert FeatureSpec.from_json(spec.to_json()) == spec


def test_open_categories_without_a_log_know_no_value():
    assert spec_of(CATALOG).categories["context.referrer"] == ()
