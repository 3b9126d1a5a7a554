"""A real registry for tests: one database a module, a journey of its own for every test that changes one."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from data.catalog import dump_catalog
from data.domain import Catalog
from data.workspace import Workspace
from policy.bundle import save_bundle
from policy.explorers import Greedy
from policy.registry import RegisteredVersion, Registry
from policy.scorers import ConstantScorer
from tests.policy.shop import shop_catalog
from tests.serving.shops import make_workspace


def registry_workspace(root: Path, *journeys: str) -> Workspace:
    """A workspace with these journeys and an empty registry."""
    workspace = make_workspace(root, *(dump_catalog(journey_catalog(journey)) for journey in journeys or ("shop",)))
    Registry.create(workspace)
    return workspace


def journey_catalog(journey: str) -> Catalog:
    return replace(shop_catalog(), journey=journey)


def make_bundle(folder: Path, journey: str = "shop", best: str = "guide", exploration: float = 0.2) -> str:
    """A policy that favors one ask; its digest."""
    catalog = journey_catalog(journey)
    scorer = ConstantScorer(tuple(ask.id for ask in catalog.asks), {best: 1.0})
    return save_bundle(folder, scorer=scorer, explorer=Greedy(exploration), catalog=catalog, spec=None, info={})


def add_version(
    registry: Registry, scratch: Path, journey: str = "shop", best: str = "guide", **tags: str
) -> RegisteredVersion:
    """A new version of a journey's policy."""
    folder = scratch / f"{journey}-{best}-{len(list(scratch.iterdir())) if scratch.exists() else 0}"
    make_bundle(folder, journey, best)
    return registry.register(journey, folder, tags, f"favors {best}")
