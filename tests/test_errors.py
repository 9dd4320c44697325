"""Errors survive pickling with all they carry, and never show a prompt."""

import copy
import inspect
import pickle
from concurrent.futures import ProcessPoolExecutor
from datetime import UTC, datetime
from decimal import Decimal
from multiprocessing import get_context

import pytest

from effortctl import _errors
from effortctl._errors import EffortctlError, EffortctlWarning
from effortctl._types import Answer, Attempt, Cost, Trace

CANARY = "canary-prompt-that-nobody-may-see"

ATTEMPT = Attempt(
    arm="small",
    model="m",
    requested_effort="low",
    effective_effort="low",
    max_output_tokens=10,
    answer=Answer(text=CANARY),
    cost=Cost(usd=Decimal("0.01"), source="user"),
)

TRACE = Trace(
    id="t",
    task_id="task",
    outcome="exhausted",
    attempts=(ATTEMPT,),
    policy="fixed",
    started_at=datetime(2026, 1, 1, tzinfo=UTC),
    metadata={"note": CANARY},
)

VALUES = {
    "trace": TRACE,
    "best": ATTEMPT,
    "arm": "small",
    "kind": "quota",
    "status": 429,
    "request_id": "req_1",
    "billed": True,
    "retry_after_s": 1.5,
    "supported": ("low", "high"),
    "verifier": "regex",
    "needed": Decimal("0.02"),
    "left": Decimal("0.01"),
}

ERRORS = [
    value
    for value in vars(_errors).values()
    if inspect.isclass(value) and issubclass(value, EffortctlError)
]


def accepted_names(error_class):
    """Keyword arguments the class takes, those it hands on to its bases included."""
    names = set()
    for base in error_class.__mro__:
        if base.__module__ == _errors.__name__ and "__init__" in vars(base):
            parameters = inspect.signature(base.__init__).parameters.values()
            names |= {p.name for p in parameters if p.kind is p.KEYWORD_ONLY}
            if not any(p.kind is p.VAR_KEYWORD for p in parameters):
                break
    return names - ({"kind"} if error_class is _errors.UnsupportedEffortError else set())


def full(error_class):
    """An error of this class with every attribute set."""
    names = accepted_names(error_class)
    assert names <= VALUES.keys(), f"give {names - VALUES.keys()} a value in this test"
    return error_class("what was wrong", **{name: VALUES[name] for name in names})


def throw(error):
    raise error


@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("error_class", ERRORS)
def test_an_error_pickles_with_all_its_attributes(error_class, protocol):
    error = full(error_class)
    again = pickle.loads(pickle.dumps(error, protocol))
    assert type(again) is error_class
    assert str(again) == "what was wrong"
    assert vars(again) == vars(error)
    assert vars(error).keys() >= accepted_names(error_class)


@pytest.mark.parametrize("error_class", ERRORS)
def test_an_error_copies_with_all_its_attributes(error_class):
    error = full(error_class)
    for again in (copy.copy(error), copy.deepcopy(error)):
        assert type(again) is error_class
        assert vars(again) == vars(error)


def test_errors_come_back_from_another_process():
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        for error_class in ERRORS:
            error = full(error_class)
            caught = pool.submit(throw, error).exception(timeout=60)
            assert type(caught) is error_class
            assert caught.trace == TRACE


@pytest.mark.parametrize("error_class", ERRORS)
def test_neither_str_nor_repr_shows_what_the_trace_holds(error_class):
    error = full(error_class)
    assert CANARY not in str(error)
    assert CANARY not in repr(error)


@pytest.mark.parametrize("error_class", ERRORS)
def test_attributes_have_defaults_unless_they_are_the_point(error_class):
    required = {"needed", "left"} & accepted_names(error_class)
    error = error_class("only a message", **{name: VALUES[name] for name in required})
    assert error.trace is None
    assert pickle.loads(pickle.dumps(error)).args == ("only a message",)


def test_the_tree_in_the_docstring_is_the_tree_in_the_code():
    drawn = [
        line.strip("│├└─ ").split()[0].partition("(")[0]
        for line in _errors.__doc__.splitlines()
        if line.startswith(("EffortctlError", "EffortctlWarning", "├", "│", "└"))
    ]
    assert sorted(drawn) == sorted(each.__name__ for each in [*ERRORS, EffortctlWarning])


def test_a_config_error_is_a_value_error_and_a_transient_one_a_backend_error():
    assert issubclass(_errors.ConfigError, ValueError)
    assert issubclass(_errors.TransientBackendError, _errors.BackendError)
    assert issubclass(_errors.UnsupportedEffortError, _errors.BackendError)
    assert issubclass(EffortctlWarning, UserWarning)
