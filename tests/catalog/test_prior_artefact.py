"""The shipped prior: there, small, whole, and refused when damaged."""

import copy
import json
import math
import subprocess
import sys

import pytest

from effortctl import StoreError
from effortctl.catalog._catalog import shipped
from effortctl.estimators import Prior, load_prior
from effortctl.estimators._prior_levels import LEVELS

FILE = shipped("prior", "prior.json")


@pytest.fixture
def record():
    return json.loads(FILE.read_text(encoding="utf-8"))


def damaged(record, path, value):
    *way, last = path
    place = record
    for step in way:
        place = place[step]
    if value is None:
        del place[last]
    else:
        place[last] = value
    return record


def test_it_is_small_and_names_its_data():
    assert len(FILE.read_bytes()) <= 400_000
    prior = load_prior()
    assert prior.quality["tasks"] > 20_000
    assert prior.created >= "2026-11-23"


def test_it_has_a_model_card_with_its_limits():
    card = shipped("prior", "README.md").read_text(encoding="utf-8")
    for section in (
        "## Data",
        "## What it predicts",
        "## How good it is",
        "## Limits",
        "## Fit it again",
    ):
        assert section in card


def test_reading_it_gives_back_what_was_written(record):
    assert Prior.from_json(record).to_json() == record


def test_it_is_read_once():
    assert load_prior() is load_prior()


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("format",), "something"),
        (("version",), 2),
        (("difficulty", "scorer", "feature_hash"), "0" * 16),
        (("difficulty", "scorer", "parts", "linear", "coef", 0), math.nan),
        (("difficulty", "scorer", "parts", "linear", "coef"), [0.0]),
        (("difficulty", "scorer", "parts", "linear", "scale", 0), 0.0),
        (("difficulty", "scorer", "bands"), [3.0, 2.0, 1.0, 0.0]),
        (("difficulty", "weight_sd"), 0.0),
        (("intercept", "base"), math.inf),
        (("intercept", "source_sd"), -1.0),
        (("intercept", "steps", "high"), -9.0),
        (("intercept", "steps", "high"), None),
        (("intercept", "steps", "huge"), 9.0),
        (("log_tokens", "log_price_range"), [2.0, 1.0]),
        (("slope_sd",), 0.0),
        (("task_sd",), "wide"),
        (("rho",), 1.0),
        (("rho",), None),
        (("quality",), []),
    ],
)
def test_damage_and_other_versions_are_refused(record, path, value):
    with pytest.raises(StoreError):
        Prior.from_json(damaged(copy.deepcopy(record), path, value))


def test_effort_never_lowers_accuracy_or_tokens():
    prior = load_prior()
    for levels in (prior.intercept, prior.log_tokens):
        steps = [levels.steps[level] for level in LEVELS]
        assert steps == sorted(steps)
        assert steps[0] < steps[3] < steps[4] < steps[5]
    assert prior.intercept.per_log_price > 0


def test_reading_it_loads_no_learning_library():
    code = (
        "import sys; from effortctl.estimators import load_prior; load_prior();"
        "print(*[n for n in ('sklearn', 'scipy', 'openai', 'diskcache') if n in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=100, check=True
    )
    assert done.stdout.split() == []
