"""What is known of one task while it runs: the belief after some answers, and what each may be worth."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from effortctl.policies._belief_grid import grid, right_given_theta, verdict_evidence
from effortctl.policies._walk import anchored

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from effortctl.policies._belief_grid import Evidence, Floats
    from effortctl.policies._inputs import BeliefModel


@dataclass(frozen=True, slots=True)
class Known:
    """A belief, unnormalised, and what the arms that are left would say about it.

    Attributes:
        belief: P(evidence so far, node); shape (nodes,).
        held: Arm → P(evidence so far, node, its answer is correct), for every arm that was tried.
        ahead: What the arms still open will say, in their order.
    """

    belief: Floats
    held: Mapping[str, Floats]
    ahead: Evidence

    @property
    def start(self) -> Floats:
        """Where a `Problem` over the open arms starts."""
        rows = np.stack([self.belief, *self.held.values()])[None]
        return rows / max(float(self.belief.sum()), np.finfo(float).tiny)

    @property
    def chances(self) -> dict[str, float]:
        """P(correct) of every answer at hand; all 0 where the evidence contradicts the model."""
        mass = max(float(self.belief.sum()), np.finfo(float).tiny)
        return {arm: float(row.sum()) / mass for arm, row in self.held.items()}


def known_from(
    seen: Mapping[str, bool | None],
    p: Mapping[str, float],
    *,
    model: BeliefModel,
    open_arms: Sequence[str],
) -> Known:
    """Weigh what was seen of a task.

    Args:
        seen: By arm, in the order of the tries: did its check pass, None if nobody knows; under
            agreement, does it agree with the first arm.
        p: P(correct) before any try, by arm name.
        model: What the evidence is worth; a table over the open arms, then those seen.
        open_arms: Arms that may still be tried.
    """
    arms = [*open_arms, *seen]
    right = right_given_theta(np.array([[p[arm] for arm in arms]]), model.rho)
    belief: Floats = grid()[1]
    held: dict[str, Floats] = {}
    said = dict(seen)
    if model.agreement is None:
        evidence = verdict_evidence(right, model.tpr[:, None], model.fpr[:, None])
    else:
        anchor = arms.index(next(iter(seen)))
        first = arms.pop(anchor)
        problem = anchored(anchor, right, price=np.zeros(right.shape[:2]), model=model, limits=())
        belief, held[first] = problem.start[0]
        evidence = problem.evidence
        del said[first]
    for arm, verdict in said.items():
        j = arms.index(arm)
        likely, correct = _says(evidence, j, right=right[0, j], verdict=verdict)
        held = {other: row * likely for other, row in held.items()} | {arm: belief * correct}
        belief = belief * likely
    return Known(belief, held, evidence.only(list(range(len(open_arms)))))


def _says(
    evidence: Evidence, arm: int, *, right: Floats, verdict: bool | None
) -> tuple[Floats, Floats]:
    """P(the verdict | node), and P(the verdict and the answer is correct | node)."""
    if verdict is None:
        return np.ones_like(right), right
    if verdict:
        return evidence.passed[0, arm], evidence.passed_right[0, arm]
    return evidence.failed[0, arm], evidence.failed_right[0, arm]
