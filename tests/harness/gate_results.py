"""Small evaluation results with given tasks, for gates and comparisons."""

from __future__ import annotations

import numpy as np
from harness.report.result_data import bare

from effortctl.harness._result import PolicyTasks, TaskTable


def result_of(
    *, quality, cost_usd=None, name="run", ids=None, clusters=(), categories=(), arm=None
):
    """A result with one policy `p`, and one arm `arm` if its scores are given."""
    cost = np.ones(len(quality)) if cost_usd is None else cost_usd
    alone = {} if arm is None else {"arm": tuple(map(float, arm))}
    table = TaskTable(
        ids=tuple(ids) if ids is not None else tuple(f"t{i}" for i in range(len(quality))),
        clusters=tuple(clusters),
        categories=tuple(categories),
        scores=alone,
        costs_usd={key: tuple(map(float, cost)) for key in alone},
        policies={
            "p": PolicyTasks(cost_usd=tuple(map(float, cost)), quality=tuple(map(float, quality)))
        },
    )
    return _SHELL.model_copy(update={"name": name, "tasks": table})


_SHELL = bare()
