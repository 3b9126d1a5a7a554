"""LightGBM's text of a booster, checked before the library sees it.

The library trusts its own format: a child that points nowhere makes it read foreign memory, and what it does notice it
prints. So every tree is checked to be one: the right number of entries, splits on features that exist, each node the
child of exactly one earlier node, leaves that are finite numbers. What passes here can be loaded and predicts finite
raw values for every row. Text is at most of one class, one tree an iteration and constant leaves.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

_MOST_RAW: Final = 1e300
"""Trees whose leaves could add up to more are refused, as their sum would overflow."""
_MOST_LEAVES: Final = 1 << 20
# Every number as the library writes it: an exception in its threads, which read the trees, ends the process.
_WHOLE: Final = re.compile(r"(?:-?[0-9]{1,10}+(?: (?!\Z)|\Z))++")
_NUMBERS: Final = re.compile(r"(?:-?(?:inf|[0-9]++(?:\.[0-9]++)?+(?:e[+-][0-9]{1,3}+)?+)(?: (?!\Z)|\Z))++")

_BEGINNING: Final = b"tree\nversion=v4\n"
_END: Final = b"end of trees\n"
_TAIL: Final = re.compile(
    rb"\n*feature_importances:\n.*\nparameters:\n.*\nend of parameters\n\n*(pandas_categorical:(null|\[\])\n)?",
    re.DOTALL,
)
_OBJECTIVE: Final = re.compile(
    r"(regression|regression_l1|huber|fair|quantile|mape|poisson|gamma|tweedie|binary|cross_entropy|cross_entropy_lambda)"
    r"( sqrt| [a-z_]+:[0-9.e+-]{1,32})*"
)
_HEADER_KEYS: Final = frozenset(
    [
        "version",
        "num_class",
        "num_tree_per_iteration",
        "label_index",
        "max_feature_idx",
        "objective",
        "feature_names",
        "feature_infos",
        "tree_sizes",
    ]
)
_OF_NODES: Final = ["split_feature", "threshold", "decision_type", "left_child", "right_child"]
_TOLD_OF_NODES: Final = ["split_gain", "internal_value", "internal_weight", "internal_count"]
_TOLD_OF_LEAVES: Final = ["leaf_weight", "leaf_count"]
"""What does not enter a prediction."""
_OF_WHOLE: Final = frozenset(("split_feature", "decision_type", "left_child", "right_child"))
_TREE_KEYS: Final = frozenset(
    (*_OF_NODES, *_TOLD_OF_NODES, *_TOLD_OF_LEAVES, "leaf_value", "num_leaves", "num_cat", "is_linear", "shrinkage")
)
_CATEGORY_KEYS: Final = frozenset(("cat_boundaries", "cat_threshold"))

Numbers = npt.NDArray[np.float64]
_Tree = Mapping[str, Numbers]


@dataclass(frozen=True, slots=True)
class TreeText:
    """What the beginning of a booster's text says of it.

    Attributes:
        n_features: columns of the matrices it was trained on.
        n_trees: number of trees, at least 1.
        objective: what it was trained for, as LightGBM writes it, such as ``binary sigmoid:1``.
    """

    n_features: int
    n_trees: int
    objective: str


def check_text(content: bytes) -> TreeText:
    """Reads and checks the text of a booster.

    Raises:
        ValueError: the text is cut off, damaged, or of a booster with several outputs or linear leaves.
    """
    if not content.startswith(_BEGINNING) or b"\0" in content:
        raise ValueError(f"no text of a LightGBM booster; it begins with {content[:24]!r}; expected {_BEGINNING!r}")
    head, blank, _ = content.partition(b"\n\n")
    header = _entries(head.removeprefix(b"tree\n").decode().split("\n"), "the header")
    _check_keys(header, _HEADER_KEYS, frozenset(("monotone_constraints", "average_output")), "the header")
    for key in ("num_class", "num_tree_per_iteration"):
        if header[key] != "1":
            raise ValueError(f"{key} is {header[key]}; allowed: 1")
    if _OBJECTIVE.fullmatch(header["objective"]) is None:
        raise ValueError(f"objective is {header['objective']!r}; allowed: one of a single output")
    n_features = _count(header["max_feature_idx"], "max_feature_idx") + 1
    for key in ("feature_names", "feature_infos"):
        if len(header[key].split(" ")) != n_features:
            raise ValueError(f"{key} has {len(header[key].split(' '))} entries; expected {n_features}")
    sizes = [int(size) for size in header["tree_sizes"].split(" ") if size.isascii() and size.isdigit()]
    if not sizes or len(sizes) != len(header["tree_sizes"].split(" ")):
        raise ValueError(f"tree_sizes must be one number a tree, at least one; received {header['tree_sizes'][:80]!r}")
    start, most = len(head) + len(blank), 0.0
    for number, size in enumerate(sizes):
        most += _largest_leaf(content[start : start + size], number, n_features)
        start += size
    if not most <= _MOST_RAW:
        raise ValueError(f"its leaves add up to {most}; allowed: up to {_MOST_RAW:g}")
    if not content.startswith(_END, start) or _TAIL.fullmatch(content, start + len(_END)) is None:
        raise ValueError(f"does not end as a booster does after its {len(sizes)} trees: it is cut off or damaged")
    return TreeText(n_features, len(sizes), header["objective"])


def _largest_leaf(content: bytes, number: int, n_features: int) -> float:
    """Checks a tree and returns the largest size of its leaf values."""
    place = f"tree {number}"
    lines = content.decode().rstrip("\n").split("\n")
    if lines[0] != f"Tree={number}" or not content.endswith(b"\n\n"):
        raise ValueError(f"{place} is not where it should be: the text is cut off or damaged")
    entries = _entries(lines[1:], place)
    n_categories = _count(entries.get("num_cat", ""), f"{place}: num_cat")
    _check_keys(entries, _TREE_KEYS | (_CATEGORY_KEYS if n_categories else frozenset()), frozenset(), place)
    if entries["is_linear"] != "0":
        raise ValueError(f"{place}: is_linear is {entries['is_linear']}; allowed: 0")
    n_leaves = _count(entries["num_leaves"], f"{place}: num_leaves")
    if not 1 <= n_leaves <= _MOST_LEAVES:
        raise ValueError(f"{place}: num_leaves is {n_leaves}; allowed: from 1 to {_MOST_LEAVES}")
    _numbers(entries["shrinkage"], 1, f"{place}: shrinkage")
    if n_leaves == 1:
        if n_categories or any(entries[key] for key in (*_OF_NODES, *_TOLD_OF_NODES)):
            raise ValueError(f"{place}: has one leaf, but splits")
        for key in _TOLD_OF_LEAVES:
            _check_words(entries[key] or "0", 1, f"{place}: {key}")
        return float(np.abs(_numbers(entries["leaf_value"], 1, f"{place}: leaf_value"))[0])
    tree = {
        key: _numbers(entries[key], n_leaves - 1, f"{place}: {key}", is_whole=key in _OF_WHOLE) for key in _OF_NODES
    }
    for keys, n in ((_TOLD_OF_NODES, n_leaves - 1), (_TOLD_OF_LEAVES, n_leaves)):
        for key in keys:
            _check_words(entries[key], n, f"{place}: {key}")
    _check_shape(tree, n_leaves, n_features, place)
    _check_categories(tree, entries, n_categories, place)
    return float(np.abs(_numbers(entries["leaf_value"], n_leaves, f"{place}: leaf_value")).max())


def _check_shape(tree: _Tree, n_leaves: int, n_features: int, place: str) -> None:
    """Every node but the first, and every leaf, is the child of one node that stands before it."""
    nodes = np.arange(n_leaves - 1.0)
    children = np.concatenate([tree["left_child"], tree["right_child"]])
    expected = np.delete(np.arange(-n_leaves, n_leaves - 1.0), n_leaves)  # leaf i is -i - 1; 0 is the first node
    if not np.array_equal(np.sort(children), expected):
        raise ValueError(f"{place}: its nodes do not make a tree")
    if ((children >= 0) & (children <= np.tile(nodes, 2))).any():
        raise ValueError(f"{place}: a node is the child of a later one")
    _check_whole(tree["split_feature"], n_features - 1, f"{place}: split_feature")
    _check_whole(tree["decision_type"], 11, f"{place}: decision_type")


def _check_categories(tree: _Tree, entries: Mapping[str, str], n_categories: int, place: str) -> None:
    """Splits on categories point into the table of bit sets."""
    splits = tree["threshold"][tree["decision_type"] % 2 == 1]
    _check_whole(splits, n_categories - 1, f"{place}: threshold of a category")
    if n_categories:
        bounds = _numbers(entries["cat_boundaries"], n_categories + 1, f"{place}: cat_boundaries", is_whole=True)
        sets = _numbers(entries["cat_threshold"], None, f"{place}: cat_threshold", is_whole=True)
        _check_whole(bounds, len(sets), f"{place}: cat_boundaries")
        _check_whole(sets, (1 << 32) - 1, f"{place}: cat_threshold")
        if bounds[0] != 0 or bounds[-1] != len(sets) or (np.diff(bounds) < 0).any():
            raise ValueError(f"{place}: cat_boundaries do not divide cat_threshold")


def _entries(lines: Iterable[str], place: str) -> dict[str, str]:
    entries: dict[str, str] = {}
    for line in lines:
        key, _, value = line.partition("=")
        if key in entries or "=" in value:
            raise ValueError(f"{place} names {key!r} twice, or gives it two values")
        entries[key] = value
    return entries


def _check_keys(entries: Mapping[str, str], needed: frozenset[str], allowed: frozenset[str], place: str) -> None:
    if not needed <= entries.keys() <= needed | allowed:
        wrong = sorted(needed - entries.keys()) or sorted(entries.keys() - needed - allowed)
        raise ValueError(f"{place} lacks or does not know: {', '.join(wrong)[:200]}")


def _count(text: str, place: str) -> int:
    return int(_numbers(text, 1, place, is_whole=True)[0])


def _numbers(text: str, n: int | None, place: str, is_whole: bool = False) -> Numbers:
    _check_words(text, n, place, is_whole)
    return np.array([float(word) for word in text.split(" ")])


def _check_words(text: str, n: int | None, place: str, is_whole: bool = False) -> None:
    if (_WHOLE if is_whole else _NUMBERS).fullmatch(text) is None:
        raise ValueError(f"{place} must be {'whole ' * is_whole}numbers; received {text[:80]!r}")
    if n is not None and text.count(" ") + 1 != n:
        raise ValueError(f"{place} has {text.count(' ') + 1} entries; expected {n}")


def _check_whole(numbers: Numbers, most: int, place: str) -> None:
    wrong = (numbers < 0) | (numbers > most) | (numbers != np.floor(numbers))
    if wrong.any():
        raise ValueError(f"{place} must be whole numbers from 0 to {most}; received {numbers[wrong][0]:g}")
