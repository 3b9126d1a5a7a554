from __future__ import annotations

import subprocess
import sys

import pytest

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


def test_starting_a_service_needs_nothing_of_the_server() -> None:
    code = "import sys, policy.launching; print('bentoml' in sys.modules, 'starlette' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]
