from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.serving.shops import Shop, make_workspace, opened


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    with opened(make_workspace(tmp_path)) as shop:
        yield shop
