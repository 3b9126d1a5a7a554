"""Which version is live: promotion past the gate, trials, the way back. Every change is written to the registry first.

``previous`` is the champion before this one. Before the first champion there was day zero, which is no version: then
the alias is absent, and the registered model has the tag ``previous`` with the value ``day zero``.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

from data.clock import now, to_iso
from data.errors import BadInput
from data.workspace import Workspace
from policy.registry import (
    CHALLENGER,
    CHAMPION,
    DAY_ZERO,
    PREVIOUS,
    RegisteredModel,
    RegisteredVersion,
    Registry,
    model_name,
)
from policy.syncing import SHARE_TAG, Syncing, trial_share

BETTER: Final = "better"
WORSE: Final = "worse"
LARGE_SHARE: Final = 0.5


@dataclass(frozen=True)
class Change:
    """What became of a wish to change what is live.

    Attributes:
        is_done: whether it is as wished now; otherwise nothing was changed.
        text: for people.
        result: for machines.
    """

    is_done: bool
    text: str
    result: dict[str, Any] = field(default_factory=dict)


class Promotion:
    """Changes what is live for one journey.

    Every method raises ``BadInput`` for versions that are not there or not whole, and ``Unavailable`` where the
    registry is. A version's bundle is fetched and checked before anything names it.
    """

    def __init__(self, registry: Registry, workspace: Workspace, journey: str) -> None:
        self._registry = registry
        self._journey = journey
        self._syncing = Syncing(registry, workspace.policies)
        here_s = workspace.settings.serve.poll_seconds
        there_s = here_s + workspace.settings.mlflow.poll_seconds
        self._seconds = here_s
        self._follows = (
            f"A service on this machine follows within {here_s:g} s, one on another machine within {there_s:g} s; "
            "neither needs a restart."
        )

    def promote(self, number: int | None = None, *, is_forced: bool = False, by: str = "gate") -> Change:
        """Makes a version the champion, if its verdict allows.

        Args:
            number: the version; ``None``: the challenger.
            is_forced: whatever the verdict is.
            by: who says that it is better: ``gate`` (the version's tags are asked) or ``trial`` (they are not).
        """
        model = self._model()
        version = self._wanted(model, number)
        champion = model.aliases.get(CHAMPION)
        if version.version == champion:
            is_changed = self._syncing.sync(self._journey)
            return self._change(f"Version {champion} is the champion already; nothing changed.", is_changed)
        objection = objection_to(version, champion) if by == "gate" else ""
        if objection and not is_forced:
            return self._refusal(version, objection)
        self._syncing.fetch(version)
        self._go_live(model, version.version, "force" if objection else by)
        before = DAY_ZERO if champion is None else f"version {champion}"
        text = f"Version {version.version} is the champion now, after {before}."
        if objection:
            text += f" Overridden with --force: {objection}."
        return self._change(f"{text} Back with: smallyes rollback.", self._syncing.sync(self._journey))

    def start_trial(self, number: int | None, share: float, *, is_forced: bool = False) -> Change:
        """Serves a version to a sticky share of visitors.

        Raises:
            BadInput: the share is not between 0 and 1, or the version is the champion.
        """
        if not 0.0 < share < 1.0:
            raise BadInput(
                f"--trial: must be a share of visitors above 0 and below 1 (0 ends a trial); received {share:g}"
            )
        model = self._model()
        version = self._wanted(model, number)
        if version.version == model.aliases.get(CHAMPION):
            raise BadInput(f"--trial: version {version.version} is the champion; a trial needs another version")
        verdict = version.tags.get("gate", "")
        if verdict == WORSE and not is_forced:
            return self._refusal(version, _verdict_text(version))
        self._syncing.fetch(version)
        old = model.aliases.get(CHALLENGER)
        tags = {SHARE_TAG: f"{share:g}", "trial_started_at": to_iso(now())}
        self._registry.set_tags(self._journey, version.version, tags)
        if old != version.version:
            self._registry.set_alias(self._journey, CHALLENGER, version.version)
            if old is not None:
                self._registry.set_tags(self._journey, old, {SHARE_TAG: "0"})
        text = f"Version {version.version} is on trial: it serves {100 * share:.4g} % of the visitors, each for good."
        if verdict == WORSE:
            text += f" Overridden with --force: {_verdict_text(version)}."
        if share > LARGE_SHARE:
            text += " That is more than half of them: the trial would be judged sooner with 0.5."
        return self._change(text, self._syncing.sync(self._journey))

    def end_trial(self, number: int | None = None) -> Change:
        """Serves the challenger to nobody any more; it stays the challenger."""
        model = self._model()
        target = model.aliases.get(CHALLENGER) if number is None else number
        version = None if target is None else self._registry.version(self._journey, target)
        running = model.aliases.get(CHALLENGER)
        if number is not None and running not in (None, number) and self._share_of(running) > 0.0:
            text = f"version {number} is not on trial; version {running} is"
            return Change(False, text, {"done": False, **self._state(model)})
        if version is None or trial_share(version) == 0.0:
            return self._change("No trial is running; nothing changed.", self._syncing.sync(self._journey))
        self._registry.set_tags(self._journey, version.version, {SHARE_TAG: "0", "trial_ended_at": to_iso(now())})
        live = "day zero's policy" if CHAMPION not in model.aliases else "the champion"
        text = f"The trial of version {version.version} is over; {live} serves its visitors."
        return self._change(text, self._syncing.sync(self._journey))

    def roll_back(self) -> Change:
        """Makes the previous champion, or day zero, live again, and ends a trial."""
        model = self._model()
        champion, previous = model.aliases.get(CHAMPION), model.aliases.get(PREVIOUS)
        is_day_zero = previous is None and model.tags.get(PREVIOUS) == DAY_ZERO
        if previous == champion or (previous is None and not is_day_zero) or (is_day_zero and champion is None):
            return Change(
                False,
                f"there is nothing to roll back to: {model_name(self._journey)} has had no champion before "
                f"{'any' if champion is None else f'version {champion}'}",
                {"done": False, **self._state(model)},
            )
        if previous is not None:
            self._syncing.fetch(self._registry.version(self._journey, previous))
        self._stop_trial_of(model)
        self._swap(champion, previous)
        after = "Day zero (the baseline with exploration)" if previous is None else f"Version {previous}"
        before = DAY_ZERO if champion is None else f"version {champion}"
        text = f"{after} is live again, after {before}. The same command goes back to {before}."
        return self._change(text, self._syncing.sync(self._journey))

    def _go_live(self, model: RegisteredModel, number: int, by: str) -> None:
        champion = model.aliases.get(CHAMPION)
        self._remember(champion)
        # The control of a running trial was the old champion: what it shows of the new one is nothing.
        self._stop_trial_of(model)
        self._registry.set_alias(self._journey, CHAMPION, number)
        if model.aliases.get(CHALLENGER) == number:
            self._registry.delete_alias(self._journey, CHALLENGER)
        self._registry.set_tags(
            self._journey, number, {SHARE_TAG: "0", "promoted_at": to_iso(now()), "promoted_by": by}
        )

    def _swap(self, champion: int | None, previous: int | None) -> None:
        if previous is None:
            self._registry.delete_alias(self._journey, CHAMPION)
        else:
            self._registry.set_alias(self._journey, CHAMPION, previous)
            tags = {"promoted_at": to_iso(now()), "promoted_by": "rollback"}
            self._registry.set_tags(self._journey, previous, tags)
        self._remember(champion)

    def _remember(self, champion: int | None) -> None:
        """What a rollback goes back to."""
        if champion is None:
            self._registry.set_model_tag(self._journey, PREVIOUS, DAY_ZERO)
            self._registry.delete_alias(self._journey, PREVIOUS)
        else:
            self._registry.set_alias(self._journey, PREVIOUS, champion)
            self._registry.set_model_tag(self._journey, PREVIOUS, None)

    def _share_of(self, number: int | None) -> float:
        return 0.0 if number is None else trial_share(self._registry.version(self._journey, number))

    def _stop_trial_of(self, model: RegisteredModel) -> None:
        challenger = model.aliases.get(CHALLENGER)
        if challenger is not None and trial_share(self._registry.version(self._journey, challenger)) > 0.0:
            self._registry.set_tags(self._journey, challenger, {SHARE_TAG: "0", "trial_ended_at": to_iso(now())})

    def _model(self) -> RegisteredModel:
        model = self._registry.model(self._journey)
        if model is None:
            raise BadInput(
                f"{model_name(self._journey)}: nothing is registered yet; make a version with: smallyes train --log LOG"
            )
        return model

    def _wanted(self, model: RegisteredModel, number: int | None) -> RegisteredVersion:
        if number is not None:
            return self._registry.version(self._journey, number)
        if CHALLENGER not in model.aliases:
            known = ", ".join(str(one.version) for one in self._registry.versions(self._journey)) or "none"
            raise BadInput(
                f"{model_name(self._journey)} has no challenger; name a version with --version; there are: {known}"
            )
        return self._registry.version(self._journey, model.aliases[CHALLENGER])

    def _refusal(self, version: RegisteredVersion, objection: str) -> Change:
        text = (
            f"version {version.version} was not changed: {objection}. "
            f"To find out on real visitors: smallyes promote --version {version.version} --trial 0.1. "
            "To go live all the same: --force"
        )
        if version.tags.get("gate") == WORSE:
            text = f"version {version.version} was not changed: {objection}. To go on all the same: --force"
        result = {"done": False, "version": version.version, "gate": version.tags.get("gate"), "reason": objection}
        return Change(False, text, result)

    def _change(self, text: str, is_changed: bool) -> Change:
        result = {"done": True, **self._state(self._model()), "pointer_changed": is_changed}
        return Change(True, f"{text} {self._follows}", {**result, "follows_within_s": self._seconds})

    def _state(self, model: RegisteredModel) -> dict[str, Any]:
        challenger = model.aliases.get(CHALLENGER)
        share = 0.0 if challenger is None else trial_share(self._registry.version(self._journey, challenger))
        return {
            "journey": self._journey,
            "champion": model.aliases.get(CHAMPION),
            "challenger": challenger,
            "trial_share": share,
            "previous": model.aliases.get(PREVIOUS, model.tags.get(PREVIOUS)),
        }


def objection_to(version: RegisteredVersion, champion: int | None) -> str:
    """Why a version is not to become the champion by its verdict; empty: it is.

    Args:
        version: with the tags ``gate``, ``judged_against`` and perhaps ``gate_reason``.
        champion: today's.

    Example:
        >>> version = RegisteredVersion("shop", 8, {"gate": "better", "judged_against": "6"}, (), "", "", 0, "")
        >>> objection_to(version, 7)
        'its verdict (better) is stale: it was judged against version 6, and the champion is version 7 now'
        >>> objection_to(version, 6)
        ''
    """
    gate = version.tags.get("gate")
    if gate is None:
        return "it was never judged (it has no tag gate)"
    judged_against = version.tags.get("judged_against", "nothing that is known")
    today = DAY_ZERO if champion is None else str(champion)
    if judged_against != today:
        return (
            f"its verdict ({gate}) is stale: it was judged against {_labeled(judged_against)}, "
            f"and the champion is {_labeled(today)} now"
        )
    return "" if gate == BETTER else _verdict_text(version)


def _verdict_text(version: RegisteredVersion) -> str:
    reason = version.tags.get("gate_reason", "").rstrip(".")
    verdict = f"the gate says {version.tags.get('gate')}"
    return f"{verdict}: {reason}" if reason else verdict


def _labeled(name: str) -> str:
    return f"version {name}" if name.isdecimal() else name
