import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from data.catalog import catalog_from_tree, dump_catalog, parse_catalog, tree_of
from data.errors import BadCatalog
from tests.strategies import catalog_documents, catalog_trees, catalogs

JUNK = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**20), 10**20)
    | st.floats()
    | st.text(max_size=8)
    | st.dates()
    | st.sampled_from(["1d", "skin_quiz", ">=5", "category", 10**400, "\ud800", ".nan"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=4,
)


@settings(max_examples=150, deadline=None)
@given(catalogs())
def test_a_dumped_catalog_reads_back_equal(catalog):
    assert parse_catalog(dump_catalog(catalog)) == catalog


@settings(max_examples=100, deadline=None)
@given(catalog_trees(), st.randoms())
def test_the_order_of_fields_and_the_layout_do_not_matter(tree, random):
    shuffled = _shuffled(tree, random)
    text = yaml.safe_dump(shuffled, sort_keys=False, default_flow_style=random.choice([True, False]))
    assert parse_catalog("# a comment\n" + text) == catalog_from_tree(tree)


@settings(max_examples=100, deadline=None)
@given(catalog_trees())
def test_equal_digests_mean_equal_catalogs_field_by_field(tree):
    catalog = catalog_from_tree(tree)
    assert tree_of(catalog) == tree_of(catalog_from_tree(tree_of(catalog)))


@settings(max_examples=200, deadline=None)
@given(catalog_trees(), st.data())
def test_a_changed_tree_is_read_or_refused_with_faults(tree, data):
    for _ in range(data.draw(st.integers(1, 3))):
        _mutate(tree, data)
    _read_or_refuse(catalog_from_tree, tree)


@settings(max_examples=200, deadline=None)
@given(catalog_documents(), st.data())
def test_a_changed_text_is_read_or_refused_with_faults(text, data):
    start = data.draw(st.integers(0, len(text)))
    end = data.draw(st.integers(start, min(len(text), start + 20)))
    noise = st.text(max_size=6) | st.sampled_from(
        ["\t", "&a ", "*a", "!!binary ", "<<: ", ">=", "? ", "[", "{", "\x00"]
    )
    changed = text[:start] + data.draw(noise) + text[end:]
    _read_or_refuse(parse_catalog, changed)


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=200) | st.text(max_size=200))
def test_arbitrary_text_is_refused_with_faults(text):
    _read_or_refuse(parse_catalog, text)


def _read_or_refuse(read, source):
    try:
        catalog = read(source)
    except BadCatalog as error:
        faults = error.faults
    else:
        assert parse_catalog(dump_catalog(catalog)) == catalog
        return
    assert faults
    assert all(fault.problem and fault.file for fault in faults)


def _shuffled(value, random):
    if isinstance(value, list):
        return [_shuffled(item, random) for item in value]
    if not isinstance(value, dict):
        return value
    names = list(value)
    random.shuffle(names)
    return {name: _shuffled(value[name], random) for name in names}


def _mutate(value, data):
    """Replaces, removes or adds one value somewhere in a tree."""
    while True:
        keys = list(value) if isinstance(value, dict) else list(range(len(value)))
        key = data.draw(st.sampled_from(keys)) if keys else None
        if key is not None and isinstance(value[key], dict | list) and data.draw(st.booleans()):
            value = value[key]
            continue
        if key is not None and data.draw(st.booleans()):
            del value[key]
        elif isinstance(value, dict):
            value[key or data.draw(st.text(max_size=5))] = data.draw(JUNK)
        else:
            value.insert(0, data.draw(JUNK))
        return
