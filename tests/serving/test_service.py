"""The service as BentoML makes it, in this process."""

from __future__ import annotations

import asyncio
import os
import warnings
from pathlib import Path
from typing import Any

import httpx
import pytest

from data.settings import ServeSettings
from policy.launching import WORKSPACE_VARIABLE
from tests.serving.shops import make_workspace

with warnings.catch_warnings():
    # What BentoML imports is not up to us.
    warnings.simplefilter("ignore", DeprecationWarning)
    from serving.service import SmallYes, serve_settings, workspace_of


@pytest.fixture
def environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    make_workspace(tmp_path / "shop")
    monkeypatch.setenv(WORKSPACE_VARIABLE, str(tmp_path / "shop"))
    monkeypatch.setenv("BENTOML_DO_NOT_TRACK", "true")
    return tmp_path / "shop"


async def _asked(*requests: tuple[str, str, Any]) -> list[httpx.Response]:
    app: Any = SmallYes.to_asgi()  # type: ignore[attr-defined]
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://127.0.0.1") as client,
    ):
        return [await client.request(method, path, json=content) for method, path, content in requests]


@pytest.mark.usefixtures("environment")
def test_the_service_answers_through_the_framework() -> None:
    ask, ready, page, lost = asyncio.run(
        _asked(
            ("POST", "/v1/next-ask", {"visitor_id": "v"}),
            ("GET", "/readyz", None),
            ("GET", "/", None),
            ("GET", "/x", None),
        )
    )
    assert ask.json()["journey"] == "shop"
    assert ready.json()["ready"] is True
    assert "<html" in page.text
    assert lost.json()["error"]["code"] == "not_found"


@pytest.mark.usefixtures("environment")
def test_what_was_decided_is_there_after_a_restart() -> None:
    asking = ("POST", "/v1/next-ask", {"visitor_id": "v", "decision_id": "d"})
    first = asyncio.run(_asked(asking))
    again = asyncio.run(_asked(asking))
    assert first[0].json() == again[0].json()


def test_workers_find_the_workspace_that_was_checked(environment: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(WORKSPACE_VARIABLE)
    monkeypatch.chdir(environment / "journeys")
    SmallYes.inner.check()  # type: ignore[attr-defined]
    assert os.environ[WORKSPACE_VARIABLE] == str(environment)
    monkeypatch.delenv(WORKSPACE_VARIABLE)


def test_a_workspace_that_cannot_be_served_is_told_before_a_worker_starts(environment: Path) -> None:
    (environment / "smallyes.toml").write_text("[serve]\nport = 'x'\n")
    with pytest.raises(Exception, match=r"serve\.port"):
        SmallYes.inner.check()  # type: ignore[attr-defined]


def test_the_framework_is_told_settings_from_the_environment() -> None:
    assert serve_settings({"SMALLYES_SERVE_WORKERS": "3"}).workers == 3
    assert serve_settings({"SMALLYES_SERVE_WORKERS": "many"}) == ServeSettings()


def test_the_workspace_is_the_named_one(environment: Path) -> None:
    assert workspace_of({WORKSPACE_VARIABLE: str(environment)}).root == environment
