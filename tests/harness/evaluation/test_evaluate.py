"""The whole way from outcome matrices to a verdict."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from evaluation_worlds import matrix_of

from effortctl import ConfigError
from effortctl._learn import learn
from effortctl.harness._result import EvalResult
from effortctl.harness.evaluation import evaluate
from effortctl.stores import read_outcomes

DATA = Path(__file__).parents[4] / "shared" / "data"
EASY = "Please say hello to the nice person number {}"
HARD = "Prove that the permutation polynomial of degree {} is irreducible over 17 fields"
PRICES = (0.001, 0.010)


def world(tasks=120, *, seed=0, prefix="t", clusters=None, arms=("small", "big")):
    """The small arm solves easy prompts only, the big one nearly all."""
    rng = np.random.default_rng(seed)
    hard = rng.random(tasks) < 0.4
    right = np.stack([~hard, rng.random(tasks) < 0.95], axis=1)
    texts = [(HARD if h else EASY).format(i) for i, h in enumerate(hard)]
    cost = np.array(PRICES) * np.exp(0.1 * rng.normal(size=(tasks, 2)))
    return matrix_of(right, cost, arms=arms, texts=texts, prefix=prefix, clusters=clusters)


@pytest.fixture(scope="module")
def result():
    return evaluate(world(seed=1, prefix="new"), learn=world(), name="made up")


def test_where_a_check_makes_escalation_pay_it_says_route(result):
    assert result.verdict.decision == "route"
    assert result.verdict.baseline == "big"
    assert result.verdict.ci95[0] > 0.2
    assert result.verdict.sentence.startswith(f"ROUTE: {result.verdict.policy} saves ")


def test_every_policy_arm_and_baseline_is_in_the_result(result):
    named = {"plan", "routing_only", "fixed_ladder", "random_mix", "fixed:small", "fixed:big"}
    assert named <= set(result.policies)
    assert set(result.frontier) == {"plan", "routing_only", "fixed_ladder", "random_mix"}
    assert named <= set(result.cost_at_equal_quality)
    assert result.best_fixed_arm == "big"
    assert result.best_fixed_ladder == ("small", "big")
    assert result.oracle.quality >= max(p.quality for p in result.policies.values())


def test_the_best_fixed_arm_costs_its_own_cost_and_the_worse_one_never_reaches_it(result):
    own = result.cost_at_equal_quality["fixed:big"]
    assert own.ratio_to_best_fixed_arm == pytest.approx(1)
    assert own.ci95 == pytest.approx((1, 1))
    assert result.cost_at_equal_quality["fixed:small"] is None


def test_random_mixing_spends_what_the_plan_spends(result):
    mix, plan = result.policies["random_mix"], result.policies["plan"]
    assert mix.cost_usd == pytest.approx(plan.cost_usd)
    assert mix.quality < plan.quality


def test_the_task_table_adds_up_to_the_means(result):
    for name, done in result.tasks.policies.items():
        assert np.mean(done.cost_usd) == pytest.approx(result.policies[name].cost_usd)
        assert np.mean(done.quality) == pytest.approx(result.policies[name].quality)
    for arm, scores in result.tasks.scores.items():
        assert np.mean(scores) == pytest.approx(result.arms[arm].quality)
    done, costs = result.tasks.policies["fixed_ladder"], result.tasks.costs_usd
    for i, calls in enumerate(done.calls):
        assert done.cost_usd[i] == pytest.approx(sum(costs[arm][i] for arm in calls))


def test_prompts_are_left_out_unless_asked_for(result):
    assert result.tasks.prompts == ()
    assert "hello" not in json.dumps(result.model_dump(mode="json"))


def test_the_result_survives_its_file(result, tmp_path):
    result.save(tmp_path / "r.json")
    assert EvalResult.load(tmp_path / "r.json") == result


def test_the_file_has_what_the_contract_names(result):
    fields = result.model_dump(mode="json")
    assert {"quality", "cost_usd"} <= set(fields["arms"]["big"])
    assert {"quality", "cost_usd", "quality_ci95", "cost_ci95"} <= set(fields["policies"]["plan"])
    assert set(fields["oracle"]) == {"quality", "cost_usd"}
    assert set(fields["cost_at_equal_quality"]["plan"]) == {
        "cost_usd",
        "ratio_to_best_fixed_arm",
        "ci95",
    }
    assert {"decision", "policy", "saving", "ci95", "reason", "n_needed"} <= set(fields["verdict"])
    assert all(len(point) == 2 for point in fields["frontier"]["plan"])


def test_the_same_seed_gives_the_same_result(result):
    again = evaluate(world(seed=1, prefix="new"), learn=world(), name="made up")
    assert again == result


def test_metrics_of_the_plan_are_those_of_its_tasks(result):
    plan, done = result.policies["plan"], result.tasks.policies["plan"]
    assert plan.metrics["cost_per_correct_usd"] == pytest.approx(
        sum(done.cost_usd) / sum(done.quality)
    )
    assert plan.metrics["calls_per_task"] == pytest.approx(np.mean([len(c) for c in done.calls]))
    assert plan.metrics["escalation_rate"] == pytest.approx(
        np.mean([len(c) > 1 for c in done.calls])
    )
    assert plan.metrics["false_accept_rate"] == 0
    assert sum(plan.spent_usd.values()) == pytest.approx(plan.cost_usd)
    assert result.policies["fixed:big"].metrics["wasted_spend_rate"] == 0


def test_without_learning_tasks_it_cross_fits_and_says_so():
    found = evaluate(world(clusters=[f"c{i % 20}" for i in range(120)]), verifier=(0.9, 0.1))
    assert any("cross-fit" in note for note in found.notes)
    assert any("simulated" in note for note in found.notes)
    assert found.policies["plan"].simulated
    assert not found.policies["fixed:big"].simulated
    assert found.provenance["folds"] == 5
    assert (found.n_tasks, found.n_clusters, found.verifier) == (120, 20, "0.9,0.1")


def test_mcnemars_test_is_left_out_where_tasks_hang_together(result):
    found = evaluate(world(clusters=[f"c{i % 20}" for i in range(120)]))
    assert found.policies["plan"].metrics["mcnemar_p"] is None
    assert result.policies["plan"].metrics["mcnemar_p"] is not None


def test_the_calibration_error_is_that_of_the_bins_beside_it(result):
    bins, total = result.calibration.bins, sum(b.count for b in result.calibration.bins)
    gaps = sum(b.count * abs(b.predicted - b.observed) for b in bins)
    assert total == result.n_tasks * len(result.arms)
    assert result.calibration.ece == pytest.approx(gaps / total)


def test_a_difference_of_nothing_at_all_could_still_hide_some(result):
    alone = result.policies[f"fixed:{result.best_fixed_arm}"].metrics
    assert alone["quality_minus_best_arm"] == 0
    assert alone["minimum_detectable_difference"] > 0


def test_a_value_target_is_judged_by_worth():
    found = evaluate(world(seed=1, prefix="new"), learn=world(), value_usd=0.1)
    assert found.provenance["target"] == "value_usd"
    assert found.policies["plan"].metrics["regret_usd"] >= 0
    assert found.verdict.decision == "route"


def test_without_a_check_nothing_escalates():
    found = evaluate(world(seed=1, prefix="new"), learn=world(), verifier="none")
    assert found.policies["fixed_ladder"].metrics["escalation_rate"] == 0
    assert len(found.best_fixed_ladder) == 1


def test_a_named_arm_that_was_not_recorded_is_an_error():
    with pytest.raises(ConfigError, match="'huge' is not there in the test outcomes"):
        evaluate(world(), arms=["small", "huge"])


def test_a_named_arm_that_is_missing_from_the_learning_file_is_an_error():
    with pytest.raises(ConfigError, match="'big' is not there in the learning outcomes"):
        evaluate(world(prefix="new"), learn=world(arms=("small", "other")), arms=["small", "big"])


def test_unnamed_arms_that_one_side_lacks_are_left_out_and_counted():
    found = evaluate(world(seed=1, prefix="new"), learn=world(arms=("small", "other")))
    assert list(found.arms) == ["small"]
    assert found.dropped["outcomes of arm big, which is not there in the learning outcomes"] == 120


def test_test_tasks_with_a_hole_are_left_out_and_counted():
    test = world(seed=1, prefix="new")
    holes = test.score.copy()
    holes[:7, 1] = np.nan
    found = evaluate(replace(test, score=holes), learn=world())
    assert found.dropped == {"test tasks without a score of every arm": 7}
    assert found.n_tasks == 113


def test_learning_tasks_that_are_judged_on_are_left_out():
    both = world(seed=1, prefix="t")
    found = evaluate(both.select_tasks(range(60)), learn=both)
    assert found.dropped == {"learning tasks that are also test tasks": 60}
    with pytest.raises(ConfigError, match="all learning tasks are also test tasks"):
        evaluate(both, learn=both)


def test_outcomes_without_dollars_are_refused():
    unpriced = world()
    unpriced = replace(unpriced, cost_usd=np.full(unpriced.score.shape, np.nan))
    with pytest.raises(ConfigError, match="without dollars there is no quality per dollar"):
        evaluate(unpriced)


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"verifier": "magic"}, "verifier is 'magic'"),
        ({"verifier": (0.2, 0.9)}, "0 <= fpr <= tpr <= 1"),
        ({"verifier": "recorded"}, "0 tasks to learn from"),
        ({"verifier": "agreement"}, "0 tasks to learn from"),
        ({"level": 95}, "level is 95"),
        ({"value_usd": 1, "min_quality": 0.5}, "give one of"),
        ({"min_quality": 1.5}, "min_quality is 1.5"),
    ],
)
def test_options_that_make_no_sense_are_refused(options, complaint):
    with pytest.raises(ConfigError, match=complaint):
        evaluate(world(), **options)


def test_one_cluster_cannot_teach_itself():
    with pytest.raises(ConfigError, match="all tasks are of one cluster"):
        evaluate(world(clusters=["same"] * 120))


@pytest.fixture(scope="module")
def policy():
    return learn(world(160, seed=2))


def test_a_learned_policy_is_judged_at_its_own_price_of_quality(policy):
    found = evaluate(world(seed=1, prefix="new"), policy=policy)
    assert found.provenance["plan_value_usd"] == policy.value_usd
    assert "The given policy was judged" in found.notes[0]
    replayed = policy.replay(world(seed=1, prefix="new"))
    assert found.policies["plan"].cost_usd == pytest.approx(replayed.cost_usd.mean())
    assert found.policies["plan"].quality == pytest.approx(replayed.quality.mean())


def test_learning_tasks_beside_a_policy_choose_the_fixed_arms_and_ladders(policy):
    found = evaluate(world(seed=1, prefix="new"), policy=policy, learn=world(160, seed=2))
    assert found.best_fixed_arm == "big"
    assert "ladders and fixed arms were chosen on the learning tasks" in found.notes[0]


def test_a_policy_judged_on_what_it_was_learned_from_says_so(policy):
    found = evaluate(world(160, seed=2), policy=policy)
    assert any("the very outcomes the policy was learned from" in note for note in found.notes)


def test_agreement_needs_learning_tasks_beside_a_policy(policy):
    said = np.full((120, 2), "yes", dtype=object)
    test = replace(world(seed=1, prefix="new"), answers=said)
    with pytest.raises(ConfigError, match="give the learning outcomes, too"):
        evaluate(test, policy=policy, verifier="agreement")


SETS = {
    "livecodebench": ("exact", ["GPT-4O-mini-2024-07-18", "DeepSeek-V3", "O4-Mini@medium"]),
    "routellm_gsm8k": ("none", None),
    "firstpass_mbpp_974_opus": ("recorded", None),
    "medagents": ("agreement", None),
}


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.skipif(not DATA.is_dir(), reason="the recorded sets are not here")
@pytest.mark.parametrize("name", SETS)
def test_recorded_sets_get_a_verdict(name):
    verifier, arms = SETS[name]
    matrix = read_outcomes(DATA / f"{name}.jsonl.gz")
    rows = np.random.default_rng(0).permutation(len(matrix))[:240]
    found = evaluate(
        matrix.select_tasks(rows[:120]),
        learn=matrix.select_tasks(rows[120:]),
        verifier=verifier,
        arms=arms,
    )
    assert found.verdict.sentence.startswith(("ROUTE: ", "KEEP ", "INCONCLUSIVE: need "))
    assert 0 <= found.policies["plan"].quality <= 1
