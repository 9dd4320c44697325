"""A forecast adds up, names what it does not know, and its intervals cover what comes."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from learn_data import rows

from effortctl import ConfigError, StoreError
from effortctl._learn import learn
from effortctl.harness.forecast import Volume, forecast, read_volumes
from effortctl.harness.forecast._monthly import DRAWS
from effortctl.stores import outcome_matrix, read_outcomes

DATA = Path(__file__).parents[3] / "shared" / "data"
VOLUMES = (Volume("easy", 100_000), Volume("hard", 20_000))


def world(*args, free=(), speed=50.0, **options):
    """Outcomes in two categories; arms in `free` cost no dollars."""
    made = rows(*args, **options)
    for row in made:
        row["category"] = "easy" if "hello" in row["query"] else "hard"
        row["output_tokens"] = 100 if row["category"] == "easy" else 500
        row["latency_s"] = row["output_tokens"] / speed
        if row["arm"] in free:
            row["cost_usd"] = 0.0
    return outcome_matrix(made)


@pytest.fixture(scope="module")
def policy():
    return learn(world(300), value_usd=0.05)


@pytest.fixture(scope="module")
def later():
    return world(300, seed=9)


def named(found):
    return {each.name: each for each in found.policies}


# --- sums ------------------------------------------------------------------------------------------


def test_a_fixed_arm_costs_its_mean_times_the_volume(policy, later):
    found = named(forecast(policy, VOLUMES, outcomes=later))["fixed:big"]
    j = later.arms.index("big")
    kinds = np.array(later.categories)
    means = [later.cost_usd[kinds == kind, j].mean() for kind in ("easy", "hard")]
    assert found.usd_per_month.value == pytest.approx(100_000 * means[0] + 20_000 * means[1])
    assert found.usd_per_month.low < found.usd_per_month.value < found.usd_per_month.high
    assert found.by_category["hard"] == pytest.approx(20_000 * means[1])
    assert found.quality > 0.9


def test_parts_add_up_for_every_choice(policy, later):
    for each in forecast(policy, VOLUMES, outcomes=later).policies:
        total = each.usd_per_month.value
        for parts in (each.by_model, each.by_provider):
            assert sum(part.value for part in parts.values()) == pytest.approx(total)
        assert sum(each.by_category.values()) == pytest.approx(total)


def test_the_plan_comes_first_and_saves_against_the_best_arm(policy, later):
    found = forecast(policy, VOLUMES, outcomes=later)
    assert found.policies[0].name == "plan"
    have = named(found)
    assert have["best_fixed_arm"].saving is None
    expected = 1 - have["plan"].usd_per_month.value / have["best_fixed_arm"].usd_per_month.value
    assert have["plan"].saving.value == pytest.approx(expected)
    assert have["plan"].saving.low < expected < have["plan"].saving.high


def test_twice_the_queries_cost_twice_as_much(policy, later):
    double = tuple(replace(v, queries_per_month=2 * v.queries_per_month) for v in VOLUMES)
    once, twice = (named(forecast(policy, v, outcomes=later)) for v in (VOLUMES, double))
    for name, each in once.items():
        assert twice[name].usd_per_month.value == pytest.approx(2 * each.usd_per_month.value)
        assert twice[name].usd_per_month.high == pytest.approx(2 * each.usd_per_month.high)


def test_it_is_repeatable_and_plain_json(policy, later):
    first, again = (forecast(policy, VOLUMES, outcomes=later).to_json() for _ in range(2))
    assert json.dumps(first, allow_nan=False) == json.dumps(again, allow_nan=False)


# --- intervals -------------------------------------------------------------------------------------


def test_uncertain_volumes_widen_the_dollars_but_not_the_saving(policy, later):
    sure = named(forecast(policy, VOLUMES, outcomes=later))
    unsure = named(forecast(policy, VOLUMES, outcomes=later, volume_uncertainty=0.2))
    relative = {}
    for which, found in (("sure", sure), ("unsure", unsure)):
        amount = found["fixed:big"].usd_per_month
        relative[which] = (amount.high - amount.low) / amount.value
    assert relative["sure"] < 0.1
    assert 0.7 < relative["unsure"] < 0.9  # four standard deviations of 20 %
    for end in ("low", "high"):
        kept = getattr(unsure["plan"].saving, end)
        assert kept == pytest.approx(getattr(sure["plan"].saving, end), abs=1e-9)


def test_clusters_widen_the_interval(policy):
    made = rows(300, seed=9, clusters=10)
    factors = np.random.default_rng(0).lognormal(0, 0.5, 10)
    for row in made:
        row["category"] = "all"
        row["cost_usd"] *= factors[int(row["cluster"][1:])]
    alone = [row | {"cluster": None} for row in made]
    widths = []
    for each in (made, alone):
        amount = named(forecast(policy, [Volume("all", 1000)], outcomes=outcome_matrix(each)))[
            "fixed:big"
        ].usd_per_month
        widths.append(amount.high - amount.low)
    assert widths[0] > 2 * widths[1]


@pytest.mark.parametrize(
    "skewed", [False, pytest.param(True, marks=pytest.mark.slow)], ids=["even", "skewed"]
)
def test_intervals_cover_the_true_mean(policy, skewed):
    rng = np.random.default_rng(11)
    template = world(40, seed=3)
    j = template.arms.index("big")
    hits = 0
    for _ in range(200):
        cost = template.cost_usd.copy()
        even = rng.gamma(4, 0.25, len(template))
        cost[:, j] = rng.lognormal(-0.5, 1.0, len(template)) if skewed else even
        found = forecast(policy, [Volume("any", 10)], outcomes=replace(template, cost_usd=cost))
        amount = named(found)["fixed:big"].usd_per_month
        hits += amount.low <= 10 <= amount.high
    assert 0.91 <= hits / 200 <= 0.99
    assert DRAWS >= 2000


# --- categories and prompts ------------------------------------------------------------------------


def test_a_category_without_outcomes_is_pooled_and_named(policy, later):
    found = forecast(policy, [Volume("legal", 1000)], outcomes=later)
    assert "'legal'" in found.warnings[0]
    assert "easy, hard" in found.warnings[0]
    j = later.arms.index("big")
    big = named(found)["fixed:big"]
    assert big.usd_per_month.value == pytest.approx(1000 * later.cost_usd[:, j].mean())
    with pytest.raises(ConfigError, match="'legal'"):
        forecast(policy, [Volume("legal", 1000)], outcomes=later, strict=True)


def test_longer_prompts_cost_what_the_cost_curves_say():
    rng = np.random.default_rng(0)
    made = []
    for i in range(300):
        words = int(rng.integers(5, 400))
        for arm, usd in (("small", 1e-5), ("big", 4e-5)):
            made.append(
                {
                    "query_id": f"q{i}",
                    "query": "word " * words,
                    "arm": arm,
                    "category": "all",
                    "score": float(rng.random() < 0.8),
                    "cost_usd": usd * words,
                }
            )
    matrix = outcome_matrix(made)
    found = learn(matrix, value_usd=0.05)
    costs = []
    for tokens in (50, 300):
        volumes = [Volume("all", 1000, tokens)]
        costs.append(
            named(forecast(found, volumes, outcomes=matrix))["fixed:big"].usd_per_month.value
        )
    assert 3 < costs[1] / costs[0] < 9
    far = forecast(found, [Volume("all", 1000, 100_000)], outcomes=matrix)
    assert any("longer than any learned from" in each for each in far.warnings)
    silent = replace(matrix, texts=(None,) * len(matrix))
    blind = forecast(found, [Volume("all", 1000, 300)], outcomes=silent)
    assert any("prompt_tokens was ignored for all" in each for each in blind.warnings)


# --- local arms ------------------------------------------------------------------------------------


def test_local_arms_cost_the_hours_they_took(policy):
    here = world(300, seed=9, free=["small"])
    found = named(forecast(policy, VOLUMES, outcomes=here, gpu_usd_per_hour=1.2))
    hours = (100_000 * 2 + 20_000 * 10) / 3600
    assert found["fixed:small"].gpu_hours.value == pytest.approx(hours)
    assert found["fixed:small"].usd_per_month.value == pytest.approx(1.2 * hours)
    assert found["fixed:small"].by_provider.keys() == {"local"}
    assert found["fixed:big"].gpu_hours.value == 0
    double = named(forecast(policy, VOLUMES, outcomes=here, gpu_usd_per_hour=2.4))
    assert double["fixed:small"].usd_per_month.value == pytest.approx(2.4 * hours)


def test_seconds_that_are_missing_follow_from_tokens_at_the_measured_speed(policy):
    here = world(300, seed=9, free=["small"])
    holes = here.latency_s.copy()
    holes[::2] = np.nan
    found = named(
        forecast(policy, VOLUMES, outcomes=replace(here, latency_s=holes), gpu_usd_per_hour=1.2)
    )
    hours = (100_000 * 2 + 20_000 * 10) / 3600
    assert found["fixed:small"].gpu_hours.value == pytest.approx(hours)


def test_a_local_arm_must_be_known_and_timed(policy, later):
    with pytest.raises(ConfigError, match="none is known to run on your machine"):
        forecast(policy, VOLUMES, outcomes=later, gpu_usd_per_hour=1.0)
    with pytest.raises(ConfigError, match="no arm 'tiny'"):
        forecast(policy, VOLUMES, outcomes=later, gpu_usd_per_hour=1.0, local=["tiny"])
    untimed = replace(later, latency_s=np.full(later.latency_s.shape, np.nan))
    with pytest.raises(ConfigError, match="no latency_s is recorded for the local arm 'small'"):
        forecast(policy, VOLUMES, outcomes=untimed, gpu_usd_per_hour=1.0, local=["small"])


def test_free_arms_without_a_price_are_pointed_out(policy):
    found = forecast(policy, VOLUMES, outcomes=world(300, seed=9, free=["small"]))
    assert any("Recorded as free: small" in each for each in found.warnings)


# --- without outcomes ------------------------------------------------------------------------------


def test_the_policys_own_file_gives_means_without_intervals(policy):
    found = forecast(policy, VOLUMES)
    held_out = next(each for each in policy.results if not each.arms)
    plan = named(found)["plan"]
    assert plan.usd_per_month.value == pytest.approx(120_000 * held_out.cost_usd)
    assert plan.usd_per_month.low is None
    assert (found.source, found.n_tasks) == ("policy", 0)
    assert "Without outcomes" in found.warnings[0]
    with pytest.raises(ConfigError, match="need recorded outcomes"):
        forecast(policy, VOLUMES, volume_uncertainty=0.2)


def test_outcomes_it_was_learned_from_and_gaps_are_pointed_out(policy):
    own = forecast(policy, VOLUMES, outcomes=world(300))
    assert any("very outcomes the policy was learned from" in each for each in own.warnings)
    gaps = world(300, seed=9, skip=lambda i, arm: i < 20 and arm == "big")
    found = forecast(policy, VOLUMES, outcomes=gaps)
    assert found.n_tasks == 280
    assert any("20 tasks that not every arm" in each for each in found.warnings)
    with pytest.raises(ConfigError, match="no outcomes of arm 'big'"):
        forecast(policy, VOLUMES, outcomes=world(30, arms={"small": 0.004}))


@pytest.mark.parametrize(
    "change", [{"level": 1.0}, {"volume_uncertainty": 5.0}, {"gpu_usd_per_hour": -1.0}]
)
def test_senseless_options_are_refused(policy, later, change):
    with pytest.raises(ConfigError):
        forecast(policy, VOLUMES, outcomes=later, **change)


# --- the file of volumes ---------------------------------------------------------------------------


def test_volumes_are_read_with_spare_columns_and_blanks(tmp_path):
    path = tmp_path / "v.csv"
    path.write_text(
        "\ufeffcategory, queries_per_month,prompt_tokens,who\neasy, 1200,,me\nhard,5,800,you\n"
    )
    assert read_volumes(path) == (Volume("easy", 1200), Volume("hard", 5, 800))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("category\neasy\n", "no column 'queries_per_month'"),
        ("category,queries_per_month\n", "holds no row"),
        ("category,queries_per_month\neasy,many\n", "line 2: queries_per_month is 'many'"),
        ("category,queries_per_month\neasy,-1\n", "expected a number"),
        ("category,queries_per_month\neasy,nan\n", "expected a number"),
        ("category,queries_per_month\n,3\n", "the category is empty"),
        ("category,queries_per_month\neasy,1\neasy,2\n", "comes twice"),
        ("category,queries_per_month\neasy,1,2\n", "number of columns"),
        ("category,queries_per_month\neasy,0\n", "no queries at all"),
    ],
)
def test_volumes_that_make_no_sense_are_refused(tmp_path, text, message):
    path = tmp_path / "v.csv"
    path.write_text(text)
    with pytest.raises(ConfigError, match=message):
        read_volumes(path)


def test_a_missing_file_of_volumes_is_named(tmp_path):
    with pytest.raises(StoreError, match=r"nope\.csv"):
        read_volumes(tmp_path / "nope.csv")


@pytest.mark.skipif(not DATA.is_dir(), reason="the recorded outcomes are not part of the project")
def test_recorded_verdicts_of_a_real_check_are_replayed():
    matrix = read_outcomes(DATA / "firstpass_mbpp_974_opus.jsonl.gz")
    half = len(matrix) // 2
    found = learn(matrix.select_tasks(range(half)), verifier="recorded")
    rest = matrix.select_tasks(range(half, len(matrix)))
    told = named(forecast(found, [Volume("any", 10_000)], outcomes=rest))
    for arm in matrix.arms:
        mean = np.nanmean(rest.cost_usd[:, rest.arms.index(arm)])
        assert told[f"fixed:{arm}"].usd_per_month.value == pytest.approx(10_000 * mean, rel=0.02)
