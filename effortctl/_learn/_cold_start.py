"""A policy for the first day: no outcome yet, only what is believed of arms in general."""

from __future__ import annotations

import platform
from collections.abc import Callable
from datetime import UTC, datetime
from importlib.metadata import version
from typing import TYPE_CHECKING

import numpy as np

from effortctl._errors import ConfigError
from effortctl._fitted_policy import FittedPolicy
from effortctl._held_out import VerifierChoice, reliability_of
from effortctl._learn._choices import climb
from effortctl._learn._learn import FEWEST_TASKS, PLAN
from effortctl._policy_parts import Histogram, Provenance, Target
from effortctl.catalog import load_ladder
from effortctl.estimators import FittedModel, Prior, load_prior
from effortctl.policies import Certificate

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from effortctl._driver import LadderLike

    Floats = NDArray[np.float64]

CALLS_WORTH = 20.0
"""How many calls of the dearest arm a correct answer is taken to be worth, if nobody says."""

FREE_WORTH_USD = 0.01
"""The same where no arm has a price."""

_PROMPT_TOKENS = 200.0


def cold_start(
    ladder: LadderLike,
    *,
    value_usd: float | None = None,
    usd_per_second: float = 0.0,
    verifier: VerifierChoice = "exact",
    prior: Prior | None = None,
    now: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> FittedPolicy:
    """Plan without any outcome, from the shipped prior: generic effort levels, prices, prompt length.

    The prior knows little and says so: probabilities stay near one half, and nothing is certified. Its
    plan decides all the same (`FittedPolicy.on_trust`), because it was asked for by name. Record what
    happens, and `learn(traces, ladder=ladder)` moves from here to your own tasks.

    Args:
        ladder: Arms with their prices, as for `Controller`.
        value_usd: Dollars an accepted correct answer is worth. None: `CALLS_WORTH` calls of the dearest
            arm, or a cent where all are free.
        usd_per_second: Dollars a second of waiting costs; used as soon as seconds are known.
        verifier: What will check answers at run time; `recorded` and `agreement` need outcomes.
        prior: Another prior than the shipped one.
        now: Wall clock.

    Raises:
        ConfigError: The ladder or the verifier makes no sense here.
        UnknownPriceError: An arm has no known price.
    """
    if verifier in ("recorded", "agreement"):
        raise ConfigError(
            f"verifier={verifier!r} has to be learned from outcomes, and there are none yet; say exact, "
            "none, or how good the check is: (P(pass | correct), P(pass | wrong))"
        )
    arms, believed = load_ladder(ladder).arms, prior or load_prior()
    checks = reliability_of(verifier, arms=len(arms))
    model = believed.model(arms, reliability=checks)
    p, dollars = _typical(model)
    value = value_usd or CALLS_WORTH * float(dollars.max()) or FREE_WORTH_USD
    return FittedPolicy(
        model=model,
        value_usd=value,
        usd_per_second=usd_per_second,
        target=Target("value_usd", value),
        certificate=Certificate.without_tasks(
            PLAN,
            climb(model, p, dollars),
            reason=(
                "this plan rests on a prior, not on outcomes of yours; record at least "
                f"{FEWEST_TASKS} tasks that every arm was tried on, and learn from them"
            ),
            n_needed=FEWEST_TASKS,
        ),
        on_trust=True,
        results=(),
        difficulty=Histogram(model.scorer.low, model.scorer.high, (0,)),
        provenance=Provenance(
            created=now().date().isoformat(),
            fingerprint=believed.fingerprint,
            feature_hash=model.scorer.feature_hash,
            tasks=0,
            outcomes=0,
            learn_tasks=0,
            certify_tasks=0,
            seed=0,
            libraries={
                "effortctl": version("effortctl"),
                "numpy": np.__version__,
                "python": platform.python_version(),
            },
            prices=dict(zip(model.arm_names, dollars.tolist(), strict=True)),
        ),
    )


def _typical(model: FittedModel) -> tuple[Floats, Floats]:
    """P(correct) and dollars of each arm on a short task of average difficulty."""
    p = np.array([float(arm.curve.predict(0.0)) for arm in model.arms])
    costs = [0.0 if a.cost is None else a.cost.predict(0.0, _PROMPT_TOKENS) for a in model.arms]
    return p, np.array(costs, dtype=float)
