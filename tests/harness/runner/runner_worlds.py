"""Small evaluations to run: sums, arms of a fake endpoint, and a backend that can wait and fail."""

import asyncio
from decimal import Decimal

from effortctl import Arm, Endpoint, Price
from effortctl._types import Answer, Usage
from effortctl.harness.datasets import load_dataset
from effortctl.harness.runner import EvalConfig, Inputs, Tools, run_eval

ENDPOINT = Endpoint(name="fake")
PRICE = Price(input_usd_per_mtok=Decimal(1), output_usd_per_mtok=Decimal(10))


def arm(name="a", *, price=PRICE, cap=100):
    return Arm(name=name, model=name, endpoint=ENDPOINT, price=price, max_output_tokens=cap)


ONE = (arm(),)


def rows(count):
    return [{"id": f"s{n}", "input": f"{n} plus {n}", "target": str(2 * n)} for n in range(count)]


def inputs_of(count=6, *, arms=ONE, metric="number", shard=None, verify=None, cases=None, **config):
    config = {"name": "sums", "dataset": "sums", "arms": ("x",), "metric": metric} | config
    dataset = load_dataset(cases or rows(count), metric=metric, verify=verify)
    return Inputs(
        config=EvalConfig(**config, verify=verify if isinstance(verify, str) else None),
        dataset=dataset,
        arms=tuple(arms),
        shard=shard,
    )


class Fake:
    """Doubles numbers; `script` may answer a call otherwise, or raise."""

    def __init__(self, script=None, *, latency_s=0.0):
        self.script = script
        self.latency_s = latency_s
        self.calls = []
        self.in_flight = 0
        self.high_water = 0

    async def complete(self, call):
        self.calls.append(call)
        self.in_flight += 1
        self.high_water = max(self.high_water, self.in_flight)
        try:
            await asyncio.sleep(self.latency_s)
            found = self.script(call, len(self.calls)) if self.script else None
        finally:
            self.in_flight -= 1
        if isinstance(found, BaseException):
            raise found
        if isinstance(found, Answer):
            return found
        number = int(call.task.text.split()[0])
        return Answer(
            text=found or str(2 * number), usage=Usage(input_tokens=10, output_tokens=number % 50)
        )

    def asked(self):
        return [(call.arm.name, call.task.id, call.sample_index) for call in self.calls]


async def no_wait(_seconds):
    await asyncio.sleep(0)


def run(inputs, folder, backend, **tools):
    return run_eval(
        inputs,
        folder,
        tools=Tools(**{"backends": {"fake": backend}, "sleep": no_wait, **tools}),
    )
