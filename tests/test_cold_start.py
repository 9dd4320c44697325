"""A policy without a single outcome: sensible, never certified, and outgrown by outcomes."""

import numpy as np
import pytest
from learn_data import EASY, rows

from effortctl import ConfigError, Controller, FittedPolicy, Task, cold_start, learn, load_ladder
from effortctl.catalog import shipped_ladders
from effortctl.policies import PlanPolicy
from effortctl.stores import OutcomeRow, outcome_matrix
from effortctl.testing import FakeBackend

TWO = [
    {"model": "gpt-6-luna", "effort": "none", "name": "small"},
    {"model": "gpt-6-astra", "effort": "high", "name": "big"},
]


def mean_p(policy, arm="small"):
    estimate = policy.model.estimates([Task(input=EASY.format(i)) for i in range(20)])
    return float(estimate.p[:, policy.model.arm_names.index(arm)].mean())


@pytest.mark.parametrize("name", shipped_ladders())
def test_every_shipped_ladder_can_be_planned_on_the_first_day(name):
    begun = cold_start(name)
    assert begun.on_trust
    assert begun.decides
    assert not begun.certificate.certified
    assert begun.provenance.outcomes == 0
    plan = begun.plan("What is the capital of France?")
    assert plan.first in {arm.name for arm in load_ladder(name).arms}
    assert set(begun.certificate.fallback) <= {arm.name for arm in load_ladder(name).arms}


def test_a_higher_value_buys_a_better_answer():
    plans = [cold_start("openai", value_usd=usd).plan("Why?") for usd in (1e-4, 0.01, 1.0)]
    assert [p.quality for p in plans] == sorted(p.quality for p in plans)
    assert plans[0].cost_usd < plans[-1].cost_usd


def test_it_survives_the_file_and_still_decides(tmp_path):
    begun = cold_start("openai")
    begun.save(tmp_path / "p.json")
    again = FittedPolicy.load(tmp_path / "p.json")
    assert again.on_trust
    assert again.plan("Why?") == begun.plan("Why?")
    assert isinstance(again.policy(), PlanPolicy)


def test_a_controller_follows_it():
    begun = cold_start(TWO)
    backend = FakeBackend(["no", "yes"])
    controller = Controller.from_policy(
        begun, TWO, backends={"openai": backend}, verify=lambda text: text == "yes"
    )
    outcome = controller.run("Is it?")
    assert outcome.accepted
    assert outcome.trace.policy == "plan"
    assert [attempt.arm for attempt in outcome.trace.attempts] == ["small", "big"]


@pytest.mark.parametrize("verifier", ["recorded", "agreement"])
def test_what_must_be_learned_cannot_be_begun_with(verifier):
    with pytest.raises(ConfigError, match="none yet"):
        cold_start("openai", verifier=verifier)


def test_outcomes_draw_it_away_from_the_prior_bit_by_bit():
    # In this world the small arm solves easy prompts nearly always.
    learned = []
    for tasks in (4, 40, 400):
        made = [OutcomeRow(**row) for row in rows(tasks) if row["query"].startswith(EASY[:10])]
        learned.append(learn(outcome_matrix(made), ladder=TWO, value_usd=0.05))
    chances = [mean_p(cold_start(TWO)), *(mean_p(policy) for policy in learned)]
    assert chances == sorted(chances), "more outcomes, further from the prior"
    assert chances[0] < 0.7
    assert chances[-1] > 0.9
    assert np.all(np.diff(chances) > 0)
    assert not any(policy.on_trust for policy in learned)
