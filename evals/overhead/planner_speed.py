"""What a live decision, a replay and learning cost, each beside something familiar in the same run.

Run it with `python evals/overhead/planner_speed.py`; see README.md. Prompts and outcomes are made up, so the
figures are of speed only.
"""

from __future__ import annotations

import argparse
import gc
import http.client
import json
import os
import platform
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from openai import OpenAI
from sklearn.feature_extraction.text import HashingVectorizer
from sklearn.linear_model import LogisticRegression

from effortctl import Arm, FittedPolicy, Task, learn
from effortctl._types import Situation
from effortctl.policies import (
    BeliefModel,
    Forecast,
    Guarded,
    Recorded,
    Terms,
    draw_verdicts,
    replay_plan,
    run_ladder,
)
from effortctl.stores import OutcomeMatrix, outcome_matrix
from effortctl.testing import MockServer

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

ARMS = 6
WORDS, LONG = 80, 800
"""Words in a prompt, and in a long one."""
GOALS = {"decision": 1e-3, "replay": 10.0, "learning": 60.0}


@dataclass(frozen=True, slots=True)
class Row:
    """One measurement; seconds of one call, or of the whole job.

    Attributes:
        what: What was done.
        wall_s: Median over the repeats.
        cpu_s: CPU time of our thread; median over the repeats.
        goal_s: Most CPU time it may take; None where it is a baseline.
        vs_baseline: CPU time by that of the baseline named above it.
        least_s: CPU time of the least disturbed repeat; None where there was one alone.
    """

    what: str
    wall_s: float
    cpu_s: float
    goal_s: float | None = None
    vs_baseline: float | None = None
    least_s: float | None = None


# --- a made-up world -------------------------------------------------------------------------------


def prompts(
    tasks: int, *, seed: int = 0, length: int = WORDS
) -> tuple[list[str], NDArray[np.bool_]]:
    """Texts of made-up words, and which are hard: those in which some words are frequent."""
    rng = np.random.default_rng(seed)
    words = np.array([f"{a}{b}{c}" for a in "bdfgklmnprst" for b in "aeiou" for c in "lmnrst"])
    hard = rng.random(tasks) < 0.5
    chance = np.ones((2, len(words)))
    chance[1, :40] = 6.0
    chance /= chance.sum(axis=1, keepdims=True)
    texts = [" ".join(rng.choice(words, length, p=chance[int(h)])) for h in hard]
    return texts, hard


def world(tasks: int, *, seed: int = 0) -> OutcomeMatrix:
    """Outcomes of six arms, each dearer and better than the one before."""
    rng = np.random.default_rng(seed)
    texts, hard = prompts(tasks, seed=seed)
    shared = rng.normal(size=tasks)
    rows = []
    for j in range(ARMS):
        skill = -0.5 + 0.45 * j - 1.5 * hard + 0.8 * shared + 0.6 * rng.normal(size=tasks)
        usd = 0.001 * 2.2**j * np.exp(0.4 * hard + 0.3 * rng.normal(size=tasks))
        rows += [
            {
                "query_id": f"q{i}",
                "query": texts[i],
                "arm": f"arm{j}",
                "score": float(skill[i] > 0),
                "cost_usd": float(usd[i]),
            }
            for i in range(tasks)
        ]
    return outcome_matrix(rows)


# --- one live decision -----------------------------------------------------------------------------


def decisions(policy: FittedPolicy, *, calls: int) -> Iterator[Row]:
    """The first choice, for prompts never seen."""
    short, long = (prompts(calls + 50, seed=1, length=n)[0] for n in (WORDS, LONG))
    arms = [Arm(name=name, model=name) for name in policy.model.arm_names]
    estimator, acting = policy.estimator(), policy.policy()
    plan = acting.policy if isinstance(acting, Guarded) else acting

    def decide(text: str) -> None:
        task = Task(input=text)
        estimates = estimator.estimate(task, arms)
        plan.choose(Situation(task, arms, (), estimates))

    with MockServer(keep_hits=0) as server:
        host, port = server.base_url.split("//")[1].split("/")[0].split(":")
        wire = http.client.HTTPConnection(host, int(port))
        client = OpenAI(base_url=server.base_url, api_key="none", max_retries=0)
        body = json.dumps({"model": "gpt-6-luna", "input": "hello"})
        sent = {"content-type": "application/json", "authorization": "Bearer none"}

        def bare(_index: int) -> None:
            wire.request("POST", "/v1/responses", body, sent)
            wire.getresponse().read()

        def sdk(_index: int) -> None:
            client.responses.create(model="gpt-6-luna", input="hello")

        http_row = _repeat("the same request by http.client", bare, calls=calls)
        sdk_row = _repeat("openai SDK call to the mock server (baseline)", sdk, calls=calls)
        wire.close()
        client.close()
    yield http_row
    yield sdk_row
    for texts, words in ((short, WORDS), (long, LONG)):
        what = f"decision, features included, {len(arms)} arms, {words} words"
        row = _repeat(what, partial(_at, decide, texts), calls=calls)
        yield replace(row, goal_s=GOALS["decision"], vs_baseline=row.cpu_s / sdk_row.cpu_s)


def _at(run: Callable[[str], object], texts: list[str], index: int) -> None:
    run(texts[index])


def _repeat(what: str, run: Callable[[int], object], *, calls: int) -> Row:
    for index in range(20):
        run(calls + index)
    gc.collect()
    walls, cpus = [], []
    for index in range(calls):
        wall, cpu = time.perf_counter(), time.thread_time()
        run(index)
        cpus.append(time.thread_time() - cpu)
        walls.append(time.perf_counter() - wall)
    return Row(what, statistics.median(walls), statistics.median(cpus), least_s=min(cpus))


# --- replay ----------------------------------------------------------------------------------------


def replays(tasks: int) -> Iterator[Row]:
    """Plans of many tasks, solved and followed through recorded verdicts."""
    rng = np.random.default_rng(0)
    difficulty = rng.normal(size=(tasks, 1))
    p = 1 / (1 + np.exp(-(np.linspace(-0.5, 2.5, ARMS) - 1.2 * difficulty)))
    cost: Floats = np.asarray(0.001 * 2.2 ** np.arange(ARMS) * np.exp(0.3 * difficulty), float)
    score = (rng.random(p.shape) < p).astype(float)
    noisy = draw_verdicts(score > 0.5, 0.95, 0.05, rng=rng)
    forecast, terms = Forecast(p_correct=p, cost_usd=cost), Terms(1.0)
    checks = {
        "exact check": (BeliefModel(rho=0.6), score > 0.5),
        "noisy check, a pass ends the task": (
            BeliefModel(rho=0.6, tpr=0.95, fpr=0.05, stop_on_pass=True),
            noisy,
        ),
        "noisy check, free to go on after a pass": (
            BeliefModel(rho=0.6, tpr=0.95, fpr=0.05),
            noisy,
        ),
    }
    baseline = _once(
        "fixed ladder of all arms (baseline)",
        lambda: run_ladder(range(ARMS), score, score > 0.5, cost_usd=cost),
    )
    yield baseline
    for name, (model, verdicts) in checks.items():
        recorded = Recorded(score, verdicts, cost)

        def replay(model: BeliefModel = model, recorded: Recorded = recorded) -> None:
            replay_plan(forecast, model, terms, recorded=recorded)

        row = _once(f"plan, {name}", replay)
        yield replace(row, goal_s=GOALS["replay"], vs_baseline=row.cpu_s / baseline.cpu_s)


# --- learning --------------------------------------------------------------------------------------


def learning(matrix: OutcomeMatrix) -> tuple[list[Row], FittedPolicy]:
    """Fit, tune and certify, beside one logistic regression per arm over words."""
    found: list[FittedPolicy] = []
    baseline = _once(
        "one logistic regression per arm over words (baseline)", lambda: _logistic(matrix)
    )
    row = _once("learn: fit, tune, certify", lambda: found.append(learn(matrix)))
    ratio = row.cpu_s / baseline.cpu_s
    return [baseline, replace(row, goal_s=GOALS["learning"], vs_baseline=ratio)], found[0]


def _logistic(matrix: OutcomeMatrix) -> None:
    table = HashingVectorizer(n_features=2**14).transform([text or "" for text in matrix.texts])
    for score in matrix.score.T:
        LogisticRegression(max_iter=500).fit(table, score > 0.5)


def _once(what: str, run: Callable[[], object]) -> Row:
    gc.collect()
    wall, cpu = time.perf_counter(), time.process_time()
    run()
    return Row(what, time.perf_counter() - wall, time.process_time() - cpu)


# --- report ----------------------------------------------------------------------------------------


def _show(title: str, rows: list[Row], *, unit: tuple[str, float]) -> None:
    name, scale = unit
    heading = f"{title}, {name}"
    print(f"\n{heading:<55}{'wall':>10}{'CPU':>10}{'least':>10}{'CPU ratio':>12}{'goal':>10}")
    for row in rows:
        shown = f"{row.wall_s * scale:>10.3f}{row.cpu_s * scale:>10.3f}"
        shown += "-".rjust(10) if row.least_s is None else f"{row.least_s * scale:>10.3f}"
        ratio = "-".rjust(12) if row.vs_baseline is None else f"{row.vs_baseline:>12.3g}"
        print(f"{row.what:<55}{shown}{ratio}{_goal(row):>10}")


def _goal(row: Row) -> str:
    if row.goal_s is None:
        return "-"
    return "met" if row.cpu_s <= row.goal_s else "MISSED"


def main() -> None:
    """Measure and print tables, then the same as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, default=500, help="live decisions")
    parser.add_argument("--tasks", type=int, default=100_000, help="tasks to replay")
    parser.add_argument("--rows", type=int, default=30_000, help="outcomes to learn from")
    options = parser.parse_args()
    learned, policy = learning(world(options.rows // ARMS))
    replayed = list(replays(options.tasks))
    decided = list(decisions(policy, calls=options.calls))
    _show("live", decided, unit=("ms per call", 1e3))
    _show(f"replay of {options.tasks:,} tasks x {ARMS} arms", replayed, unit=("s", 1.0))
    _show(f"learning from {options.rows:,} rows", learned, unit=("s", 1.0))
    machine: dict[str, Any] = {
        "python": platform.python_version(),
        "system": platform.platform(),
        "cpus": os.cpu_count(),
        "load_1min": os.getloadavg()[0],
    }
    rows = [asdict(row) for row in (*decided, *replayed, *learned)]
    print("\n" + json.dumps({"rows": rows, "machine": machine}))


if __name__ == "__main__":
    main()
