"""Texts that are no good YAML, or YAML that no catalog needs."""

import pytest
import yaml

from data.catalog import parse_catalog
from data.catalog.document import read_document
from data.errors import BadCatalog
from tests.data.catalog_files import TEXT, faults_of, only_fault


@pytest.mark.parametrize(
    ("text", "path", "problem"),
    [
        ("", "", "is empty"),
        ("# only a comment\n", "", "is empty"),
        ("---\n...\n", "", "is empty"),
        ("- skin_quiz\n", "", "has no fields at its top level"),
        ("skincare\n", "", "has no fields at its top level"),
        ("limits:\n\tmin_gap: 1m\n", "line 2", "is indented with a tab"),
        ("title: Buy: now\n", "line 1", "has a colon where none can be"),
        ("title: @home\n", "line 1", "a sign that needs quotes"),
        ("basket: >=50\n", "line 1", "begins a value with > or |"),
        ("format: 1\nasks: [skin_quiz\n", "line 2", "opens a quote or a bracket that is not closed"),
        ("title: 'Buy\nformat: 1\n", "line 1", "opens a quote or a bracket that is not closed"),
        ("asks: [a}\nformat: 1\n", "line 1", "is not YAML from here on"),
        ("a: *b\n", "line 1", "is not YAML from here on"),
        ("a: 1\n---\na: 2\n", "line 2", "begins a second catalog"),
        ("a: \x00\n", "", "a character that YAML does not allow"),
        ("a: \ud800\n", "", "is not UTF-8 text"),
        (b"title: caf\xe9\n", "", "is not UTF-8 text"),
        ("title: Buy\n".encode("utf-16"), "", "is not UTF-8 text"),
        ("a: &a [*a]\n", "line 1", "refers to itself"),
        ("a: " + "[" * 100_000, "line 1", "is nested too deeply"),
        ("a: [" + "1, " * 250_000 + "1]", "line 1", "holds too many values"),
        ("a" * 2_000_000, "", "is too large"),
    ],
)
def test_an_unreadable_text_is_told_in_plain_words(text, path, problem):
    fault = only_fault(text)
    assert (fault.file, fault.path) == ("skincare.yaml", path)
    assert problem in fault.problem
    assert fault.allowed


def test_aliases_of_aliases_do_not_grow_without_bound():
    lines = ["a0: &a0 [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 12)]
    assert "holds too many values" in only_fault("\n".join(lines)).problem


def test_a_field_given_twice_is_told_with_both_lines():
    fault = only_fault(TEXT + "goal: skin_quiz\n")
    assert (fault.path, fault.problem, fault.received) == ("goal", "is given twice (line 3)", "again in line 17")


def test_a_field_given_twice_within_an_ask_is_told():
    assert only_fault(TEXT.replace("effort: 8,", "effort: 8, effort: 9,")).path == "asks[2].effort"


def test_a_name_that_is_no_text_is_told():
    fault = only_fault(TEXT.replace("  is_member:", "  yes:"))
    assert (fault.path, fault.received) == ("context", "true")
    assert "has a name that is not text" in fault.problem


def test_a_list_as_a_name_is_told():
    assert "has a name that is not text" in only_fault(TEXT + "? [a, b]\n: 1\n").problem


@pytest.mark.parametrize("tag", ["!!binary aGk=", "!!python/object:os.system x", "!mine x"])
def test_types_of_its_own_are_told(tag):
    faults = faults_of(TEXT + f"title: {tag}\n")
    assert [fault.path for fault in faults] == ["title"]
    assert "has a type of its own" in faults[0].problem


@pytest.mark.parametrize(
    "value", ["2026-02-30", "0b_", "!!bool maybe", "!!int x", "!!float y", "!!timestamp z", "9" * 5_000]
)
def test_what_only_looks_like_a_number_or_date_is_told_where_it_is_used(value):
    assert {fault.path for fault in faults_of(TEXT.replace("effort: 8", f"effort: {value}"))} == {"asks[2].effort"}


def test_an_alias_stands_for_the_value():
    text = TEXT.replace("title: Your routine", "title: &title Your routine").replace(
        "title: Buy the set", "title: *title"
    )
    assert parse_catalog(text).goal_ask.title == "Your routine"


def test_own_fields_win_over_those_taken_over():
    document = read_document("a: &a {x: 1, y: 2}\nb: &b {y: 3, z: 4}\nc: {<<: [*a, *b], x: 9}", "f.yaml")
    assert document.tree["c"] == {"x": 9, "y": 2, "z": 4}


def test_taking_over_what_has_no_fields_is_told():
    with pytest.raises(BadCatalog, match="has no fields"):
        raise BadCatalog(faults_of(TEXT + "title: {<<: [1]}\n"))


def test_reading_agrees_with_the_yaml_library():
    assert read_document(TEXT, "f.yaml").tree == yaml.safe_load(TEXT)


def test_a_byte_order_mark_is_no_fault():
    assert faults_of(b"\xef\xbb\xbf" + TEXT.encode()) == ()


def test_windows_line_ends_are_no_fault():
    assert parse_catalog(TEXT.replace("\n", "\r\n")) == parse_catalog(TEXT)


def test_unquoted_question_marks_are_no_fault():
    assert faults_of(TEXT.replace('"What is your skin like?"', "What is your skin like?")) == ()
