from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from data.catalog import parse_catalog
from features.spec import spec_of
from policy.bundle import save_bundle
from policy.cautious import CautiousScorer
from policy.explorers import InverseGap
from policy.following import Pointed, publish_pointer
from tests.policy.boosting import boosted_over
from tests.serving.shops import CATALOG, make_workspace

HEAVY = ("polars", "pandas", "sklearn", "mlflow", "lightgbm", "scipy", "pyarrow", "dataframely")


@pytest.mark.parametrize("module", ["serving.service", "policy", "policy.launching"])
def test_nothing_heavy_is_imported_by(module: str) -> None:
    code = f"import sys, {module}; print(*sorted(m for m in {HEAVY!r} if m in sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


def test_deciding_imports_nothing_heavy_either() -> None:
    code = f"""
import sys, tempfile
from pathlib import Path
from tests.serving.shops import make_workspace, opened
with opened(make_workspace(Path(tempfile.mkdtemp()))) as shop:
    decision = shop.ask()
    shop.tell({{"type": "accepted", "decision_id": decision["decision_id"]}})
    shop.get("/docs.json"), shop.get("/v1/journeys"), shop.get("/metrics")
print(*sorted(m for m in {HEAVY!r} if m in sys.modules))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


def test_deciding_by_boosted_trees_imports_nothing_heavy_either(tmp_path: Path) -> None:
    catalog = parse_catalog(CATALOG, "shop")
    spec, policies = spec_of(catalog), make_workspace(tmp_path).root / "var" / "policies"
    scorer = CautiousScorer(boosted_over(catalog, spec), boosted_over(catalog, spec, seed=1), margin=0.2)
    digest = save_bundle(
        policies / "one", scorer=scorer, explorer=InverseGap(0.3, 4), catalog=catalog, spec=spec, info={}
    )
    publish_pointer(policies, "shop", champion=Pointed("1", "one", digest))
    code = f"""
import sys
from pathlib import Path
from data.workspace import open_workspace
from tests.serving.shops import opened
with opened(open_workspace(Path(sys.argv[1]), {{}}, {{"secret": "s", "serve.deadline_ms": 30_000}})) as shop:
    print(shop.ask()["policy"], shop.ask(trace=True)["candidates"][0]["value"] is not None)
print(*sorted(m for m in {HEAVY!r} if m in sys.modules))
"""
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=True)
    policy = {"name": "champion", "version": "1", "reason": None}
    assert done.stdout.splitlines() == [f"{policy} True", ""]
    assert done.stderr == ""


def test_starting_a_service_needs_nothing_of_the_server() -> None:
    code = "import sys, policy.launching; print('bentoml' in sys.modules, 'starlette' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]
