"""The exact escalation plan: which arm first, and what to do on each verdict.

Maximises `value_usd * P(correct) - dollars` by backward induction over what each arm's check may say,
with failures correlated through one hidden difficulty. The objective is that of cascade routing
(Dekoninck et al., 2025); checks may be noisy, and nothing is approximated but the quadrature.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from effortctl._errors import ConfigError, EffortctlWarning
from effortctl.policies._belief_grid import right_given_theta
from effortctl.policies._explain import Plan, explain
from effortctl.policies._solve import NEVER, Limit
from effortctl.policies._walk import plans

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from effortctl.policies._belief_grid import Floats
    from effortctl.policies._inputs import BeliefModel, Forecast, Terms
    from effortctl.policies._walk import Walkable

MAX_ARMS = 8
"""Above it the states become too many (3^9 = 19,683) and the least promising arms are left out."""

CHUNK = 150_000
"""States solved at a time; a few dozen megabytes, and small enough for the processor's caches."""


@dataclass(frozen=True, slots=True)
class PlanTable:
    """The plans of many tasks, as arrays.

    Attributes:
        first: Arm to try first, -1 to give up at once; shape (tasks,).
        net_usd: Expected `value_usd * P(correct) - dollars - price of time`; shape (tasks,).
        cost_usd: Expected dollars; shape (tasks,).
        quality: P(the answer returned is correct); shape (tasks,).
        p_reach: P(the arm is tried); shape (tasks, arms).
    """

    first: NDArray[np.intp]
    net_usd: Floats
    cost_usd: Floats
    quality: Floats
    p_reach: Floats


@dataclass(frozen=True, slots=True)
class Replay:
    """What plans did on recorded outcomes.

    Attributes:
        cost_usd: Dollars of the arms that were tried; shape (tasks,).
        quality: Score of the answer returned, 0 when there is none; shape (tasks,).
        tried: Arms that were tried; shape (tasks, arms).
        answer: Arm whose answer was returned, -1 for none; shape (tasks,).
    """

    cost_usd: Floats
    quality: Floats
    tried: NDArray[np.bool_]
    answer: NDArray[np.intp]


@dataclass(frozen=True, slots=True)
class Recorded:
    """What really happened when every arm was tried.

    Attributes:
        score: Correctness of each answer, 0..1; shape (tasks, arms).
        verdicts: What the check said of each answer, shape (tasks, arms); under an `Agreement`, whether
            arms i and j agree, shape (tasks, arms, arms). None: an exact check, which passes what
            scores above one half.
        cost_usd: Dollars each try really cost; shape (tasks, arms). None: as forecast.
    """

    score: Floats
    verdicts: NDArray[np.bool_] | None = None
    cost_usd: Floats | None = None


def plan_task(forecast: Forecast, model: BeliefModel, terms: Terms) -> Plan:
    """Plan one task and explain the plan.

    Args:
        forecast: One row: what is expected of each arm on this task.
        model: How failures hang together and what verdicts are worth.
        terms: What a correct answer and a second are worth.

    Raises:
        ConfigError: The forecast has several rows, or numbers that do not fit.
    """
    if forecast.tasks != 1:
        raise ConfigError(
            f"plan_task plans one task, the forecast has {forecast.tasks}; use plan_batch"
        )
    _, forecast, model = _ready(forecast, model, terms)
    solved = _solve(forecast, model, terms)
    return explain(solved, forecast, terms)


def plan_batch(forecast: Forecast, model: BeliefModel, terms: Terms) -> PlanTable:
    """Plan many tasks, in chunks of bounded memory.

    Args:
        forecast: What is expected of each arm on each task.
        model: How failures hang together and what verdicts are worth.
        terms: What a correct answer and a second are worth.

    Raises:
        ConfigError: Numbers or shapes do not fit.
    """
    full = forecast
    keep, forecast, model = _ready(forecast, model, terms)
    first = np.full(full.tasks, -1)
    quality = np.zeros(full.tasks)
    p_reach = np.zeros((full.tasks, len(full.arms)))
    for rows, solved in _chunks(forecast, model, terms):
        expected = solved.expect()
        first[rows] = np.where(expected.first < 0, -1, keep[expected.first])
        quality[rows] = expected.quality
        p_reach[rows, keep] = expected.reach
    cost = (p_reach * full.dollars).sum(axis=1)
    waiting = 0.0 if full.latency_s is None else (p_reach * full.latency_s).sum(axis=1)
    net = terms.value_usd * quality - cost - terms.usd_per_second * waiting
    return PlanTable(first, net, cost, quality, p_reach)


def replay_plan(
    forecast: Forecast, model: BeliefModel, terms: Terms, *, recorded: Recorded
) -> Replay:
    """Run the best plan of every task on recorded outcomes.

    The plan sees the forecast and the verdicts of the arms it tries, nothing else.

    Args:
        forecast: What was expected of each arm on each task.
        model: How failures hang together and what verdicts are worth.
        terms: What a correct answer and a second are worth.
        recorded: What really happened.

    Raises:
        ConfigError: Numbers or shapes do not fit.
    """
    score, verdicts = _recorded_arrays(forecast, model, recorded)
    cost = forecast.dollars if recorded.cost_usd is None else np.asarray(recorded.cost_usd)
    full = forecast
    keep, forecast, model = _ready(forecast, model, terms)
    kept = verdicts[:, keep] if verdicts.ndim == 2 else verdicts[:, keep][:, :, keep]
    tried = np.zeros((full.tasks, len(full.arms)), dtype=np.bool_)
    answer = np.full(full.tasks, -1)
    for rows, solved in _chunks(forecast, model, terms):
        walked = solved.walk(kept[rows])
        tried[rows, keep] = walked.tried
        answer[rows] = np.where(walked.answer < 0, -1, keep[walked.answer])
    returned = score[np.arange(full.tasks), np.maximum(answer, 0)]
    quality = np.where(answer < 0, 0.0, returned)
    return Replay((tried * cost).sum(axis=1), quality, tried, answer)


def draw_verdicts(
    correct: NDArray[np.bool_],
    tpr: Floats | float,
    fpr: Floats | float,
    *,
    rng: np.random.Generator,
) -> NDArray[np.bool_]:
    """Draw what a check of known reliability would have said.

    Args:
        correct: Whether each answer is correct; shape (tasks, arms).
        tpr: P(pass | correct); broadcasts to (tasks, arms).
        fpr: P(pass | wrong); likewise.
        rng: Where the draws come from.
    """
    chance: Floats = np.where(correct, tpr, fpr)
    return rng.random(chance.shape) < chance


def arms_worth_planning(
    p_correct: Floats, price: Floats, *, most: int = MAX_ARMS
) -> NDArray[np.intp]:
    """Choose the arms to plan with when there are too many for an exact plan.

    Arms that are dearer and no better than another one on every task go first, then those with the
    lowest mean value as a single arm.

    Args:
        p_correct: P(correct); shape (tasks, arms).
        price: Price of each arm in units of quality; same shape.
        most: How many arms may stay.

    Returns:
        Indices of the arms that stay, in their old order.
    """
    arms = p_correct.shape[1]
    alive = list(range(arms))
    for j in range(arms):
        others = [i for i in alive if i != j]
        no_better = (p_correct[:, others] >= p_correct[:, [j]]).all(axis=0)
        no_dearer = (price[:, others] <= price[:, [j]]).all(axis=0)
        if len(alive) > most and (no_better & no_dearer).any():
            alive.remove(j)
    alone = (p_correct - np.minimum(price, NEVER)).mean(axis=0)
    best = sorted(alive, key=lambda j: -alone[j])[:most]
    return np.array(sorted(best), dtype=np.intp)


def _price(forecast: Forecast, terms: Terms) -> Floats:
    """Price of a try in units of quality."""
    usd = forecast.dollars
    if forecast.latency_s is not None and terms.usd_per_second:
        usd = usd + terms.usd_per_second * forecast.latency_s
    price: Floats = usd / terms.value_usd
    return price if forecast.allowed is None else np.where(forecast.allowed, price, NEVER)


def _limits(forecast: Forecast) -> tuple[Limit, ...]:
    limits = []
    if forecast.usd_left is not None:
        limits.append(Limit(forecast.dollars, np.asarray(forecast.usd_left)))
    if forecast.seconds_left is not None and forecast.latency_s is not None:
        limits.append(Limit(forecast.latency_s, np.asarray(forecast.seconds_left)))
    return tuple(limits)


def _ready(
    forecast: Forecast, model: BeliefModel, terms: Terms
) -> tuple[NDArray[np.intp], Forecast, BeliefModel]:
    """Check the model against the arms, and leave arms out where there are too many."""
    arms = len(forecast.arms)
    model = model.table(arms)
    if arms <= MAX_ARMS:
        return np.arange(arms), forecast, model
    keep = arms_worth_planning(forecast.p_correct, _price(forecast, terms))
    left_out = ", ".join(name for j, name in enumerate(forecast.arms) if j not in keep)
    warnings.warn(
        f"an exact plan takes {MAX_ARMS} arms at most, there are {arms}; left out: {left_out}. "
        "Offer fewer arms to choose yourself.",
        EffortctlWarning,
        stacklevel=3,
    )
    return keep, _only(forecast, keep), model.only(keep.tolist())


def _only(forecast: Forecast, keep: Sequence[int] | NDArray[np.intp]) -> Forecast:
    return forecast.only([int(j) for j in keep])


def _solve(forecast: Forecast, model: BeliefModel, terms: Terms) -> Walkable:
    right = right_given_theta(forecast.p_correct, model.rho)
    return plans(right, _price(forecast, terms), model=model, limits=_limits(forecast))


def _chunks(
    forecast: Forecast, model: BeliefModel, terms: Terms
) -> Iterator[tuple[slice, Walkable]]:
    arms = len(forecast.arms)
    states = model.digits**arms * (arms if model.agreement is not None else 1)
    size = max(1, CHUNK // states)
    for begin in range(0, forecast.tasks, size):
        rows = slice(begin, min(begin + size, forecast.tasks))
        yield rows, _solve(forecast.rows(rows), model, terms)


def _recorded_arrays(
    forecast: Forecast, model: BeliefModel, recorded: Recorded
) -> tuple[Floats, NDArray[np.bool_]]:
    shape = forecast.p_correct.shape
    score = np.asarray(recorded.score, dtype=float)
    wanted = shape if model.agreement is None else (*shape, shape[1])
    if recorded.verdicts is not None:
        verdicts = np.asarray(recorded.verdicts, dtype=np.bool_)
    elif model.agreement is None:
        verdicts = score > 0.5
    else:
        raise ConfigError("a plan on agreement needs recorded agreements: pass Recorded.verdicts")
    if score.shape != shape or verdicts.shape != wanted:
        raise ConfigError(
            f"recorded score has shape {score.shape} and verdicts {verdicts.shape}; "
            f"expected {shape} and {wanted}"
        )
    if not np.isfinite(score).all():
        raise ConfigError("recorded score contains NaN; leave out tasks that miss an arm")
    return score, verdicts
