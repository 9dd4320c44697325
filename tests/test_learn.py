"""Learning: what pays is certified and followed, what does not is refused, and the file is honest."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import numpy as np
import pytest
from learn_data import ARMS, EASY, HARD, rows

from effortctl import Arm, AsyncController, ConfigError, Controller, Price, StoreError, Task
from effortctl._fitted_policy import FittedPolicy
from effortctl._learn import FEWEST_TASKS, cross_fit, fixed_choices, learn, tune
from effortctl._learn._learn import _split
from effortctl.estimators import load_prior
from effortctl.policies import Criteria, FixedLadder
from effortctl.stores import outcome_matrix, read_outcomes
from effortctl.testing import FakeBackend, answer

DATA = Path(__file__).parents[2] / "shared" / "data"
CODERS = ["GPT-4O-mini-2024-07-18", "DeepSeek-V3", "O4-Mini@low", "O4-Mini@medium", "O4-Mini@high"]
LADDER = [Arm(name=name, model=name, price=Price()) for name in ARMS]
LENIENT = Criteria(epsilon=0.05)


def a_day():
    return datetime(2026, 1, 2, tzinfo=UTC)


def world(*args, **options):
    return outcome_matrix(rows(*args, **options))


@pytest.fixture(scope="module")
def matrix():
    return world(420)


@pytest.fixture(scope="module")
def fitted(matrix):
    return learn(matrix, criteria=LENIENT, now=a_day)


@pytest.fixture(scope="module")
def uncertified():
    return learn(world(60), now=a_day)


def controller_of(policy, tried, **options):
    """A controller whose arms answer as in the made-up world."""

    def reply(call):
        tried.append(call.arm.name)
        hard = "permutation" in call.task.text
        return answer("wrong" if hard and call.arm.name == "small" else "right")

    backends = {"openai": FakeBackend(reply)}
    return policy.controller(
        LADDER, backends=backends, verify=lambda text: text == "right", **options
    )


# --- what pays, and what does not ------------------------------------------------------------------


def test_a_policy_that_pays_is_certified(fitted):
    plan, arm, ladder = fitted.results
    assert fitted.certificate.certified, fitted.certificate.reason
    assert (arm.arms, ladder.arms) == (("big",), ("small", "big"))
    assert plan.cost_usd < 0.85 * ladder.cost_usd < ladder.cost_usd < arm.cost_usd
    assert plan.quality > arm.quality - 0.02


def test_a_controller_starts_where_the_prompt_says(fitted):
    tried = []
    with controller_of(fitted, tried) as controller:
        easy, hard = (controller.run(text.format(5)) for text in (EASY, HARD))
    assert easy.accepted
    assert hard.accepted
    assert tried == ["small", "big"], "one call each"
    assert easy.trace.policy == "guarded:plan"
    assert fitted.plan(HARD.format(5)).first == "big"


def test_without_a_certificate_a_controller_climbs_the_best_fixed_ladder(uncertified):
    assert not uncertified.certificate.certified
    assert "do not route" in uncertified.certificate.reason
    assert isinstance(uncertified.policy().acting, FixedLadder)
    tried = []
    with controller_of(uncertified, tried) as controller:
        controller.run(HARD.format(5))
    assert tuple(tried) == uncertified.certificate.fallback == ("small", "big")


def test_shuffled_prompts_are_not_certified():
    matrices = [world(120, seed=seed, shuffled=True) for seed in range(20)]
    certified = sum(learn(m, criteria=LENIENT).certificate.certified for m in matrices)
    assert certified <= 1, "5 % of 20"


def test_a_useless_check_on_prompts_that_tell_nothing_is_not_certified():
    matrices = [world(120, seed=seed, shuffled=True) for seed in range(20)]
    learned = [learn(m, verifier=(0.5, 0.5), criteria=LENIENT) for m in matrices]
    assert sum(policy.certificate.certified for policy in learned) <= 1, "5 % of 20"


def test_a_check_that_says_nothing_leaves_one_try():
    policy = learn(world(200), verifier=(0.5, 0.5))
    assert not policy.certificate.certified
    silent = learn(world(200), verifier="none")
    assert silent.reliability == {"small": (1.0, 1.0), "big": (1.0, 1.0)}
    assert silent.replay(world(50, seed=1)).tried.sum(axis=1).max() == 1


# --- options ---------------------------------------------------------------------------------------


def test_a_recorded_check_is_measured():
    policy = learn(world(300, verdicts=True), verifier="recorded")
    for tpr, fpr in policy.reliability.values():
        assert tpr > 0.95
        assert 0.1 < fpr < 0.3
    with pytest.raises(ConfigError, match="verdicts"):
        learn(world(100), verifier="recorded")


def test_targets_are_met():
    matrix = world(300)
    cheap = learn(matrix, max_cost_usd=0.005)
    good = learn(matrix, min_quality=0.95)
    assert cheap.target.amount == 0.005
    assert cheap.value_usd < good.value_usd
    assert cheap.results[0].cost_usd <= 1.25 * 0.005
    assert learn(matrix, value_usd=0.5).value_usd == 0.5


def test_an_infeasible_target_names_the_nearest_feasible_one():
    with pytest.raises(ConfigError, match="nearest feasible target is min_quality"):
        learn(world(100), min_quality=1.0, arms=["small"])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"value_usd": 1.0, "min_quality": 0.5}, "give one of"),
        ({"verifier": "perfect"}, "expected 'exact', 'none', 'recorded'"),
        ({"verifier": (0.2, 0.9)}, "fpr <= tpr"),
        ({"arms": ["huge"]}, "no outcomes of arm 'huge'"),
    ],
)
def test_options_that_make_no_sense_are_refused(options, message):
    with pytest.raises(ConfigError, match=message):
        learn(world(40), **options)


def test_missing_dollars_are_refused():
    free = [row | ({"cost_usd": None} if row["arm"] == "big" else {}) for row in rows(40)]
    with pytest.raises(ConfigError, match="no cost_usd is recorded for arm 'big'"):
        learn(outcome_matrix(free))


@pytest.mark.parametrize(
    ("verifier", "fallback"), [("exact", ("small", "big")), ("none", ("big",))]
)
def test_too_few_complete_tasks_give_a_policy_without_a_certificate(tmp_path, verifier, fallback):
    policy = learn(world(FEWEST_TASKS - 1), verifier=verifier)
    certificate = policy.certificate
    assert (certificate.certified, certificate.n_needed) == (False, FEWEST_TASKS)
    assert f"{FEWEST_TASKS - 1} tasks were tried" in certificate.reason
    assert certificate.fallback == fallback
    assert (policy.results, policy.provenance.certify_tasks) == ((), 0)
    policy.save(tmp_path / "policy.json")
    assert FittedPolicy.load(tmp_path / "policy.json").to_json() == policy.to_json()


@pytest.mark.parametrize(
    "target", [{}, {"value_usd": 0.1}, {"min_quality": 0.8}, {"max_cost_usd": 0.008}]
)
def test_outcomes_where_no_task_has_every_arm_are_enough_for_any_target(target):
    never_both = world(80, skip=lambda i, arm: (i // 2 % 2 == 0) == (arm == "big"))
    policy = learn(never_both, **target)
    assert not policy.certificate.certified
    assert policy.value_usd > 0
    assert policy.plan(EASY.format(1)).first is not None


def test_more_arms_than_a_plan_can_hold_are_narrowed_down():
    many = {f"arm{j}": 0.001 * (j + 1) for j in range(10)}
    policy = learn(world(120, arms=many))
    assert 1 <= len(policy.model.arms) <= 8
    assert "arm0" in policy.arms
    assert set(policy.provenance.prices) == set(many), "the fixed choices came from all of them"


def test_steps_are_told_in_order():
    told = []
    learn(world(60), progress=lambda step, done: told.append((done, step)))
    assert told == sorted(told, key=lambda pair: pair[0])
    assert told[-1] == (1.0, "done")


def test_a_prior_speaks_where_outcomes_are_few():
    few = world(12)
    alone, advised = learn(few, value_usd=1.0), learn(few, value_usd=1.0, prior=load_prior())
    assert advised.model.to_json() != alone.model.to_json()
    assert not advised.certificate.certified


# --- the two parts ---------------------------------------------------------------------------------


def test_clusters_stay_together_and_every_task_is_in_one_part():
    matrix = world(300, clusters=23)
    split = _split(np.ones(300, dtype=bool), matrix.clusters, seed=0)
    parts = (split.learn, split.certify)
    assert sorted(np.concatenate(parts)) == list(range(300))
    clusters = [{matrix.clusters[i] for i in part} for part in parts]
    assert sum(map(len, clusters)) == len(set().union(*clusters)) == 23
    assert [len(part) / 300 for part in parts] == pytest.approx([0.7, 0.3], abs=0.05)


def test_clusters_are_what_the_certificate_counts():
    assert learn(world(120, clusters=12)).certificate.n <= 5
    alone = learn(world(120, clusters=1)).certificate
    assert (alone.certified, alone.n) == (False, 0)
    assert "2 clusters" in alone.reason


def kinds(tasks, number):
    """A world in which prompts tell nothing, but categories do: hard and easy tasks have their own."""
    made = rows(tasks)
    hard = {row["query_id"]: "permutation" in row["query"] for row in made}
    return outcome_matrix(
        [
            row
            | {
                "query": "the same words",
                "category": f"{'hard' if hard[row['query_id']] else 'easy'} {int(row['query_id'][1:]) % number}",
            }
            for row in made
        ]
    )


def test_tasks_of_known_categories_are_told_apart_by_them():
    policy = learn(kinds(300, 2), criteria=LENIENT)
    assert policy.model.provenance["grouped_by"] == "task"
    assert policy.certificate.certified, policy.certificate.reason
    first = {
        kind: policy.plan(Task(input="the same words", category=f"{kind} 1")).first
        for kind in ("easy", "hard")
    }
    assert first == {"easy": "small", "hard": "big"}


def test_for_tasks_of_new_categories_whole_ones_are_held_out_and_counted():
    matrix = kinds(300, 10)
    policy = learn(matrix, cluster_by="category", criteria=LENIENT)
    assert policy.model.provenance["grouped_by"] == "category"
    assert policy.certificate.n <= 8, "of twenty"
    assert not policy.certificate.certified
    known = policy.plan(Task(input="the same words", category="easy 1"))
    assert known == policy.plan(Task(input="the same words", category="hard 1"))
    with pytest.raises(ConfigError, match="expected 'cluster', 'category'"):
        learn(matrix, cluster_by="kind")


def test_a_task_some_arm_was_not_tried_on_only_helps_to_fit():
    matrix = world(200, skip=lambda i, arm: i % 2 == 0 and arm == "big")
    policy = learn(matrix)
    origin = policy.provenance
    assert (origin.learn_tasks, origin.certify_tasks) == (170, 30)
    with pytest.raises(ConfigError, match="misses an outcome"):
        policy.replay(matrix)


def test_the_outcomes_of_the_certificate_decide_nothing_but_the_certificate():
    matrix = world(150)
    split = _split(np.ones(len(matrix), dtype=bool), matrix.task_ids, seed=0)
    score = np.array(matrix.score)
    score[split.certify] = 1.0 - score[split.certify]
    changed = learn(replace(matrix, score=score), criteria=LENIENT, now=a_day)
    same = learn(matrix, criteria=LENIENT, now=a_day)
    assert changed.value_usd == same.value_usd
    assert changed.model.to_json() == same.model.to_json()
    assert [each.arms for each in changed.results] == [each.arms for each in same.results]
    assert changed.results[0].quality != same.results[0].quality


def test_no_task_is_tuned_on_by_a_model_that_saw_it():
    # Prompts that tell nothing: a model that had seen its tasks would find something in their texts.
    learned = cross_fit(world(150, shuffled=True, seed=3))
    expected = learned.forecast.p_correct[:, 0]
    assert abs(np.corrcoef(expected, learned.tasks.matrix.score[:, 0])[0, 1]) < 0.2


def test_the_parts_of_learning_serve_those_with_a_split_of_their_own(matrix):
    learned = cross_fit(matrix.select_tasks(range(250)))
    learned, target, value = tune(learned, None)
    assert (target.kind, len(learned.tasks)) == ("best_arm", 250)
    assert [choice.arms for choice in fixed_choices(learned.tasks, target)] == [
        ("big",),
        ("small", "big"),
    ]
    rest = learned.held_out(matrix.select_tasks(range(250, 420)))
    assert learned.run_plan(rest, value).quality.mean() > target.amount - 0.05


# --- traces ----------------------------------------------------------------------------------------


def traces_of(tasks):
    """What a controller that climbs the ladder leaves behind, and the prompts."""
    prompts = {f"t{i}": (HARD if i % 2 else EASY).format(i) for i in range(tasks)}
    # A made-up answer has 20 output tokens, so this is the price of a call.
    ladder = [
        Arm(name=arm, model=arm, price=Price(output_usd_per_mtok=Decimal(str(usd)) * 50_000))
        for arm, usd in ARMS.items()
    ]

    def reply(call):
        hard = "permutation" in call.task.text
        return answer("wrong" if hard and call.arm.name == "small" else "right")

    with Controller(
        ladder, backends={"openai": FakeBackend(reply)}, verify=lambda text: text == "right"
    ) as controller:
        done = [controller.run(Task(id=id_, input=text)) for id_, text in prompts.items()]
    return [outcome.trace for outcome in done], prompts


def test_traces_of_a_running_controller_are_learned_from():
    traces, prompts = traces_of(60)
    policy = learn(iter(traces), prompts=prompts)
    assert policy.provenance.tasks == 60
    assert policy.provenance.outcomes == 90
    assert policy.plan(EASY.format(100)).first == "small"


def test_traces_need_something_that_knows_what_was_correct():
    traces, prompts = traces_of(2)
    with pytest.raises(ConfigError, match="pass scores"):
        learn(traces, prompts=prompts, verifier=(0.9, 0.1))
    with pytest.raises(ConfigError, match="no attempt whose correctness is known"):
        learn([])


# --- value of time, prompt caches, agreement -------------------------------------------------------


def test_a_second_that_costs_much_makes_the_fast_arm_the_first(tmp_path):
    timed = outcome_matrix(
        [row | {"latency_s": 30.0 if row["arm"] == "small" else 1.0} for row in rows(120)]
    )
    patient, hasty = (learn(timed, value_usd=1.0, usd_per_second=usd) for usd in (0.0, 0.01))
    assert (patient.plan(EASY.format(1)).first, hasty.plan(EASY.format(1)).first) == (
        "small",
        "big",
    )
    assert hasty.latency_s == {"small": 30.0, "big": 1.0}
    estimate = hasty.estimator().estimate(Task(input="x"), LADDER)["small"]
    assert estimate.latency_s == 30.0
    hasty.save(tmp_path / "policy.json")
    again = FittedPolicy.load(tmp_path / "policy.json")
    assert again.policy().policy == hasty.policy().policy
    assert again.replay(timed).tried[:, 1].all()
    with pytest.raises(ConfigError, match="no latency_s is recorded for arm 'small'"):
        learn(world(60), usd_per_second=0.01)


def test_a_cold_prompt_cache_costs_only_where_somebody_knows_which_is_warm():
    policy = learn(world(60), switch_usd={"big": 0.5})
    assert policy.policy().policy.switch_usd == {}
    warm = policy.policy(warm_arm=lambda task: "small").policy
    assert warm.switch_usd == {"big": 0.5}


def answered(tasks=300, seed=0):
    """Right answers are `Paris`; each arm has its own wrong one, the dear arm is nearly always right."""
    arms = {"a": 0.001, "b": 0.001, "c": 0.02}
    made = rows(tasks, seed=seed, arms=arms)
    rng = np.random.default_rng(seed)
    for row in made:
        p = 0.97 if row["arm"] == "c" else 0.7
        right = bool(rng.random() < p)
        row |= {"score": float(right), "answer": " paris" if right else f"city {row['arm']}"}
    return outcome_matrix(made)


def test_where_nothing_checks_answers_they_are_compared(tmp_path):
    matrix = answered()
    policy = learn(matrix, verifier="agreement", value_usd=0.3)
    both_right, one_right, both_wrong = policy.agreement.pairs["a"]["b"]
    assert both_right > 0.95
    assert max(one_right, both_wrong) < 0.1
    replay = policy.replay(answered(seed=1))
    assert replay.quality.mean() > 0.85
    policy.save(tmp_path / "policy.json")
    again = FittedPolicy.load(tmp_path / "policy.json")
    assert again.agreement == policy.agreement
    assert again.policy().policy.compares
    assert [len(each.arms) for each in policy.results[1:]] == [1], "nothing tells a ladder to stop"
    with pytest.raises(ConfigError, match="none are recorded"):
        learn(world(60), verifier="agreement")


# --- the file --------------------------------------------------------------------------------------


def test_a_policy_survives_its_file(fitted, tmp_path):
    path = tmp_path / "deep" / "policy.json"
    fitted.save(path)
    again = FittedPolicy.load(path)
    assert again.to_json() == fitted.to_json()
    assert again.plan(HARD.format(3)) == fitted.plan(HARD.format(3))
    assert again.certificate == fitted.certificate
    assert [file.name for file in path.parent.iterdir()] == ["policy.json"]


def test_the_same_outcomes_and_seed_give_the_same_sorted_file(fitted, matrix, tmp_path):
    texts = []
    for number, policy in enumerate((fitted, learn(matrix, criteria=LENIENT, now=a_day))):
        policy.save(tmp_path / f"{number}.json")
        texts.append((tmp_path / f"{number}.json").read_text())
    assert texts[0] == texts[1]
    document = json.loads(texts[0])
    assert list(document) == sorted(document)
    assert document["provenance"]["created"] == "2026-01-02"
    assert document["provenance"]["libraries"].keys() >= {"effortctl", "numpy", "scikit-learn"}
    assert document["provenance"]["prices"]["big"] == pytest.approx(0.010, rel=0.05)


def test_the_file_holds_no_prompt(fitted, matrix, tmp_path):
    fitted.save(tmp_path / "policy.json")
    text = (tmp_path / "policy.json").read_text()
    prompts = [prompt for prompt in matrix.texts if len(prompt) > 20]
    assert len(prompts) == len(matrix)
    assert not any(prompt in text or prompt[:20] in text for prompt in prompts)


@pytest.mark.parametrize(
    ("swap", "message"),
    [
        (('"version": 1\n}\n', '"version": 2\n}\n'), "learn again with this version"),
        (('"value_usd": ', '"value_usd": NaN, "x": '), "which is no number"),
        (('"value_usd": ', '"value_usd": 1e999, "x": '), "a finite number"),
        (('"value_usd": ', '"value_usd": 0, "x": '), "above 0"),
        (('"fallback": [', '"fallback": [], "x": ['), "one arm or more"),
        (('"certified": true', '"certified": "yes"'), "one of"),
        (('"results": [', '"result": ['), "has no results"),
        (('"feature_hash": "', '"feature_hash": "0'), "learn again"),
    ],
)
def test_a_file_that_was_tampered_with_is_refused(fitted, tmp_path, swap, message):
    old, new = swap
    path = tmp_path / "policy.json"
    fitted.save(path)
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    with pytest.raises(StoreError, match=message):
        FittedPolicy.load(path)


@pytest.mark.parametrize("content", ["", "[]", "null", '{"format": "effortctl-policy"', "\udcff"])
def test_what_is_no_policy_is_refused(tmp_path, content):
    path = tmp_path / "policy.json"
    path.write_bytes(content.encode("utf-8", "surrogateescape"))
    with pytest.raises(StoreError, match="effortctl learn"):
        FittedPolicy.load(path)
    with pytest.raises(StoreError, match="there is no policy at"):
        FittedPolicy.load(tmp_path / "missing.json")


def test_a_truncated_file_is_refused(fitted, tmp_path):
    path = tmp_path / "policy.json"
    fitted.save(path)
    whole = path.read_text()
    for share in (0.1, 0.5, 0.99):
        path.write_text(whole[: int(share * len(whole))])
        with pytest.raises(StoreError):
            FittedPolicy.load(path)


def test_a_number_that_is_not_finite_is_not_written(fitted, tmp_path):
    with pytest.raises(StoreError, match="not written"):
        replace(fitted, value_usd=float("nan")).save(tmp_path / "policy.json")
    assert not list(tmp_path.iterdir())


def test_a_controller_takes_a_policy_or_its_file(fitted, tmp_path):
    fitted.save(tmp_path / "policy.json")
    backends = {"openai": FakeBackend(lambda _call: answer("right"))}
    for source in (fitted, tmp_path / "policy.json", str(tmp_path / "policy.json")):
        with Controller.from_policy(source, LADDER, backends=backends) as controller:
            assert controller.run(EASY.format(1)).trace.policy == "guarded:plan"
    asynchronous = AsyncController.from_policy(tmp_path / "policy.json", LADDER, max_calls=1)
    assert isinstance(asynchronous, AsyncController)
    with pytest.raises(StoreError, match="effortctl learn"):
        Controller.from_policy(tmp_path / "none.json", LADDER)


def test_a_ladder_without_an_arm_of_the_policy_is_refused(fitted):
    with pytest.raises(ConfigError, match="lacks arm 'small'"):
        fitted.controller(LADDER[1:])
    with pytest.raises(ConfigError, match="lacks arm 'small'"):
        fitted.async_controller(LADDER[1:])


# --- real outcomes ---------------------------------------------------------------------------------


@pytest.mark.skipif(not DATA.is_dir(), reason="recorded outcomes of the maintainers are absent")
def test_later_programming_problems_cost_little_more_than_half_of_the_best_arm_at_its_quality():
    matrix = read_outcomes(DATA / "livecodebench.jsonl.gz").select_arms(CODERS)
    order = np.argsort(matrix.dates, kind="stable")
    cut = int(0.7 * len(order))
    policy = learn(matrix.select_tasks(order[:cut]))
    later = matrix.select_tasks(order[cut:])
    replay = policy.replay(later)
    best = int(np.argmax(matrix.select_tasks(order[:cut]).score.mean(axis=0)))
    assert replay.quality.mean() > later.score[:, best].mean() - 0.01
    assert replay.cost_usd.mean() < 0.45 * later.cost_usd[:, best].mean()
