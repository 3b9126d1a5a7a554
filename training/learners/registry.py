"""The portfolio of learners: by name, or by dotted path for one's own."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Final, cast

from data.errors import BadInput
from training.learners.protocol import Learned, Learner, Lessons

LEARNERS: Final[Mapping[str, str]] = {
    "planned": "training.learners.planned:PlannedQ",
    "cautious": "training.learners.cautious:Cautious",
    "behavior": "training.learners.behavior:QOfBehavior",
}
"""Where each learner is; the first is the default, which another one must beat."""
DEFAULT: Final = "planned"


def learner(name: str) -> Learner:
    """The learner of that name, or at that ``module:Class``.

    Raises:
        BadInput: there is none.
    """
    module, _, attribute = LEARNERS.get(name, name).partition(":")
    try:
        if not attribute:
            raise ModuleNotFoundError(name=module)
        return cast(Learner, getattr(importlib.import_module(module), attribute)())
    except (ModuleNotFoundError, AttributeError) as error:
        if isinstance(error, ModuleNotFoundError) and not f"{module}.".startswith(f"{error.name}."):
            raise  # the learner is there, and something that it needs is not
        allowed = ", ".join(LEARNERS)
        raise BadInput(
            f"--learner: there is no learner {name!r}; allowed: {allowed}, or your own as module:Class"
        ) from None


def learn(name: str, lessons: Lessons) -> Learned:
    """What a learner makes of the lessons; made once."""
    if name not in lessons.learned:
        lessons.learned[name] = learner(name).fit(lessons)
    return lessons.learned[name]
