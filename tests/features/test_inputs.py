"""Raw values become the same numbers in a request and in a log."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data.domain import Decision
from data.log.cells import number_text
from data.log.items import frame_of, items_of
from features.frames import encode_frame, learn_spec
from features.inputs import InputCodes, encoder_of, text_of
from features.spec import Input, spec_of
from tests.features.random_logs import CATALOG, START

SPEC = spec_of(CATALOG, {"context.referrer": ("12", "search", "true")})
VALUES = (
    st.sampled_from(["mobile", "search", "dry", "", "12", "12.0", "1e3", "true", "nan", " 5", "-0", "0x1f"])
    | st.booleans()
    | st.integers(-5, 12)
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=3)
)
CONTEXTS = st.fixed_dictionaries({}, optional=dict.fromkeys(("device", "referrer", "basket", "member"), VALUES))
ANSWERS = st.fixed_dictionaries({}, optional={"skin": VALUES, "age": VALUES})


def decisions_of(given_):
    return [
        Decision(f"d{i}", "v", "shop", START + i, START + i, "quiz", None, None, "x", channel, context, answers)
        for i, (context, answers, channel) in enumerate(given_)
    ]


def encoded(decisions):
    return InputCodes(SPEC).encode(
        [decision.context for decision in decisions],
        [decision.answers for decision in decisions],
        [decision.channel for decision in decisions],
        [decision.at for decision in decisions],
    )


def assert_equal(found, wanted):
    for name in ("channel", "context", "answers", "now"):
        np.testing.assert_array_equal(getattr(found, name), getattr(wanted, name), err_msg=name, strict=True)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(CONTEXTS, ANSWERS, st.sampled_from(["web", "email", "fax"])), max_size=8))
def test_a_request_and_its_row_in_a_log_are_encoded_alike(given_):
    decisions = decisions_of(given_)
    frame = frame_of(decisions)
    assert_equal(encode_frame(SPEC, frame), encoded(decisions))
    assert_equal(encoded(list(items_of(frame))), encoded(decisions))


def test_one_odd_value_does_not_cost_a_log_the_numbers_of_others():
    frame = frame_of(decisions_of([({"basket": 12.5}, {}, "web"), ({"basket": "none"}, {}, "web")]))
    basket = encode_frame(SPEC, frame).context[:, 2]
    assert (basket[0], math.isnan(basket[1])) == (12.5, True)


@pytest.mark.parametrize(
    ("value", "code"), [("desktop", 0), ("mobile", 1), ("fridge", None), ("", None), (None, None), (True, None)]
)
def test_a_closed_category_misses_every_other_value(value, code):
    found = encoder_of(Input("device", "category", ("desktop", "mobile")))(value)
    assert math.isnan(found) if code is None else found == code


@pytest.mark.parametrize(("value", "code"), [("a", 0), ("rare", 1), (5, 1), ("", None), (None, None), ([], None)])
def test_an_open_category_puts_other_values_in_one_bucket(value, code):
    found = encoder_of(Input("referrer", "category", ("a",), is_open=True))(value)
    assert math.isnan(found) if code is None else found == code


@pytest.mark.parametrize(
    ("value", "number"),
    [
        *((0, 0), (9.5, 9.5), ("7", 7), (10, 10)),
        *((value, None) for value in (-1, 11, math.nan, math.inf, 10**400, True, "seven", "nan", "11", None, [])),
    ],
)
def test_a_number_misses_what_is_none_or_out_of_bounds(value, number):
    found = encoder_of(Input("basket", "number", minimum=0, maximum=10))(value)
    assert math.isnan(found) if number is None else found == number


@pytest.mark.parametrize(
    ("value", "code"), [(True, 1), (False, 0), ("true", 1), (1, None), ("yes", None), (None, None)]
)
def test_a_boolean_misses_everything_else(value, code):
    found = encoder_of(Input("member", "boolean"))(value)
    assert math.isnan(found) if code is None else found == code


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_numbers_have_the_text_that_a_log_gives_them(number):
    assert text_of(number) == number_text(number)


def test_a_column_that_a_log_lacks_is_missing():
    frame = frame_of(decisions_of([({}, {}, "web")])).drop("channel")
    given_ = encode_frame(SPEC, frame)
    assert np.isnan(given_.context).all()
    assert given_.channel.tolist() == [0]


def test_a_vocabulary_holds_frequent_values_in_order():
    frame = frame_of(decisions_of([({"referrer": name}, {}, "web") for name in "bbbaaacc"]))
    assert learn_spec(CATALOG, frame, min_count=3).categories["context.referrer"] == ("a", "b")


def test_a_vocabulary_keeps_the_most_frequent_values_when_there_are_too_many():
    frame = frame_of(decisions_of([({"referrer": name}, {}, "web") for name in "bbbaacc"]))
    spec = learn_spec(CATALOG, frame, min_count=1, max_values=2)
    assert spec.categories["context.referrer"] == ("a", "b")


@given(st.permutations([*"aaabbbccdd"]))
def test_a_learned_spec_does_not_depend_on_the_order_of_rows(names):
    frame = frame_of(decisions_of([({"referrer": name}, {}, "web") for name in names]))
    assert learn_spec(CATALOG, frame, min_count=2, max_values=3).categories["context.referrer"] == ("a", "b", "c")
