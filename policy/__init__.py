"""How an ask is chosen: guardrails, scores, exploration, one probability for every ask, one draw."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from data.domain import Catalog
    from policy.loading import LocalPolicy


def load(folder: str | Path, catalog: Catalog | str | Path | None = None, secret: str = "") -> LocalPolicy:
    """A registered policy as an object: the decisions of the service, without the service.

    Args:
        folder: the artifact, as ``smallyes pull`` writes it.
        catalog: the catalog to decide under, or its file; default: the one in the artifact.
        secret: the workspace's secret, for the draws of the service; any text gives draws of its own.

    Raises:
        BadBundle: the artifact is damaged or of another format.
        BadCatalog: the catalog's file is wrong.
    """
    from policy.loading import load_local

    return load_local(Path(folder), catalog, secret)
