"""A registered policy as MLflow's generic model: ``mlflow.pyfunc.load_model("models:/smallyes-skincare@champion")``.

For notebooks and batch jobs. The service loads bundles itself, as a data frame for each request costs milliseconds.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from policy.loading import LocalPolicy, load_local

if TYPE_CHECKING:
    import pandas as pd  # type: ignore[import-untyped]
    from mlflow.models import ModelSignature

REQUEST: Final = "request"
_TEXTS: Final = ("visitor_id", "journey", "channel", "decision_id", "at", "seed")
_TREES: Final = ("context", "answers", "consents", "exclude", "history")
_FLAGS: Final = ("profile", "trace")
_OUTPUTS: Final = {"ask_id": "string", "propensity": "double", "decision_id": "string", "decision": "string"}


class Predictor:
    """What MLflow wraps: data frame in, data frame out."""

    def __init__(self, policy: LocalPolicy) -> None:
        self._policy = policy

    def predict(self, model_input: pd.DataFrame, params: Mapping[str, Any] | None = None) -> pd.DataFrame:  # noqa: ARG002
        """One decision for each row.

        Args:
            model_input: either a column ``request``, each the JSON text of a next-ask request with ``history``; or a
                column for each field of such a request, where context, answers, consents, exclude and history are
                values or their JSON text, and a missing value leaves a field out. Shape (n, fields).
            params: none are known.

        Returns:
            ``ask_id`` (missing: ask nothing), ``propensity``, ``decision_id`` and the whole ``decision`` as JSON
            text, in the order and under the index of the input, shape (n, 4).

        Raises:
            BadRequest: a request is wrong; the text says which row and field.
        """
        import pandas as pd

        rows = model_input.to_dict("records")
        decisions = self._policy.next_asks([request_of({str(k): v for k, v in row.items()}) for row in rows])
        columns = {
            "ask_id": [None if one["ask"] is None else one["ask"]["id"] for one in decisions],
            "propensity": [one["propensity"] for one in decisions],
            "decision_id": [one["decision_id"] for one in decisions],
            "decision": [json.dumps(one, ensure_ascii=False, allow_nan=False) for one in decisions],
        }
        return pd.DataFrame(columns, index=model_input.index)


def request_of(row: Mapping[str, Any]) -> dict[str, Any]:
    """The request that a row holds.

    Raises:
        ValueError: a text is no JSON.

    Example:
        >>> request_of({"visitor_id": "v", "history": "[]", "channel": None})
        {'visitor_id': 'v', 'history': []}
    """
    text = row.get(REQUEST)
    if isinstance(text, Mapping):
        return dict(text)
    if isinstance(text, str):
        parsed = json.loads(text)
        if not isinstance(parsed, dict):
            raise ValueError(f"{REQUEST}: must be the JSON text of an object; received {text[:200]!r}")
        return parsed
    request: dict[str, Any] = {}
    for name in (*_TEXTS, *_TREES, *_FLAGS):
        value = row.get(name)
        if _is_missing(value):
            continue
        if name in _TREES:
            request[name] = json.loads(value) if isinstance(value, str) else _plain(value)
        else:
            request[name] = _plain(value)
    return request


def signature() -> ModelSignature:
    """The columns in and out; all of those in are optional, as a request needs few."""
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, Schema
    from mlflow.types.schema import AnyType

    inputs = [ColSpec("string", name, required=False) for name in (REQUEST, *_TEXTS)]
    inputs += [ColSpec(AnyType(), name, required=False) for name in _TREES]  # type: ignore[no-untyped-call]
    inputs += [ColSpec("boolean", name, required=False) for name in _FLAGS]
    outputs = [ColSpec(kind, name, required=name != "ask_id") for name, kind in _OUTPUTS.items()]
    return ModelSignature(Schema([*inputs]), Schema([*outputs]))


def _load_pyfunc(data_path: str) -> Predictor:
    """Called by MLflow with the bundle's folder."""
    return Predictor(load_local(Path(data_path), None, ""))


def _is_missing(value: object) -> bool:
    return (
        value is None
        or (isinstance(value, float) and math.isnan(value))
        or type(value).__name__ in ("NAType", "NaTType")
    )


def _plain(value: Any) -> Any:
    """A value of NumPy or pandas as one of Python."""
    return value.tolist() if hasattr(value, "tolist") else value
