"""Agreement between arms as the only evidence: the live policy, in a controller, against replay."""

from __future__ import annotations

import asyncio
import gzip
import json
from decimal import Decimal
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from plan_worlds import quick

from effortctl import (
    Arm,
    AsyncController,
    ConfigError,
    Controller,
    EffortctlWarning,
    Endpoint,
    Price,
    TransientBackendError,
)
from effortctl._types import Estimate, Situation, Task
from effortctl.policies import (
    Agreement,
    AgreementTables,
    BeliefModel,
    Certificate,
    Forecast,
    Guarded,
    PlanPolicy,
    Recorded,
    Terms,
    answer_key,
    draw_verdicts,
    plan_task,
    replay_plan,
)
from effortctl.protocols import WeighingPolicy
from effortctl.testing import AsyncFakeBackend, FakeBackend, FakeClock, answer, scripted_verifier

DATA = Path(__file__).parents[3] / "shared" / "data" / "medagents.jsonl.gz"
TOKENS = 20
CHANCES = {"low": 0.70, "mid": 0.75, "high": 0.85}
COSTS = {"low": 0.0001, "mid": 0.001, "high": 0.01}
POLICY = PlanPolicy(value_usd=0.2, agreement=AgreementTables())
FAULT = TransientBackendError("slow down", kind="rate_limit")


class Forecaster:
    """An `Estimator` that knows the same of every task."""

    def __init__(self, p, usd, seconds=None):
        self.known = {
            name: Estimate(
                arm=name, p_correct=p[name], cost_usd=usd[name], latency_s=(seconds or {}).get(name)
            )
            for name in p
        }

    def estimate(self, _task, _arms):
        return self.known


def arm(name, usd=0.0, **more):
    """An arm whose every answer costs just so much."""
    price = Price(
        input_usd_per_mtok=Decimal(0), output_usd_per_mtok=Decimal(repr(usd)) * 1_000_000 / TOKENS
    )
    fields = {"max_output_tokens": TOKENS, "max_output_tokens_limit": TOKENS} | more
    return Arm(name=name, model=name, endpoint=Endpoint(name="fake"), price=price, **fields)


def controller(script, *, policy=POLICY, p=CHANCES, usd=COSTS, seconds=None, **options):
    options.setdefault("max_calls", 1)
    return Controller(
        [arm(name, usd[name]) for name in p],
        policy=policy,
        estimator=Forecaster(p, usd, seconds),
        backends={"fake": FakeBackend(script)},
        **options,
    )


def tried(outcome):
    return [attempt.arm for attempt in outcome.trace.attempts]


# --- live and replay -------------------------------------------------------------------------------


def made_up(seed, count):
    """A world of one task: (names, forecast, tables, answers)."""
    rng = np.random.default_rng(seed)
    names = [f"a{j}" for j in range(count)]
    forecast = Forecast(
        p_correct=rng.random((1, count)),
        cost_usd=rng.random((1, count)) / 50,
        arms=names,
        usd_left=rng.random() / 20 if rng.random() < 0.5 else None,
    )
    rates = rng.random((3, count, count)) if rng.random() < 0.5 else [1.0, 0.0, rng.random()]
    symmetric = [(each + each.T) / 2 if isinstance(each, np.ndarray) else each for each in rates]
    agreement = Agreement(both_right=symmetric[0], one_right=symmetric[1], both_wrong=symmetric[2])
    return names, forecast, agreement, [str(rng.integers(3)) for _ in names]


def live(names, forecast, policy, answers, **options):
    usd = dict(zip(names, forecast.cost_usd[0].tolist(), strict=True))
    budget = None if forecast.usd_left is None else Decimal(repr(float(forecast.usd_left[0])))
    run = controller(
        dict(zip(names, answers, strict=True)),
        policy=policy,
        p=dict(zip(names, forecast.p_correct[0].tolist(), strict=True)),
        usd=usd,
        **({} if budget is None else {"budget": budget}),
        **options,
    )
    return run.run("q"), budget


@quick
@given(st.integers(0, 2**32 - 1), st.integers(1, 5))
def test_a_controller_does_what_replay_did(seed, count):
    names, forecast, agreement, answers = made_up(seed, count)
    rho = np.random.default_rng(seed).uniform(-0.9, 0.9, count)
    value = np.random.default_rng(seed + 1).random()
    same = np.array([[[one == other for other in answers] for one in answers]])
    replayed = replay_plan(
        forecast,
        BeliefModel(rho=rho, agreement=agreement),
        Terms(value),
        recorded=Recorded(score=np.zeros((1, count)), verdicts=same),
    )
    policy = PlanPolicy(
        value_usd=value,
        rho=dict(zip(names, rho, strict=True)),
        agreement=AgreementTables.of(names, agreement),
    )
    outcome, budget = live(names, forecast, policy, answers)
    assert set(tried(outcome)) == {names[j] for j in np.flatnonzero(replayed.tried[0])}
    assert len(set(tried(outcome))) == len(tried(outcome))
    assert outcome.value == (answers[replayed.answer[0]] if replayed.answer[0] >= 0 else None)
    assert outcome.trace.outcome == ("accepted" if outcome.trace.attempts else "exhausted")
    assert budget is None or outcome.cost_usd <= budget


@quick
@given(st.integers(0, 2**32 - 1), st.integers(2, 4), st.randoms(use_true_random=False))
def test_the_order_of_the_ladder_does_not_matter(seed, count, rng):
    names, forecast, agreement, answers = made_up(seed, count)
    policy = PlanPolicy(value_usd=0.3, agreement=AgreementTables.of(names, agreement))
    order = rng.sample(range(count), count)
    shuffled = Forecast(
        p_correct=forecast.p_correct[:, order],
        cost_usd=forecast.cost_usd[:, order],
        usd_left=forecast.usd_left,
    )
    one, _ = live(names, forecast, policy, answers)
    two, _ = live([names[j] for j in order], shuffled, policy, [answers[j] for j in order])
    assert (tried(one), one.value) == (tried(two), two.value)


@quick
@given(st.integers(0, 2**32 - 1), st.integers(1, 4))
def test_with_a_noisy_check_the_answer_returned_is_that_of_replay_too(seed, count):
    rng = np.random.default_rng(seed)
    names, forecast, _, _ = made_up(seed, count)
    rho, tpr, fpr = rng.uniform(-0.9, 0.9, count), rng.random(count), rng.random(count)
    verdicts = draw_verdicts(rng.random((1, count)) < 0.3, tpr, fpr, rng=rng)
    replayed = replay_plan(
        forecast,
        BeliefModel(rho=rho, tpr=tpr, fpr=fpr, stop_on_pass=True),
        Terms(0.3),
        recorded=Recorded(score=np.zeros((1, count)), verdicts=verdicts),
    )
    policy = PlanPolicy(
        value_usd=0.3,
        **{
            name: dict(zip(names, numbers, strict=True))
            for name, numbers in (("rho", rho), ("tpr", tpr), ("fpr", fpr))
        },
    )
    check = scripted_verifier(dict(zip(names, verdicts[0].tolist(), strict=True)))
    outcome, _ = live(names, forecast, policy, names, verify=check, carry="none")
    assert set(tried(outcome)) == {names[j] for j in np.flatnonzero(replayed.tried[0])}
    assert outcome.value == (names[replayed.answer[0]] if replayed.answer[0] >= 0 else None)


def recorded_choices(count):
    """The first tasks of the recorded multiple-choice set: (arms, score, dollars, answers)."""
    tasks: dict[str, dict[str, dict[str, object]]] = {}
    with gzip.open(DATA, "rt", encoding="utf-8") as lines:
        for line in lines:
            row = json.loads(line)
            tasks.setdefault(row["query_id"], {})[row["arm"]] = row
    arms = sorted({name for rows in tasks.values() for name in rows})
    whole = [
        rows
        for rows in tasks.values()
        if all(name in rows and rows[name]["answer"] is not None for name in arms)
    ][:count]

    def field(name):
        return [[rows[each][name] for each in arms] for rows in whole]

    return arms, np.array(field("score"), float), np.array(field("cost_usd")), field("answer")


@pytest.mark.filterwarnings("ignore:.* was shut down:effortctl.EffortctlWarning")
@pytest.mark.skipif(not DATA.is_file(), reason="recorded outcomes of the maintainers are absent")
def test_on_recorded_multiple_choice_tasks_a_controller_does_what_replay_did():
    arms, score, usd, answers = recorded_choices(300)
    p, mean_usd = score.mean(axis=0), usd.mean(axis=0)
    forecast = Forecast(
        p_correct=np.broadcast_to(p, score.shape), cost_usd=np.broadcast_to(mean_usd, score.shape)
    )
    key = answer_key("choice")
    keys = np.array([[key(text) or "" for text in row] for row in answers])
    tables = AgreementTables(default=(1.0, 0.0, 0.4))
    replayed = replay_plan(
        forecast,
        BeliefModel(rho=0.7, agreement=tables.table(arms)),
        Terms(0.02),
        recorded=Recorded(score=score, verdicts=keys[:, :, None] == keys[:, None, :]),
    )
    assert len(score) == 300
    policy = PlanPolicy(value_usd=0.02, agreement=tables, same_answer="choice")
    known = [dict(zip(arms, numbers.tolist(), strict=True)) for numbers in (p, mean_usd)]
    for row, texts in enumerate(answers):
        run = controller(
            dict(zip(arms, texts, strict=True)), policy=policy, p=known[0], usd=known[1]
        )
        outcome = run.run("q")
        assert set(tried(outcome)) == {arms[j] for j in np.flatnonzero(replayed.tried[row])}
        assert outcome.value == texts[replayed.answer[row]]
    assert replayed.tried.sum(axis=1).max() > 1


# --- what a controller does without a check ---------------------------------------------------------


def test_two_arms_that_agree_end_the_task_unverified():
    outcome = controller({"low": "B", "mid": "B", "high": "C"}).run("q")
    assert tried(outcome) == ["low", "mid"]
    assert (outcome.accepted, outcome.verified, outcome.value) == (True, False, "B")
    assert outcome.trace.chosen == "low"


def test_two_arms_that_differ_lead_to_a_third():
    outcome = controller({"low": "A", "mid": "B", "high": "C"}).run("q")
    assert tried(outcome) == ["low", "mid", "high"]
    assert (outcome.value, outcome.trace.chosen) == ("C", "high")


def test_the_answer_most_likely_correct_is_returned_not_the_last_one():
    outcome = controller({"low": "A", "mid": "B", "high": "A"}).run("q")
    assert tried(outcome) == ["low", "mid", "high"]
    assert (outcome.value, outcome.trace.chosen) == ("A", "low")
    assert outcome.trace.best.arm == "low"


@pytest.mark.parametrize("first", ["A", " "])
def test_every_arm_is_asked_the_same_question(first):
    run = controller({"low": first, "mid": "B", "high": "C"})
    run.run("q")
    backend = run._given_backends["fake"]
    assert len(backend.calls) > 1
    assert {call.messages for call in backend.calls} == {backend.calls[0].messages}


def test_asyncio_gives_the_same():
    run = AsyncController(
        [arm(name, COSTS[name]) for name in CHANCES],
        policy=POLICY,
        estimator=Forecaster(CHANCES, COSTS),
        backends={"fake": AsyncFakeBackend({"low": "A", "mid": "B", "high": "A"})},
    )
    outcome = asyncio.run(run.run("q"))
    assert (tried(outcome), outcome.value) == (["low", "mid", "high"], "A")


@pytest.mark.parametrize(
    "nothing",
    [FAULT, answer("B", finish="truncated"), answer("  ")],
    ids=["fault", "cut off", "empty"],
)
def test_what_gives_no_answer_is_no_evidence(nothing):
    outcome = controller({"low": nothing, "mid": "B", "high": "B"}).run("q")
    two = {name: CHANCES[name] for name in ("mid", "high")}
    alone = controller({"mid": "B", "high": "B"}, p=two).run("q")
    assert tried(outcome) == ["low", *tried(alone)]
    assert outcome.trace.chosen == alone.trace.chosen in two


def test_an_answer_with_nothing_to_compare_is_no_evidence_but_better_than_none():
    policy = PlanPolicy(value_usd=0.2, agreement=AgreementTables(), same_answer="choice")
    outcome = controller({"low": "42", "mid": "Answer: B", "high": "B."}, policy=policy).run("q")
    assert tried(outcome)[0] == "low"
    assert outcome.trace.chosen != "low"
    mute = controller(dict.fromkeys(CHANCES, "42"), policy=policy).run("q")
    assert (mute.accepted, mute.value, mute.trace.chosen) == (True, "42", None)


def test_a_second_opinion_that_cannot_be_had_takes_nothing_from_the_first_answer():
    refused = controller({"low": "A", "mid": answer("no", finish="refused"), "high": "B"}).run("q")
    assert (refused.accepted, refused.value) == (True, "A")
    poor = controller({"low": "A", "mid": "B", "high": "B"}, budget="$0.0005").run("q")
    assert (tried(poor), poor.value, poor.accepted) == (["low"], "A", True)
    clock = FakeClock()
    late = controller(
        lambda call: (clock.advance(5), call.arm.name)[1], deadline_s=4, clock=clock
    ).run("q")
    assert (tried(late), late.value, late.accepted) == (["low"], "low", True)


def test_arms_that_do_not_fit_the_time_left_are_not_asked():
    seconds = {"low": 1.0, "mid": 60.0, "high": 2.0}
    outcome = controller(
        {"low": "A", "high": "B"}, seconds=seconds, deadline_s=10, clock=FakeClock()
    ).run("q")
    assert "mid" not in tried(outcome)


def test_an_arm_that_may_be_sampled_often_is_asked_once():
    arms = [arm(name, COSTS[name], samples=3) for name in CHANCES]
    run = Controller(
        arms,
        policy=POLICY,
        estimator=Forecaster(CHANCES, COSTS),
        backends={"fake": FakeBackend("A")},
    )
    assert tried(run.run("q")) == ["low", "mid"]


def test_a_check_has_the_last_word_where_there_is_one():
    passed = controller("A", verify=lambda _text: True).run("q")
    assert (tried(passed), passed.verified) == (["low"], True)
    failed = controller(
        {"low": "A", "mid": "B", "high": "B"}, verify=scripted_verifier(["fail", "abstain"])
    ).run("q")
    assert (tried(failed), failed.value) == (["low", "high"], "B")


def test_where_nothing_is_worth_its_price_nobody_is_asked():
    outcome = controller("A", policy=PlanPolicy(value_usd=1e-6, agreement=AgreementTables())).run(
        "q"
    )
    assert (outcome.trace.outcome, outcome.value, tried(outcome)) == ("exhausted", None, [])


def test_more_arms_than_a_plan_can_hold_are_no_trouble():
    p = {f"a{j}": 0.5 + 0.03 * j for j in range(11)}
    usd = {name: 0.0001 * (j + 1) for j, name in enumerate(p)}
    outcome = controller({name: name for name in p}, p=p, usd=usd).run("q")
    assert outcome.accepted
    assert 1 < len(tried(outcome)) == len(set(tried(outcome)))


@pytest.mark.parametrize("certified", [True, False])
def test_a_guarded_policy_compares_answers_only_if_it_acts(certified):
    certificate = Certificate(
        certified=certified,
        candidate="plan",
        claim="cheaper",
        fallback=("mid",),
        n=100,
        n_needed=None,
        alpha=0.05,
        epsilon=0.01,
        p_value=0.01,
        reason="",
        comparisons=(),
    )
    policy = Guarded(POLICY, certificate)
    assert isinstance(policy, WeighingPolicy)
    assert policy.compares is certified
    outcome = controller({"low": "A", "mid": "A"}, policy=policy).run("q")
    assert tried(outcome) == (["low", "mid"] if certified else ["mid"])
    assert outcome.trace.chosen == ("low" if certified else None)


def test_an_arm_that_was_tried_is_never_chosen_again_even_if_it_is_offered():
    run = controller({"low": "A", "mid": "B", "high": "C"})
    attempts = run.run("q").trace.attempts
    ladder = [arm(name) for name in CHANCES]
    for made in range(len(attempts) + 1):
        now = Situation(Task(input="q"), ladder, attempts[:made], Forecaster(CHANCES, COSTS).known)
        chosen = POLICY.choose(now)
        assert (chosen and chosen.name) == ([*CHANCES, None])[made]


def test_without_agreement_the_first_answer_still_ends_an_unchecked_task():
    outcome = controller("A", policy=PlanPolicy(value_usd=0.2)).run("q")
    assert (tried(outcome), outcome.trace.chosen) == (["low"], None)


def test_without_estimates_one_answer_is_enough():
    run = Controller(
        [arm("low"), arm("mid")], policy=POLICY, backends={"fake": FakeBackend(["", "A"])}
    )
    with pytest.warns(EffortctlWarning, match="no arm has an estimate"):
        outcome = run.run("q")
    assert (tried(outcome), outcome.value) == (["low", "mid"], "A")


# --- the explanation -------------------------------------------------------------------------------


def test_the_plan_says_what_agreement_and_its_absence_lead_to():
    forecast = Forecast(
        p_correct=[list(CHANCES.values())], cost_usd=[list(COSTS.values())], arms=list(CHANCES)
    )
    plan = plan_task(forecast, BeliefModel(rho=0.7, agreement=Agreement()), Terms(0.2))
    assert plan.order == ("low", "mid", "high")
    assert plan.evidence == "agreement"
    assert plan.steps[1].on_pass.do == "return"
    assert plan.steps[1].on_pass.arm == "low"
    assert plan.sentences[0] == "Ask low; then ask mid."
    assert plan.sentences[1].startswith("Ask mid; if it agrees with low: return low's answer")
    assert plan.sentences[1].endswith("if not: ask high.")
    assert json.loads(json.dumps(plan.why))["evidence"] == "agreement"


def test_a_plan_on_checks_speaks_of_checks():
    forecast = Forecast(p_correct=[[0.4, 0.8]], cost_usd=[[0.001, 0.02]], arms=("low", "high"))
    plan = plan_task(forecast, BeliefModel(rho=0.5), Terms(0.5))
    assert plan.evidence == "check"
    assert plan.sentences == (
        "Ask low; if its check passes: return low's answer (correct with P = 1.00); if not: ask high.",
        "Ask high; if its check passes: return high's answer (correct with P = 1.00); if not: give up.",
    )
    assert plan_task(forecast, BeliefModel(rho=0.5), Terms(1e-6)).sentences == (
        "Ask nobody: no arm is worth its price.",
    )


# --- tables and keys -------------------------------------------------------------------------------


def test_tables_keep_their_numbers_through_names_and_json():
    rng = np.random.default_rng(0)
    half = rng.random((3, 3, 3))
    both, one, none = (half + half.swapaxes(1, 2)) / 2
    names = ["x", "y", "z"]
    tables = AgreementTables.of(names, Agreement(both_right=both, one_right=one, both_wrong=none))
    again = AgreementTables(pairs=json.loads(json.dumps(tables.pairs)), default=tables.default)
    off = ~np.eye(3, dtype=bool)
    order = [2, 0, 1]
    found = again.table([names[j] for j in order])
    for name, wanted in (("both_right", both), ("one_right", one), ("both_wrong", none)):
        assert getattr(found, name)[off] == pytest.approx(wanted[np.ix_(order, order)][off])
    assert again.table(["x", "new"]).both_wrong[0, 1] == 0.3


@pytest.mark.parametrize(
    "fields",
    [
        {"default": (1.0, 0.0)},
        {"default": (1.0, 0.0, 1.5)},
        {"pairs": {"a": {"b": (1.0, float("nan"), 0.3)}}},
        {"pairs": {"a": {"b": (1.0, 0.0, 0.3)}, "b": {"a": (1.0, 0.0, 0.4)}}},
    ],
)
def test_rates_that_are_no_probabilities_are_refused(fields):
    with pytest.raises(ConfigError, match="agreement rates"):
        AgreementTables(**fields)


@pytest.mark.parametrize(
    ("name", "one", "other"),
    [
        ("text", " Paris\n", "paris"),
        ("choice", "B", "Because of X, the answer is (b)."),
        ("choice", "**B.** Anti-HBs", "It is not A.\nAnswer: B"),
        ("choice", "(B)", "Answer: B because of X"),
        ("choice", "B) yes", "#### \\boxed{B}"),
        ("number", "It costs $1,250.00", "First 3, then 4. Answer: 1250"),
        ("number", "-0.5", "So x = \u2212.5"),
    ],
)
def test_answers_that_mean_the_same_have_the_same_key(name, one, other):
    key = answer_key(name)
    assert key(one) is not None
    assert key(one) == key(other)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("choice", "A 45-year-old man"),
        ("choice", "The answer is a matter of taste"),
        ("text", " "),
        ("choice", "Both are right"),
        ("choice", ""),
        ("number", "no"),
    ],
)
def test_where_there_is_nothing_to_compare_there_is_no_key(name, text):
    assert answer_key(name)(text) is None


def test_a_function_that_fails_on_an_answer_costs_no_more_than_its_evidence():
    policy = PlanPolicy(value_usd=0.2, agreement=AgreementTables(), same_answer=int)
    with pytest.warns(EffortctlWarning, match="same_answer failed on an answer.*ValueError"):
        outcome = controller({"low": "one", "mid": "2", "high": "2"}, policy=policy).run("q")
    assert (outcome.accepted, outcome.value) == (True, "2")


def test_a_function_may_say_what_is_compared_and_an_unknown_name_is_refused():
    assert answer_key(len)("abc") == 3
    with pytest.raises(ConfigError, match="same_answer is 'vibes'"):
        PlanPolicy(value_usd=1.0, same_answer="vibes")
