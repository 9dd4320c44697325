"""Policies and estimates that know of conversations and of streams."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from effortctl._client._conversation import is_short
from effortctl._client._request import SdkTask
from effortctl._types import Arm, Estimate, Situation, Task
from effortctl.policies import LadderPolicy
from effortctl.protocols import Estimator, Policy


@dataclass(frozen=True, slots=True)
class ConversationLadder:
    """Climb the ladder; a short follow-up starts at the arm that answered before it.

    What it took to answer the question is what it takes to answer "and in French?", and the prompt
    cache of that arm is warm.
    """

    @property
    def name(self) -> str:
        """Name written into traces."""
        return "ladder"

    def choose(self, situation: Situation) -> Arm | None:
        """Return the first arm that was not tried, from the warm one on."""
        task = situation.task
        warm = task.warm_arm if isinstance(task, SdkTask) and is_short(task) else None
        if warm is None:
            return LadderPolicy().choose(situation)
        if not situation.attempts:
            return next((arm for arm in situation.arms if arm.name == warm), None) or next(
                iter(situation.arms), None
            )
        # The arms below the warm one come last: they are weaker, but better than no answer.
        return _after(warm, situation)


def _after(warm: str, situation: Situation) -> Arm | None:
    task = situation.task
    order = task.ladder if isinstance(task, SdkTask) else ()
    above = order[order.index(warm) + 1 :] if warm in order else ()
    stronger = [arm for arm in situation.arms if arm.name in above]
    return next(iter(stronger or situation.arms), None)


@dataclass(frozen=True, slots=True)
class Committed:
    """A policy that stops once a token of the answer was shown: there is no taking it back.

    Attributes:
        policy: Chooses until then.
    """

    policy: Policy

    @property
    def name(self) -> str:
        """Name written into traces."""
        return self.policy.name

    def choose(self, situation: Situation) -> Arm | None:
        """As the policy, while nothing was shown."""
        task = situation.task
        if isinstance(task, SdkTask) and task.shown is not None and task.shown.is_set():
            return None
        return self.policy.choose(situation)


@dataclass(frozen=True, slots=True)
class ConversationEstimator:
    """Estimates of a conversation rather than of its last turn.

    Attributes:
        estimator: Predicts from a task.
    """

    estimator: Estimator

    def estimate(self, task: Task, arms: Sequence[Arm]) -> Mapping[str, Estimate]:
        """As the estimator, for all the text of the conversation that is known."""
        if isinstance(task, SdkTask) and task.follows is not None:
            task = Task(input=f"{task.follows}\n{task.text}", id=task.id, category=task.category)
        return self.estimator.estimate(task, arms)


def warm_arm(task: Task) -> str | None:
    """The arm whose prompt cache is warm for a task."""
    return task.warm_arm if isinstance(task, SdkTask) else None
