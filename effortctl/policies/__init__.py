"""Which arm next, or stop?

`Fixed` and `LadderPolicy` follow a list. `PlanPolicy` computes the best plan for each task; `Guarded` lets
a policy decide only where a certificate says that it beats every fixed choice. What needs numpy is
imported when it is first asked for.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from effortctl._answers import SameAnswer, answer_key
from effortctl.policies._fixed import Fixed, LadderPolicy

if TYPE_CHECKING:
    from effortctl.policies._agreement import AgreementTables
    from effortctl.policies._certify import (
        Certificate,
        Contender,
        Criteria,
        certify,
    )
    from effortctl.policies._explain import Plan, Step, Then
    from effortctl.policies._guarded import FixedLadder, Guarded
    from effortctl.policies._inputs import Agreement, BeliefModel, Forecast, Terms
    from effortctl.policies._ladders import LadderTable, all_ladders, run_ladder
    from effortctl.policies._pick import ArmMenu, pick_arms
    from effortctl.policies._plan import (
        PlanTable,
        Recorded,
        Replay,
        draw_verdicts,
        plan_batch,
        plan_task,
        replay_plan,
    )
    from effortctl.policies._plan_policy import PlanPolicy
    from effortctl.policies._tuning import Tuned, tune_lambda

_HOME = {
    "_agreement": ("AgreementTables",),
    "_certify": ("Certificate", "Contender", "Criteria", "certify"),
    "_explain": ("Plan", "Step", "Then"),
    "_guarded": ("FixedLadder", "Guarded"),
    "_inputs": ("Agreement", "BeliefModel", "Forecast", "Terms"),
    "_ladders": ("LadderTable", "all_ladders", "run_ladder"),
    "_pick": ("ArmMenu", "pick_arms"),
    "_plan": (
        "PlanTable",
        "Recorded",
        "Replay",
        "draw_verdicts",
        "plan_batch",
        "plan_task",
        "replay_plan",
    ),
    "_plan_policy": ("PlanPolicy",),
    "_tuning": ("Tuned", "tune_lambda"),
}

__all__ = [
    "Agreement",
    "AgreementTables",
    "ArmMenu",
    "BeliefModel",
    "Certificate",
    "Contender",
    "Criteria",
    "Fixed",
    "FixedLadder",
    "Forecast",
    "Guarded",
    "LadderPolicy",
    "LadderTable",
    "Plan",
    "PlanPolicy",
    "PlanTable",
    "Recorded",
    "Replay",
    "SameAnswer",
    "Step",
    "Terms",
    "Then",
    "Tuned",
    "all_ladders",
    "answer_key",
    "certify",
    "draw_verdicts",
    "pick_arms",
    "plan_batch",
    "plan_task",
    "replay_plan",
    "run_ladder",
    "tune_lambda",
]


def __getattr__(name: str) -> Any:
    """Import the planner when it is first asked for, because numpy and scipy are slow to load."""
    for module, names in _HOME.items():
        if name in names:
            return getattr(import_module(f"{__name__}.{module}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
