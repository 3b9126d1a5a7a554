"""What is live for a journey, as training needs it: the policy to be beaten, its version, and its scorer."""

from __future__ import annotations

from dataclasses import dataclass, replace

from data.domain import Catalog
from features.spec import FeatureSpec
from policy.boosted import BoostedScorer
from policy.bundle import Bundle
from policy.cautious import CautiousScorer
from training.judging import Target, fixed_target

DAY_ZERO = "day zero"


@dataclass(frozen=True)
class Incumbent:
    """What is live; ``version`` is ``day zero`` before the first promotion.

    ``digest`` is the champion's bundle digest, ``look`` the number of the gate's next look since its promotion.
    """

    target: Target
    version: str
    digest: str | None = None
    look: int = 1

    @property
    def has_champion(self) -> bool:
        """Whether a trained policy is live."""
        return self.digest is not None

    def scorer_for(self, spec: FeatureSpec) -> BoostedScorer | None:
        """The champion's scorer if it takes features in the same encoding, else ``None``."""
        own = self.target.spec
        if own is None or replace(own, edges={}).fingerprint != replace(spec, edges={}).fingerprint:
            return None
        scorer = getattr(self.target.policy, "scorer", None)
        if isinstance(scorer, CautiousScorer):
            scorer = scorer.inner
        return scorer if isinstance(scorer, BoostedScorer) else None


def day_zero(catalog: Catalog, look: int = 1) -> Incumbent:
    """The incumbent before any promotion."""
    return Incumbent(fixed_target(DAY_ZERO, catalog), DAY_ZERO, look=look)


def champion(bundle: Bundle, version: str, look: int = 1) -> Incumbent:
    """A promoted policy as incumbent; the bundle must be loaded under today's catalog."""
    target = Target(f"champion:{version}", bundle.policy, bundle.feature_spec)
    return Incumbent(target, version, bundle.digest, look)
