"""Tables of logged decisions: Parquet or CSV in, ``LoggedSteps`` out, or a message naming column, row and value."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt

from data.errors import BadInput
from training.ope.logged import LARGEST_AMOUNT, SUM_TOLERANCE, FloatArray, IntArray, LoggedSteps

if TYPE_CHECKING:
    import polars as pl

NUMBERS: Final = ("step", "action", "reward", "propensity")
"""Columns that every table has, beside ``episode`` and the targets."""
_MOST_ACTIONS: Final = 10_000


def read_table(path: Path) -> LoggedSteps:
    """Reads a table of logged decisions.

    Columns: ``episode``, ``step`` (from 0), ``action`` (0 to k-1), ``reward``, ``propensity`` (of the action),
    ``target_0`` to ``target_{k-1}`` (the target policy's probabilities, which sum to 1), optionally ``q_0`` to
    ``q_{k-1}`` and ``cluster``. Other columns are ignored; rows may come in any order.

    Raises:
        BadInput: the file is none, or a value in it is wrong; the message names file, column, row and value. Rows are
            counted from 1, the header aside.
    """
    import polars as pl

    if not path.is_file():
        raise BadInput(f"{path}: there is no such file; allowed: a Parquet or CSV file")
    ending = path.suffix.lower()
    if ending not in {".parquet", ".csv"}:
        raise BadInput(f"{path}: ends in {ending!r}; allowed: .parquet or .csv")
    try:
        frame = pl.read_parquet(path) if ending == ".parquet" else pl.read_csv(path, infer_schema_length=None)
    except (pl.exceptions.PolarsError, OSError) as error:
        first = (str(error).splitlines() or [type(error).__name__])[0]
        raise BadInput(f"{path}: cannot be read as {ending[1:]}: {first}") from error
    try:
        return from_columns(_columns(frame))
    except BadInput as error:
        raise BadInput(f"{path}: {error}") from error


def from_columns(columns: Mapping[str, npt.ArrayLike]) -> LoggedSteps:
    """Turns the columns of a table, as in ``read_table``, into a log.

    The largest possible ratio of a step is taken to be the largest one seen at that step, and at least what the actions
    not taken must make possible: an action with target probability t and what is left of the propensities, 1 - p.

    Raises:
        BadInput: a column is missing or holds a wrong value.

    Example:
        >>> logged = from_columns({
        ...     "episode": ["b", "a", "a"], "step": [0, 1, 0], "action": [0, 1, 1], "reward": [0, 1, 0],
        ...     "propensity": [0.5, 0.5, 0.5], "target_0": [0.1, 0.2, 0.3], "target_1": [0.9, 0.8, 0.7]})
        >>> logged.episode.tolist(), logged.target.tolist()
        ([0, 0, 1], [0.7, 0.8, 0.1])
    """
    given = {name: np.asarray(values) for name, values in columns.items()}
    n_actions = _count_actions(given)
    n = len(given["episode"])
    if n == 0:
        raise BadInput("the table is empty: it has no row")
    numbers = {name: _numbers(name, given[name]) for name in NUMBERS}
    step, action = (_whole(name, numbers[name]) for name in ("step", "action"))
    _refuse("action", action, (action < 0) | (action >= n_actions), f"0 to {n_actions - 1}, as there are targets")
    _refuse("reward", numbers["reward"], np.abs(numbers["reward"]) > LARGEST_AMOUNT, f"up to {LARGEST_AMOUNT:g}")
    p = numbers["propensity"]
    _refuse("propensity", p, ~((p > 0) & (p <= 1)), "above 0, up to 1")
    target = _targets(given, n_actions)
    q = _predictions(given, n_actions)
    episode, order = _in_order(given["episode"], step)
    rows = np.arange(n)
    return LoggedSteps(
        episode=episode,
        step=step[order],
        reward=numbers["reward"][order],
        propensity=p[order],
        target=target[rows, action][order],
        q=None if q is None else q[rows, action][order],
        v=None if q is None else (target * q).sum(axis=1)[order],
        cluster=_clusters(given, episode, order),
        max_ratio=_possible_ratios(target, action, p, step)[order],
    )


def _columns(frame: pl.DataFrame) -> dict[str, npt.NDArray[np.generic]]:
    """The columns; a null is refused where it stands, as it would turn into a NaN further on."""
    import polars as pl

    wanted = ("episode", "cluster", *NUMBERS)
    found = {}
    for name in frame.columns:
        if name not in wanted and not name.startswith(("target_", "q_")):
            continue
        column = frame[name]
        if column.null_count():
            row = int(column.is_null().arg_max() or 0)
            raise BadInput(f"{name}: row {row + 1} is empty; allowed: {_allowed_in(name)}")
        if column.dtype == pl.Boolean and name not in ("episode", "cluster"):
            column = column.cast(pl.Int64)
        found[name] = column.to_numpy()
    return found


def _allowed_in(name: str) -> str:
    return "any name or number" if name in ("episode", "cluster") else "a number"


def _count_actions(given: Mapping[str, npt.NDArray[np.generic]]) -> int:
    """k, from the columns there are."""
    for name in ("episode", *NUMBERS, "target_0"):
        if name not in given:
            raise BadInput(
                f"{name}: there is no such column; a table has episode, step, action, reward, propensity, target_0, "
                f"target_1, ...; found: {', '.join(given) or 'none of them'}"
            )
    n_actions = next(k for k in range(_MOST_ACTIONS) if f"target_{k}" not in given)
    for prefix in ("target_", "q_"):
        ends = {name.removeprefix(prefix) for name in given if name.startswith(prefix)}
        expected = {str(k) for k in range(n_actions)}
        if ends and ends != expected:
            odd = min(ends ^ expected)
            problem = "is missing" if odd in expected else f"has no place: there are {n_actions} targets in a row"
            raise BadInput(f"{prefix}{odd}: {problem}; allowed: {prefix}0 to {prefix}{n_actions - 1}")
    return n_actions


def _numbers(name: str, values: npt.NDArray[np.generic]) -> FloatArray:
    try:
        found = values.astype(np.float64)
    except (TypeError, ValueError):
        row = next(i for i, value in enumerate(values.tolist()) if not _is_number(value))
        raise BadInput(f"{name}: row {row + 1} holds {values[row]!r}; allowed: a number") from None
    _refuse(name, values, ~np.isfinite(found), "a finite number")
    return found


def _is_number(value: object) -> bool:
    try:
        float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return False
    return True


def _whole(name: str, values: FloatArray) -> IntArray:
    _refuse(name, values, (values != np.floor(values)) | (np.abs(values) > 2**31), "a whole number")
    return values.astype(np.int64)


def _targets(given: Mapping[str, npt.NDArray[np.generic]], n_actions: int) -> FloatArray:
    """(n, k) probabilities of the target policy."""
    columns = []
    for k in range(n_actions):
        column = _numbers(f"target_{k}", given[f"target_{k}"])
        _refuse(f"target_{k}", column, (column < 0) | (column > 1 + SUM_TOLERANCE), "0 to 1")
        columns.append(column)
    target = np.column_stack(columns)
    total = target.sum(axis=1)
    _refuse(
        f"target_0 to target_{n_actions - 1}",
        total,
        np.abs(total - 1) > SUM_TOLERANCE,
        f"probabilities that sum to 1 within {SUM_TOLERANCE:g}",
        verb="sums to",
    )
    return target


def _predictions(given: Mapping[str, npt.NDArray[np.generic]], n_actions: int) -> FloatArray | None:
    """(n, k) predicted values, where the table has them."""
    if "q_0" not in given:
        return None
    columns = []
    for k in range(n_actions):
        column = _numbers(f"q_{k}", given[f"q_{k}"])
        _refuse(f"q_{k}", column, np.abs(column) > LARGEST_AMOUNT, f"up to {LARGEST_AMOUNT:g}")
        columns.append(column)
    return np.column_stack(columns)


def _in_order(names: npt.NDArray[np.generic], step: IntArray) -> tuple[IntArray, IntArray]:
    """(n,) numbers of the episodes in the new order, and the order: by episode, then by step."""
    if names.dtype.kind == "f":
        _refuse("episode", names, ~np.isfinite(names.astype(np.float64)), "a name or a finite number")
    _, number = np.unique(names, return_inverse=True)
    order = np.lexsort((step, number))
    episode, sorted_step = number[order].astype(np.int64), step[order]
    starts = np.flatnonzero(np.diff(episode, prepend=-1))
    expected = np.arange(len(step)) - starts[episode]
    wrong = np.flatnonzero(sorted_step != expected)
    if wrong.size:
        at = wrong[0]
        row, name, found = order[at], names[order[at]], sorted_step[at]
        problem = f"step {expected[at]} of episode {name!r} is missing"
        if expected[at] > 0 and found == sorted_step[at - 1]:
            problem = f"step {found} of episode {name!r} is there twice"
        raise BadInput(f"step: row {row + 1} holds {found}, but {problem}; allowed: 0, 1, 2, ... once each per episode")
    return episode, order


def _clusters(given: Mapping[str, npt.NDArray[np.generic]], episode: IntArray, order: IntArray) -> IntArray | None:
    """(E,) number of each episode's cluster, where the table has clusters."""
    if "cluster" not in given:
        return None
    names = given["cluster"]
    if names.dtype.kind == "f":
        _refuse("cluster", names, ~np.isfinite(names.astype(np.float64)), "a name or a finite number")
    number = np.unique(names, return_inverse=True)[1][order].astype(np.int64)
    of_episode: IntArray = number[np.flatnonzero(np.diff(episode, prepend=-1))]
    wrong = np.flatnonzero(number != of_episode[episode])
    if wrong.size:
        row = order[wrong[0]]
        raise BadInput(
            f"cluster: row {row + 1} holds {names[row]!r}, another row of its episode something else; "
            "allowed: one cluster per episode"
        )
    return of_episode


def _possible_ratios(target: FloatArray, action: IntArray, p: FloatArray, step: IntArray) -> FloatArray:
    """(n,) largest ratio of target to behavior probability that the step can have had."""
    rows = np.arange(len(action))
    seen = target[rows, action] / p
    at_step = np.zeros(int(step.max(initial=0)) + 1)
    np.maximum.at(at_step, np.maximum(step, 0), seen)
    others = target.copy()
    others[rows, action] = 0.0
    left = 1 - p
    other = np.divide(others.max(axis=1), left, out=np.zeros_like(p), where=left > 0)
    np.maximum.at(at_step, np.maximum(step, 0), other)
    possible: FloatArray = at_step[np.maximum(step, 0)]
    return possible


def _refuse(
    name: str, values: npt.NDArray[np.generic], is_wrong: npt.NDArray[np.bool_], allowed: str, *, verb: str = "holds"
) -> None:
    rows = np.flatnonzero(is_wrong)
    if rows.size:
        raise BadInput(f"{name}: row {rows[0] + 1} {verb} {values[rows[0]]}; allowed: {allowed}")
