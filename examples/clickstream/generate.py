"""Writes a small clickstream, ``clicks.csv``, as an analytics tool would export it. All of it is made up.

Clients load pages, see banners, close or click them, put things into the cart, and some order, a part of them days
later and without a banner. The site's campaign manager shows the buying guide first and dearer banners later; nobody
logs how likely each banner was.
"""

from __future__ import annotations

import argparse
import csv
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np

COLUMNS: Final = (
    "hit", "client", "ts_ms", "event", "page", "banner", "impression", "device", "utm_source", "order_no", "revenue"
)  # fmt: skip
BANNERS: Final = ("BNR-GUIDE", "BNR-WISH", "BNR-MAIL", "BNR-SALE")
CLICK_RATES: Final = (0.32, 0.20, 0.12, 0.05)
CLOSE_RATES: Final = (0.10, 0.15, 0.30, 0.20)
PAGES: Final = ("/", "/guide", "/boots", "/tents", "/stoves", "/cart")
FIRST_MS: Final = 1_756_684_800_000
"""2025-09-01 00:00 UTC."""
DAY_MS: Final = 86_400_000
Row = dict[str, Any]


def visits(client: str, rng: np.random.Generator) -> Iterator[Row]:
    """What one client does, over one to four visits on different days, the more the keener."""
    device = str(rng.choice(["desktop", "mobile"], p=[0.4, 0.6]))
    source = str(rng.choice(["search", "social", "direct", "mail"]))
    who: Row = {"client": client, "device": device, "utm_source": source}
    keenness = float(rng.gamma(2.0, 0.5))
    begins = FIRST_MS + int(rng.integers(0, 24 * DAY_MS))
    n_clicked = 0
    for visit in range(1 + int(rng.binomial(3, min(0.9, 0.3 * keenness)))):
        now = begins + visit * DAY_MS + int(rng.integers(0, 3_600_000))
        for row in _visit(who, now, visit, keenness * (1 + 0.4 * n_clicked), rng):
            n_clicked += row["event"] == "banner_click"
            yield row
    if rng.random() < min(0.9, 0.02 * keenness * (1 + n_clicked)):
        at = begins + int(rng.integers(3 * DAY_MS, 5 * DAY_MS))
        yield _order(who, at, f"{client}-late", rng)


def _visit(who: Row, now: int, visit: int, keenness: float, rng: np.random.Generator) -> Iterator[Row]:
    for page in rng.choice(PAGES, int(rng.integers(1, 5))):
        now += int(rng.integers(2_000, 90_000))
        yield {**who, "ts_ms": now, "event": "page_load", "page": str(page)}
        yield {**who, "ts_ms": now + 1_500, "event": "heartbeat", "page": str(page)}
        if rng.random() < 0.08 * keenness:
            yield {**who, "ts_ms": now + 2_000, "event": "cart_add", "page": str(page)}
        if rng.random() < 0.6:
            yield from _banner(who, now + 3_000, visit, keenness, rng)


def _banner(who: Row, now: int, visit: int, keenness: float, rng: np.random.Generator) -> Iterator[Row]:
    number = int(np.clip(visit + rng.integers(-1, 3), 0, len(BANNERS) - 1))
    banner = {"banner": BANNERS[number], "impression": f"{who['client']}-{now}"}
    yield {**who, **banner, "ts_ms": now, "event": "banner_view"}
    chance = min(0.9, CLICK_RATES[number] * keenness)
    drawn = rng.random()
    if drawn < chance:
        yield {**who, **banner, "ts_ms": now + 4_000, "event": "banner_click"}
        if BANNERS[number] == "BNR-SALE":
            yield _order(who, now + 240_000, str(banner["impression"]), rng)
    elif drawn < chance + (1 - chance) * CLOSE_RATES[number]:
        yield {**who, **banner, "ts_ms": now + 2_500, "event": "banner_close"}


def _order(who: Row, at: int, number: str, rng: np.random.Generator) -> Row:
    revenue = round(float(rng.gamma(4.0, 15.0)), 2)
    return {**who, "ts_ms": at, "event": "checkout_done", "order_no": number, "revenue": revenue}


def write(path: Path, n_clients: int, seed: int) -> int:
    """Writes the clickstream, in order of time; returns its number of rows."""
    rng = np.random.default_rng(seed)
    rows = [row for number in range(n_clients) for row in visits(f"c{number:05d}", rng)]
    rows.sort(key=lambda row: (row["ts_ms"], row["client"]))
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, COLUMNS, restval="")
        writer.writeheader()
        writer.writerows({**row, "hit": f"h{number}"} for number, row in enumerate(rows))
    return len(rows)


def main() -> None:
    """Writes ``clicks.csv`` and says how many rows it has."""
    parser = argparse.ArgumentParser(description="Write a made-up clickstream.")
    parser.add_argument("--out", type=Path, default=Path("var"), help="folder for clicks.csv [default: var]")
    parser.add_argument("--clients", type=int, default=2_000, help="number of clients [default: 2000]")
    parser.add_argument("--seed", type=int, default=1, help="the same seed writes the same file [default: 1]")
    given = parser.parse_args()
    path = given.out / "clicks.csv"
    print(f"{path}: {write(path, given.clients, given.seed)} rows")


if __name__ == "__main__":
    main()
