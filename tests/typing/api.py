"""The types a user's editor sees. Checked by mypy, never executed."""

from typing import assert_type

from effortctl import (
    AsyncController,
    ChosenArm,
    Controller,
    FittedPolicy,
    Outcome,
    Trace,
    adaptive,
    learn,
)
from effortctl._decorator import Adaptive, AsyncAdaptive
from effortctl.stores import OutcomeMatrix


@adaptive("openai", verify="number:408", budget="$0.05")
def ask(arm: ChosenArm, question: str, *, dialect: str = "pg") -> int:
    return len(arm.model + question + dialect)


@adaptive("openai")
async def ask_async(arm: ChosenArm, question: str) -> list[str]:
    return [arm.model, question]


class Service:
    @adaptive("openai")
    def ask(self, arm: ChosenArm, question: str) -> float:
        return float(len(question + arm.model))

    @adaptive("openai")
    async def ask_async(self, arm: ChosenArm, question: str) -> bytes:
        return (question + arm.model).encode()


assert_type(ask("q", dialect="x"), int)
assert_type(ask.run("q"), Outcome[int])
ask.with_options(budget="$1")("q")
ask(1)  # type: ignore[arg-type]
ask("q", dialects="x")  # type: ignore[call-arg]

assert_type(Service().ask("q"), float)
assert_type(Service().ask.run("q"), Outcome[float])
Service().ask(1)  # type: ignore[arg-type]

assert_type(Controller("openai").run("q"), Outcome[str])


async def main() -> None:
    assert_type(await ask_async("q"), list[str])
    assert_type(await ask_async.run("q"), Outcome[list[str]])
    assert_type(await Service().ask_async("q"), bytes)
    assert_type(await AsyncController("openai").run("q"), Outcome[str])


def takes(one: Adaptive[[str], int], two: AsyncAdaptive[[str], list[str]]) -> None:
    assert_type(one("q"), int)


def learned(matrix: OutcomeMatrix, traces: list[Trace]) -> None:
    assert_type(learn(matrix), FittedPolicy)
    assert_type(learn(traces, prompts={"t1": "What is 17*24?"}), FittedPolicy)
    assert_type(Controller.from_policy(learn(matrix), "openai", verify="number:408"), Controller)
    assert_type(AsyncController.from_policy("policy.json", "openai"), AsyncController)
    learn(matrix, verifier="perfect")  # type: ignore[arg-type]
