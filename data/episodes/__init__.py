"""Episodes: past step sequences cut into runs that end in a conversion, in leaving, or in time running out.

The state of a visitor (``features.state``) is about *what was known*, so it follows arrival order. Episodes are
about *what happened*, so they follow the time of happening: a conversion that is reported weeks late still belongs
to the episode in which it happened. Equal times are taken in arrival order.

**Steps.** Every decision for an ask is a step. A null decision is a step unless guardrails forced it: where
``eligible`` is known, it is forced when nothing but null was eligible; where it is unknown, when its propensity is 1;
where both are unknown it is a step. So the null decisions of the arm ``none`` are steps, which is what makes its
conversion measurable. An episode may begin with a null step, although the visitor's state, for which null decisions
count for nothing, then starts its episode later. A deferred decision takes its place when it was seen (``seen_at``).

**Answers.** The answer of a step is its ``accepted`` or ``declined`` event, however late it came. Without one it is
``ignored`` when an ``ignored`` event says so or ``session_gap`` has passed since it was seen, else ``pending``.
A null step has nothing to answer and is ``ignored`` at once. ``answered_at`` is set for accepted and declined only.

**Conversions.** A conversion is an accepted goal ask (prompted or not) or a ``converted`` event. Reports of one
conversion (``is_repeat`` rows, and all rows of one person with the same order) are one: it happened at the earliest
time among them, and it is worth the value that arrived last and is not null (default 1), even where that value
arrived after the conversion window: it is a correction of what is known, not a new outcome.

**Runs.** A decision continues the visitor's latest episode while that is neither converted nor left and less than
``conversion_window`` old, else it starts a new one. A conversion belongs to the latest episode if that is less than
``conversion_window`` old and not converted yet, also after ``left``; otherwise it is outside every episode and only
counted (``n_conversions_outside``): a second purchase without a decision in between, or one without any decision.
A late acceptance of the goal ask counts by the same rule for the episode in which it happened. Signals do nothing.

**Merges.** Rows that arrived before a merge keep the episodes of the visitor they arrived for. A decision that
arrives afterwards continues, or does not continue, the latest-started episode among both; the other one gets no
further step. A conversion belongs to the latest-started episode among the visitors that were one when it arrived;
if that does not hold it, among all visitors that are one at the end of the log, because a purchase under the account
is often reported a moment before the merge that ties the browser to the account. ``owner`` in both frames is the
person: one number for all visitors that are one at the end.

**Maturity.** An episode is mature when its first decision is at least ``conversion_window`` before ``now``, whatever
its outcome; with ``settles: left`` it must also have converted or left. Rows received after ``now`` are left out, so
that an earlier ``now`` shows the log as it was then; ``n_after_now`` counts them. Rewards: see ``data.rewards``.
"""

from data.episodes.build import Episodes, episodes_of

__all__ = ["Episodes", "episodes_of"]
