"""A small shop that policy tests talk to: a catalog, a site on a memory store, a clock in the test's hand."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from random import Random
from typing import Any

from data.domain import SECOND, Ask, Catalog, Feature, Limits
from data.stores.memory import MemoryStore
from policy.live import LiveJourney
from policy.site import LocalSite

START = 1_780_000_000 * SECOND
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE


def shop_catalog(**changes: Any) -> Catalog:
    """Five asks of rising effort towards a purchase."""
    catalog = Catalog(
        journey="shop",
        goal="purchase",
        baseline=("quiz", "guide", "wishlist", "purchase"),
        asks=(
            Ask("quiz", "What is your skin like?", "quiz", effort=2, gives=3, collects=("skin",)),
            Ask("guide", "Your routine", "content", effort=2, gives=4),
            Ask("wishlist", "Keep it", "save", effort=4, gives=2),
            Ask("email", "Get it by mail", "signup", effort=4, gives=3, consent="email_marketing"),
            Ask("purchase", "Buy the set", "purchase", effort=8, gives=5),
        ),
        context=(Feature("device", "category", ("desktop", "mobile")),),
        answers=(Feature("skin", "category", ("dry", "oily")),),
        signals=("page_view",),
        conversion_window_s=7 * 86_400,
        session_gap_s=1_800,
    )
    return replace(catalog, **changes)


@dataclass
class Shop:
    """A site in this process, with a clock that tests move."""

    catalog: Catalog = field(default_factory=shop_catalog)
    now: int = START
    secret: bytes = b"secret"
    store: MemoryStore = field(default_factory=MemoryStore)
    random: Random = field(default_factory=lambda: Random(1))
    live: LiveJourney = field(init=False)
    site: LocalSite = field(init=False)

    def __post_init__(self) -> None:
        self.go_live(LiveJourney(self.catalog))

    def go_live(self, live: LiveJourney) -> None:
        self.live = live
        self.site = LocalSite(self.store, live, self.secret, lambda: self.now, self.random.randbytes)

    def add_journey(self, catalog: Catalog) -> None:
        others = LiveJourney(catalog)
        self.site = LocalSite(self.store, (self.live, others), self.secret, lambda: self.now, self.random.randbytes)

    def ask(self, visitor_id: str | None = "v", **fields: Any) -> dict[str, Any]:
        return self.site.next_ask({"visitor_id": visitor_id, **fields})

    def tell(self, *events: dict[str, Any]) -> dict[str, Any]:
        return self.site.outcomes(list(events))

    def walk(self, visitor_id: str, *answers: str, gap: int = MINUTE) -> list[str | None]:
        """Asks once for each answer and gives it; returns what was asked."""
        asked = []
        for answer in answers:
            decision = self.ask(visitor_id)
            asked.append(decision["ask"] and decision["ask"]["id"])
            self.now += gap
            if decision["ask"] is not None:
                self.tell({"type": answer, "decision_id": decision["decision_id"]})
            self.now += gap
        return asked


def limited(**limits: Any) -> Catalog:
    return shop_catalog(limits=Limits(**limits))
