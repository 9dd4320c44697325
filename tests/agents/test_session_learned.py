"""A session with a policy that was really learned: hard steps move the next ones up, easy ones down."""

from __future__ import annotations

import asyncio
from decimal import Decimal

import numpy as np
import openai
import pytest
from agent_clients import client_of

from effortctl import Session, learn
from effortctl.stores import OutcomeRow, outcome_matrix
from effortctl.testing import FakeClock, MockServer

LADDER = ["gpt-6-luna@none", "gpt-6-luna@medium", "gpt-6-sol@high"]
NONE, MEDIUM, HIGH = LADDER
USD = (0.004, 0.008, 0.016)
EASY = "Please say hello to the nice person number {}"
HARD = "Prove that the permutation polynomial of degree {} is irreducible over 17 fields"
RHO = 0.8
PROBIT = np.array([[1.2, 1.7, 2.3], [-1.0, 0.1, 1.8]])


@pytest.fixture(scope="module")
def policy():
    """Learned from tasks that look easy or hard, and have a hidden difficulty besides."""
    rng = np.random.default_rng(0)
    rows = []
    for i in range(1500):
        luck = RHO * rng.normal() + np.sqrt(1 - RHO**2) * rng.normal(size=3)
        rows += [
            OutcomeRow(
                query_id=f"q{i}",
                query=(HARD if i % 2 else EASY).format(i * 37 % 1000),
                arm=arm,
                score=float(luck[j] < PROBIT[i % 2, j]),
                cost_usd=usd * float(np.exp(0.1 * rng.normal())),
            )
            for j, (arm, usd) in enumerate(zip(LADDER, USD, strict=True))
        ]
    learned = learn(outcome_matrix(rows), value_usd=0.05)
    assert learned.certificate.certified, learned.certificate.reason
    return learned


@pytest.fixture
def server():
    """Steps that say "trap" are only solved by high effort; others by every arm."""
    trapped = lambda request: "trap" in str(request.body) and request.effort != "high"  # noqa: E731
    with MockServer(lambda request: "41" if trapped(request) else "408") as running:
        yield running


def session(server, policy, kind=openai.OpenAI, **options):
    return Session(
        client_of(server, kind),
        **{"ladder": LADDER, "policy": policy, "verify": "number:408"} | options,
    )


def walk(run, steps):
    """(difficulty before the step, arms it tried) of every step."""
    seen = []
    for text in steps:
        before = run.difficulty
        run.client.responses.create(model="auto", input=text)
        seen.append((before, [a.arm for a in run.steps[-1].trace.attempts]))
    return seen


CALM, TRAP = EASY.format(3), EASY.format(4) + " trap"


def test_after_failed_steps_the_next_one_starts_higher_and_comes_down_after_easy_ones(
    server, policy
):
    with session(server, policy) as run:
        seen = walk(run, [CALM, TRAP, TRAP, CALM, CALM, CALM, CALM])
    starts = [arms[0] for _, arms in seen]
    assert starts[:2] == [NONE, NONE]
    assert seen[1][1] == LADDER, "the trap is climbed to the top once"
    assert starts[2] == MEDIUM, "and the next step does not begin at the bottom again"
    assert seen[2][1] == [MEDIUM, HIGH]
    assert starts[-1] == NONE, "easy steps bring it down"
    believed = [difficulty for difficulty, _ in seen]
    assert believed[0] == pytest.approx(0.5)
    assert believed[1] < 0.5
    assert believed[2] > 0.8
    assert believed[3:] == sorted(believed[3:], reverse=True)
    assert run.spent_usd == sum(step.cost_usd for step in run.steps) > 0


def test_the_same_run_goes_the_same_way_again(server, policy):
    ways = []
    for _ in range(2):
        with session(server, policy) as run:
            ways.append(walk(run, [TRAP, CALM, HARD.format(5), TRAP, CALM]))
    assert ways[0] == ways[1]


def test_what_a_step_looks_like_counts_besides_how_the_run_goes(server, policy):
    with session(server, policy) as run:
        (_, easy), (_, hard) = walk(run, [CALM, HARD.format(5)])
    assert (easy[0], hard[0]) == (NONE, MEDIUM)


def test_one_run_says_nothing_about_another(server, policy):
    with session(server, policy) as run:
        walk(run, [TRAP, TRAP])
    with session(server, policy) as other:
        assert other.difficulty == pytest.approx(0.5)
        assert walk(other, [CALM])[0][1] == [NONE]


def test_expectations_in_the_trace_are_those_the_choice_was_made_with(server, policy):
    with session(server, policy) as run:
        walk(run, [CALM, TRAP, CALM])
    first, _, third = (step.trace.attempts[0].expected.p_correct for step in run.steps)
    assert third < first


def test_a_deadline_costs_no_new_controller(server, policy):
    clock = FakeClock()
    with session(server, policy, deadline_s=60, clock=clock) as run:
        walk(run, [CALM, TRAP])
        made = vars(run.client)["_effortctl_settings"]._controllers
        assert len(made) == 1
        (controller,) = made.values()
        walk(run, [CALM])
        assert list(made.values()) == [controller]


def test_steps_at_the_same_time_share_books_and_belief(server, policy):
    limit = Decimal("0.50")

    async def go():
        async with session(server, policy, openai.AsyncOpenAI, budget=limit) as run, run.client:
            calls = [
                run.client.responses.create(model="auto", input=f"{CALM} {n}", max_output_tokens=99)
                for n in range(20)
            ]
            await asyncio.gather(*calls)
        return run

    run = asyncio.run(go())
    assert len(run.steps) == 20
    assert run.difficulty < 0.5
    assert run.spent_usd == sum(step.cost_usd for step in run.steps) <= limit
