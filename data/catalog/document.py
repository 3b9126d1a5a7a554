"""YAML text to a plain tree, safely: bounded in size, depth and aliases; every key once; nothing but plain values.

The text of a catalog comes from people and from other systems. Whatever it holds, reading it ends in a tree of
dicts, lists, strings, numbers, booleans, dates and ``None``, or in a report of what is wrong with it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import yaml
from yaml.constructor import SafeConstructor
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from data.catalog.findings import Finding, Path, received, shortened
from data.errors import BadCatalog, Fault

MAX_BYTES: Final = 1_048_576
MAX_DEPTH: Final = 40
MAX_VALUES: Final = 200_000
"""Most values of a document, each alias counted as all that it stands for."""

_Loader: Final[Any] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_TAG: Final = "tag:yaml.org,2002:"
_TEXT_TAGS: Final = (_TAG + "str", _TAG + "value")
_MERGE_TAG: Final = _TAG + "merge"
_SCALARS: Final = SafeConstructor()
_CONVERTERS: Final = {
    _TAG + "bool": SafeConstructor.construct_yaml_bool,
    _TAG + "int": SafeConstructor.construct_yaml_int,
    _TAG + "float": SafeConstructor.construct_yaml_float,
    _TAG + "timestamp": SafeConstructor.construct_yaml_timestamp,
    _TAG + "null": SafeConstructor.construct_yaml_null,
}


@dataclass(frozen=True)
class Document:
    """What a file says. ``lines`` has the line of each value; ``findings`` what is wrong but could be read past."""

    tree: Mapping[str, Any]
    lines: Mapping[Path, int] = field(default_factory=dict)
    findings: tuple[Finding, ...] = ()


def read_document(text: str | bytes, file: str) -> Document:
    r"""The tree of a YAML text whose top level is a mapping.

    Raises:
        BadCatalog: the text is no such YAML; the report has the line.

    Example:
        >>> read_document("format: 1\nsignals: [page_view]", "skincare.yaml").tree
        {'format': 1, 'signals': ['page_view']}
    """
    decoded = _decoded(text, file)
    try:
        _check_extent(decoded, file)
        node = yaml.compose(decoded, Loader=_Loader)
    except yaml.YAMLError as error:
        raise _refusal(file, *_in_plain_words(error, decoded)) from None
    if node is None or node.tag == _TAG + "null":
        raise _refusal(file, "", "is empty", "", "a catalog that begins with format: 1")
    if not isinstance(node, MappingNode):
        found = "a list" if isinstance(node, SequenceNode) else f"text {shortened(str(node.value))!r}"
        allowed = "fields like format: 1 and journey: skincare, each on its own line"
        raise _refusal(file, "", "has no fields at its top level", found, allowed)
    reader = _Reader()
    tree = reader.mapping(node, ())
    return Document(tree, reader.lines, tuple(reader.findings))


def _refusal(file: str, path: str, problem: str, found: str = "", allowed: str = "") -> BadCatalog:
    return BadCatalog([Fault(file, path, problem, found, allowed)])


def _decoded(text: str | bytes, file: str) -> str:
    size = len(text)
    if size > MAX_BYTES:
        raise _refusal(file, "", "is too large", f"{size:,} bytes", f"at most {MAX_BYTES:,} bytes")
    try:
        decoded = text.decode("utf-8-sig") if isinstance(text, bytes) else text.encode().decode("utf-8-sig")
    except UnicodeError as error:
        where = f"after {error.start:,} bytes" if isinstance(error, UnicodeDecodeError) else "unpaired surrogates"
        raise _refusal(file, "", "is not UTF-8 text", f"something else {where}", "a file saved as UTF-8") from None
    return decoded


def _check_extent(text: str, file: str) -> None:
    """Refuses what would grow without bound: deep nesting, aliases of aliases, values that contain themselves."""
    n_values = 0
    open_since: list[tuple[int, str | None]] = []
    sizes: dict[str, int] = {}
    for event in yaml.parse(text, Loader=_Loader):
        if isinstance(event, yaml.AliasEvent):
            if event.anchor not in sizes and any(event.anchor == anchor for _, anchor in open_since):
                raise _refusal(
                    file, _line(event), "refers to itself", f"*{event.anchor}", "an alias of a finished part"
                )
            n_values += sizes.get(event.anchor or "", 1)
        elif isinstance(event, yaml.CollectionStartEvent):
            open_since.append((n_values, event.anchor))
            if event.anchor is not None:
                sizes.pop(event.anchor, None)
            n_values += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            start, anchor = open_since.pop()
            if anchor is not None:
                sizes[anchor] = n_values - start
        elif isinstance(event, yaml.ScalarEvent):
            n_values += 1
            if event.anchor is not None:
                sizes[event.anchor] = 1
        if len(open_since) > MAX_DEPTH:
            raise _refusal(file, _line(event), "is nested too deeply", "", f"at most {MAX_DEPTH} levels")
        if n_values > MAX_VALUES:
            raise _refusal(file, _line(event), "holds too many values", "", f"at most {MAX_VALUES:,}, aliases included")


def _line(event: yaml.Event) -> str:
    return f"line {event.start_mark.line + 1}" if event.start_mark is not None else ""


def _in_plain_words(error: yaml.YAMLError, text: str) -> tuple[str, str, str, str]:
    """Path, problem, what was received and what is allowed."""
    problem_mark, context_mark = getattr(error, "problem_mark", None), getattr(error, "context_mark", None)
    lines = text.splitlines()
    problem = str(getattr(error, "problem", None) or "").replace("\n", " ")
    # What is opened and not closed is noticed at the end of the file, where nobody would look for it.
    is_at_end = "end of stream" in problem or (problem_mark is not None and problem_mark.line >= len(lines))
    is_open = context_mark is not None and is_at_end
    mark = context_mark if is_open or problem_mark is None else problem_mark
    if mark is None:
        return "", "holds a character that YAML does not allow", "", "text without control characters"
    line = lines[mark.line] if mark.line < len(lines) else ""
    path, found = f"line {mark.line + 1}", shortened(line.strip())
    if is_open:
        return path, "opens a quote or a bracket that is not closed", found, "the same number of both"
    if "\t" in line[: mark.column + 1]:
        return path, "is indented with a tab", found, "spaces"
    if "single document" in str(getattr(error, "context", "")):
        return path, "begins a second catalog", found, "one catalog a file"
    if "block scalar" in str(getattr(error, "context", "")):
        return path, "begins a value with > or |", found, 'a comparison in quotes, like ">=50"'
    if "mapping values are not allowed" in problem:
        return path, "has a colon where none can be", found, "field: value; text that contains ': ' in quotes"
    if "cannot start any token" in problem:
        return path, "begins a value with a sign that needs quotes", found, "the value in quotes"
    return path, f"is not YAML from here on ({problem})", found, "field: value, one on each line, indented alike"


class _Reader:
    """Builds the tree, with the line and the findings of what it reads."""

    def __init__(self) -> None:
        self.lines: dict[Path, int] = {}
        self.findings: list[Finding] = []

    def mapping(self, node: MappingNode, path: Path) -> dict[str, Any]:
        """A mapping; what it takes over by ``<<`` counts only where it has no such key itself."""
        own: dict[str, Any] = {}
        inherited: dict[str, Any] = {}
        for key_node, value_node in node.value:
            if key_node.tag == _MERGE_TAG:
                inherited = self._merged(value_node, path) | inherited
                continue
            key = key_node.value if isinstance(key_node, ScalarNode) else None
            if key is None or key_node.tag not in _TEXT_TAGS:
                found = received(self._scalar(key_node, path)) if key is not None else "a list or a group of fields"
                self._report(path, "has a name that is not text", found, "names in letters, or in quotes", key_node)
                continue
            here = (*path, key)
            if key in own:
                self._report(here, "is given twice", f"again in line {_line_of(key_node)}", "once", key_node)
                continue
            self.lines[here] = _line_of(key_node)
            own[key] = self._value(value_node, here)
        return {**inherited, **own} if inherited else own

    def _merged(self, node: Node, path: Path) -> dict[str, Any]:
        """What ``<<`` stands for; in a list of mappings the earlier ones win."""
        sources = node.value if isinstance(node, SequenceNode) else [node]
        merged: dict[str, Any] = {}
        for source in sources:
            if isinstance(source, MappingNode):
                merged = self.mapping(source, path) | merged
            else:
                self._report(path, "takes over (<<) what has no fields", "", "an alias of a group of fields", source)
        return merged

    def _value(self, node: Node, path: Path) -> Any:
        if isinstance(node, MappingNode):
            return self.mapping(node, path)
        if isinstance(node, SequenceNode):
            values = []
            for i, item in enumerate(node.value):
                self.lines[*path, i] = _line_of(item)
                values.append(self._value(item, (*path, i)))
            return values
        return self._scalar(node, path)

    def _scalar(self, node: Any, path: Path) -> Any:
        if node.tag in _TEXT_TAGS:
            return node.value
        convert = _CONVERTERS.get(node.tag)
        if convert is None:
            self._report(
                path, "has a type of its own", node.tag.removeprefix(_TAG), "plain values without a !type", node
            )
            return node.value
        try:
            return convert(_SCALARS, node)
        except (ValueError, KeyError, AttributeError, OverflowError):
            # 2026-02-30 looks like a date and is none: kept as text, so that it is reported where it is used.
            return node.value

    def _report(self, path: Path, problem: str, found: str, allowed: str, node: Node) -> None:
        self.lines.setdefault(path, _line_of(node))
        self.findings.append(Finding(path, problem, found, allowed))


def _line_of(node: Node) -> int:
    return int(node.start_mark.line) + 1
