"""What is live for a journey: its catalog, its compiled guardrails, its champion and challenger.

A ``LiveJourney`` never changes; a new one takes its place whole, so that every answer comes from one version.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from data.domain import Catalog
from features.state import JourneyState, Scopes
from policy.bundle import Bundle
from policy.guardrails.registry import Guards, compile_guards
from policy.policies import Always, DayZero, Policy, Uniform
from policy.rows import RequestRows

MAIN: Final = "main"
CHALLENGER: Final = "challenger"
HOLDOUT: Final = "holdout:"


@dataclass(frozen=True)
class LivePolicy:
    """A loaded policy, for one catalog; ``rows`` makes the features it wants, ``None``: it wants none.

    ``digest`` is the SHA-256 of its bundle's manifest.
    """

    version: str
    policy: Policy
    rows: RequestRows | None = None
    digest: str = ""

    @classmethod
    def of(cls, bundle: Bundle, version: str | None = None) -> LivePolicy:
        """The policy of a bundle, under the bundle's catalog and version."""
        spec = bundle.feature_spec
        rows = None if spec is None else RequestRows(spec, bundle.catalog)
        return cls(bundle.version if version is None else version, bundle.policy, rows, bundle.digest)


@dataclass(frozen=True)
class LiveJourney:
    """Everything a decision needs apart from the request and the visitor.

    ``trouble`` says why a champion that should be live is not; then the baseline's ask is served as ``fallback``.
    ``challenger_share`` is the sticky share of visitors a trial serves with the challenger.
    """

    catalog: Catalog
    champion: LivePolicy | None = None
    challenger: LivePolicy | None = None
    challenger_share: float = 0.0
    trouble: str | None = None
    loaded_at: int = 0
    guards: Guards = field(init=False)
    scopes: Scopes = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "guards", compile_guards(self.catalog))
        object.__setattr__(self, "scopes", Scopes.of(self.catalog))


@dataclass(frozen=True, slots=True)
class Served:
    """The policy that serves one decision, under the names that answers and logs give it.

    ``label`` is the log's name (``champion:7``), ``is_direct`` whether the direct ask's exemption applies.
    """

    policy: Policy
    name: str
    version: str | None
    reason: str | None
    label: str
    rows: RequestRows | None = None
    is_direct: bool = False


_FIXED: Final[dict[str, Policy]] = {
    "baseline": Always("baseline"),
    "direct": Always("direct"),
    "none": Always("none"),
    "random": Uniform(),
}


def arm_for(live: LiveJourney, state: JourneyState, unit: float) -> str:
    """The visitor's arm: that of the running episode, else by the visitor's sticky ``unit`` in [0, 1).

    Holdouts take the lower end of the unit interval one after the other, the challenger the upper end, so that a
    changed share moves as few visitors as possible; where both ends meet, holdouts win.
    """
    if state.arm:
        return state.arm
    edge = 0.0
    for holdout in live.catalog.holdout:
        edge += holdout.share
        if unit < edge:
            return HOLDOUT + holdout.policy
    if live.challenger is not None and unit >= 1.0 - live.challenger_share:
        return CHALLENGER
    return MAIN


def served(live: LiveJourney, arm: str) -> Served:
    """The policy that serves an arm now.

    A challenger arm without a challenger is served by the champion; a champion in trouble by the baseline.
    """
    if arm.startswith(HOLDOUT):
        kind = arm.removeprefix(HOLDOUT)
        return Served(_FIXED[kind], "holdout", kind, None, arm, is_direct=kind == "direct")
    if arm == CHALLENGER and live.challenger is not None:
        challenger = live.challenger
        label = f"challenger:{challenger.version}"
        return Served(challenger.policy, "challenger", challenger.version, None, label, challenger.rows)
    if live.champion is not None:
        champion = live.champion
        return Served(
            champion.policy, "champion", champion.version, None, f"champion:{champion.version}", champion.rows
        )
    if live.trouble is not None:
        return fallback(live.trouble)
    return Served(DayZero(live.catalog.exploration.day_zero), "baseline", None, None, "baseline")


def fallback(reason: str) -> Served:
    """The baseline, without exploration, because the policy that should serve cannot."""
    return Served(_FIXED["baseline"], "fallback", None, reason, "fallback")


def unprofiled() -> Served:
    """The baseline, without exploration, for a visitor who is not to be profiled."""
    return Served(_FIXED["baseline"], "baseline", None, "the request asks for no profile", "baseline")
