"""Which functions `adaptive` takes, how methods may be called, and that deadlines reach into coroutines."""

from __future__ import annotations

import asyncio
import functools
import inspect

import pytest

from effortctl import Arm, ChosenArm, ConfigError, DeadlineExceededError, Endpoint, Price, adaptive
from effortctl.stores import MemoryLedger

ARMS = [
    Arm(name=name, model=name, endpoint=Endpoint(name="own"), price=Price()) for name in ("a", "b")
]


def generator(arm):
    yield "408"


async def async_generator(arm):
    yield "408"


@pytest.mark.parametrize("fn", [generator, async_generator, functools.partial(generator)])
def test_a_generator_is_refused_when_it_is_decorated(fn):
    # It would be "accepted" before it has asked anybody, and what it asks later would never be booked.
    with pytest.raises(ConfigError, match="is a generator"):
        adaptive(ARMS)(fn)


def test_a_coroutine_for_a_result_is_not_taken_for_an_answer():
    async def work():
        return "408"

    @adaptive(ARMS)
    def ask(arm):
        return work()

    with pytest.raises(ConfigError, match="async def"):
        ask()


class Base:
    name = "base"

    @adaptive(ARMS)
    def ask(self, arm, question):
        return f"{self.name}: {question}"

    @adaptive(ARMS)
    async def aask(self, arm, question):
        return f"{self.name}: {question}"

    @classmethod
    @adaptive(ARMS)
    def of_class(cls, arm, question):
        return f"{cls.__name__}: {question}"

    @staticmethod
    @adaptive(ARMS)
    def of_nobody(arm, question):
        return question


class Derived(Base):
    name = "derived"

    @adaptive(ARMS)
    def ask(self, arm, question):
        return Base.ask(self, question) + "!"

    async def aask(self, question):
        return await Base.aask(self, question) + "!"


def test_a_method_can_be_called_on_its_class_as_overriding_methods_do():
    assert Derived().ask("x") == "derived: x!"
    assert Base.ask(Derived(), question="x") == "derived: x"
    assert asyncio.run(Derived().aask("x")) == "derived: x!"


def test_class_methods_and_static_methods_are_functions_of_their_own():
    assert (Derived.of_class("x"), Base().of_class("x")) == ("Derived: x", "Base: x")
    assert (Base.of_nobody("x"), Base().of_nobody("x")) == ("x", "x")


def test_a_coroutine_that_hangs_is_cancelled_at_the_deadline_and_paid_for():
    price = ARMS[0].model_copy(update={"price": Price(output_usd_per_mtok=1)})
    ledger, cancelled, told = MemoryLedger(), [], []

    @adaptive([price, *ARMS[1:]], deadline_s=0.2, ledger=ledger)
    async def ask(arm):
        told.append(arm.timeout_s)
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            cancelled.append(arm.name)
            raise

    with pytest.raises(DeadlineExceededError):
        asyncio.run(ask())
    assert cancelled == ["a"]
    assert 0 < told[0] <= 0.2
    (entry,) = ledger.entries()
    assert entry.estimated
    assert entry.cost_usd > 0


def test_a_timeout_of_the_coroutines_own_is_its_own_error():
    @adaptive(ARMS, deadline_s=30)
    async def ask(arm):
        raise TimeoutError("mine")

    with pytest.raises(TimeoutError, match="mine"):
        asyncio.run(ask())


def test_frameworks_that_look_at_the_signature_do_not_see_the_arm():
    @adaptive(ARMS)
    def ask(arm: ChosenArm, question: str, *, dialect: str = "pg") -> str:
        """Ask."""

    def wanted(question: str, *, dialect: str = "pg") -> str: ...

    assert inspect.signature(ask) == inspect.signature(wanted)
    assert str(inspect.signature(Base().ask)) == "(question)"
    assert str(inspect.signature(Base.ask)) == "(self, question)"
    assert str(inspect.signature(Base.aask)) == "(self, question)"
    assert str(inspect.signature(Base.of_class)) == "(question)"
    assert str(inspect.signature(adaptive(ARMS)(lambda *args: "x"))) == "(*args)"
    assert inspect.signature(ask.with_options(verify=None)) == inspect.signature(wanted)
