"""Every public value, error and result pickles, copies, and goes to JSON and back."""

from __future__ import annotations

import copy
import importlib
import inspect
import json
import pickle
import pkgutil
from datetime import UTC, datetime
from decimal import Decimal

import pytest
from pydantic import BaseModel

import effortctl
from effortctl import (
    Answer,
    Arm,
    Attempt,
    Budget,
    Case,
    Controller,
    Endpoint,
    Estimate,
    Message,
    Price,
    Task,
    Trace,
    Usage,
    Verdict,
    load_ladder,
)
from effortctl._types import Cost
from effortctl.stores import MemoryLedger, TraceStore
from effortctl.testing import FakeBackend

USD = Decimal("0.0123456789012345678")
ENDPOINT = Endpoint(name="mine", base_url="http://127.0.0.1:1/v1", api_key_env="MINE_KEY")
PRICE = Price(input_usd_per_mtok=Decimal("0.1"), output_usd_per_mtok=USD)
ARM = Arm(name="m@low", model="m", effort="low", endpoint=ENDPOINT, price=PRICE)
USAGE = Usage(input_tokens=9, cached_tokens=3, output_tokens=7, reasoning_tokens=2)
ANSWER = Answer(text='4 "\u2028\U0001f600', usage=USAGE, latency_s=0.1, request_id="r1")
VERDICT = Verdict(status="fail", verifier="number", feedback="expected 5", cost_usd=USD)
TASK = Task(input=[Message(role="user", content="2+2?")], id="t", metadata={"a": "1"})
ATTEMPT = Attempt(
    arm="m@low",
    model="m",
    requested_effort="low",
    effective_effort="low",
    max_output_tokens=10,
    answer=ANSWER,
    verdict=VERDICT,
    cost=Cost(usd=USD, source="user"),
)
TRACE = Trace(
    id="t",
    task_id="task",
    outcome="exhausted",
    attempts=(ATTEMPT,),
    policy="ladder",
    started_at=datetime(2026, 11, 23, 12, 30, tzinfo=UTC),
    metadata={"note": "\ud7ff"},
)
VALUES = [
    ENDPOINT,
    PRICE,
    ARM,
    USAGE,
    ANSWER,
    VERDICT,
    TASK,
    ATTEMPT,
    TRACE,
    TASK.messages[0],
    Case(task=TASK, reference={"answer": 4}),
    Estimate(arm="m@low", p_correct=0.5, cost_usd=0.01),
    Budget.parse("$5/day"),
    load_ladder([ARM]),
]
NAMES = [type(value).__name__ for value in VALUES]


def public_modules():
    """The package and its families; one whose optional packages are missing is left out."""
    names = [f"effortctl.{found.name}" for found in pkgutil.iter_modules(effortctl.__path__)]
    for name in ["effortctl", *(name for name in names if not name.startswith("effortctl._"))]:
        try:
            yield importlib.import_module(name)
        except ModuleNotFoundError as error:
            if (error.name or "effortctl").startswith("effortctl"):
                raise


def public_classes(kind):
    """Classes of this kind that the package and its families list in `__all__`."""
    found = {
        value
        for module in public_modules()
        for value in (getattr(module, each) for each in getattr(module, "__all__", ()))
        if inspect.isclass(value) and issubclass(value, kind)
    }
    return sorted(found, key=lambda cls: cls.__name__)


def test_every_public_value_of_the_package_is_tried_here():
    listed = {getattr(effortctl, name) for name in effortctl.__all__}
    models = {value for value in listed if inspect.isclass(value) and issubclass(value, BaseModel)}
    assert models == {type(value) for value in VALUES} & models


@pytest.mark.parametrize("value", VALUES, ids=NAMES)
def test_a_value_goes_to_json_and_back(value):
    text = value.model_dump_json()
    again = type(value).model_validate_json(text)
    assert again == value
    assert again.model_dump_json() == text
    assert type(value).model_validate(json.loads(text)) == value


@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("value", VALUES, ids=NAMES)
def test_a_value_pickles_and_copies(value, protocol):
    for again in (pickle.loads(pickle.dumps(value, protocol)), copy.deepcopy(value)):
        assert again == value
        assert type(again) is type(value)


def outcome(**options):
    ctl = Controller([ARM], backends={"mine": FakeBackend("4")}, verify="number:4", **options)
    return ctl.run(TASK)


@pytest.mark.parametrize("kept", [False, True])
def test_an_outcome_pickles_with_its_trace_and_the_trace_goes_to_json(tmp_path, kept):
    traces = TraceStore(tmp_path / "traces.jsonl") if kept else None
    first = outcome(ledger=MemoryLedger(), traces=traces)
    again = pickle.loads(pickle.dumps(first))
    assert again.value == first.value
    assert again.trace == first.trace
    assert again.accepted
    assert Trace.model_validate_json(first.trace.model_dump_json()) == first.trace


def test_money_survives_to_the_last_digit():
    again = Trace.model_validate_json(TRACE.model_dump_json())
    assert again.cost_usd == TRACE.cost_usd == 2 * USD
    assert isinstance(again.cost_usd, Decimal)


def test_every_public_error_pickles_and_says_the_same():
    errors = public_classes(effortctl.EffortctlError)
    assert len(errors) >= 13
    for cls in errors:
        needs = {"needed", "left"} & set(inspect.signature(cls.__init__).parameters)
        error = cls("what was wrong", trace=TRACE, **dict.fromkeys(needs, USD))
        again = pickle.loads(pickle.dumps(error))
        assert type(again) is cls
        assert str(again) == str(error) == "what was wrong"
        assert vars(again) == vars(error)
        assert json.loads(again.trace.model_dump_json())["id"] == "t"


def test_public_models_of_every_family_pickle_as_classes():
    for cls in public_classes(BaseModel):
        assert pickle.loads(pickle.dumps(cls)) is cls
