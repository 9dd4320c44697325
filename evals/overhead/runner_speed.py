"""What the eval runner adds to a call, and how near it comes to the ideal at many calls at once.

Two questions, answered on an in-process fake with journal, response cache, ledger, budget and retries on:
CPU milliseconds per sample when answers come at once, and the share of the ideal throughput when every
answer takes 50 ms and 100 may be in flight. Where inspect_ai is installed, it does the same samples with
its own mock model. Run it with `python evals/overhead/runner_speed.py`.
"""

from __future__ import annotations

import argparse
import asyncio
import importlib.util
import json
import os
import platform
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from decimal import Decimal
from pathlib import Path
from typing import Any

from effortctl import Arm, Endpoint, Price
from effortctl._types import Answer, Call, Usage
from effortctl.harness.datasets import load_dataset
from effortctl.harness.runner import EvalConfig, Inputs, RunSummary, Tools, run_eval
from effortctl.stores import DiskCache

ARM = Arm(
    name="fake",
    model="fake",
    endpoint=Endpoint(name="fake"),
    price=Price(input_usd_per_mtok=Decimal(1), output_usd_per_mtok=Decimal(10)),
)
USAGE = Usage(input_tokens=100, output_tokens=20, reasoning_tokens=0)
QUESTION = "What is {n} plus {n}? Explain each step, then answer with a number on the last line."


class Fake:
    """Answers after a while."""

    def __init__(self, latency_s: float) -> None:
        self._latency_s = latency_s

    async def complete(self, call: Call) -> Answer:
        """Return the right answer."""
        await asyncio.sleep(self._latency_s)
        number = call.task.text.split()[2]
        text = f"Adding {number} to itself doubles it.\n{2 * int(number)}"
        return Answer(text=text, usage=USAGE, latency_s=self._latency_s, model="fake")


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One measured way to do the samples; the last share is until the last answer, without the tables."""

    name: str
    samples: int
    concurrency: int
    latency_ms: float
    cpu_ms_per_sample: float
    wall_s: float
    share_of_ideal: float | None
    answers_share_of_ideal: float | None = None


def inputs_of(count: int, concurrency: int) -> Inputs:
    """A run over `count` sums."""
    rows = [
        {"id": f"s{n}", "input": QUESTION.format(n=n), "target": str(2 * n)} for n in range(count)
    ]
    dataset = load_dataset(rows, metric="contains")
    config = EvalConfig(
        name="speed",
        dataset="sums",
        arms=("fake",),
        max_concurrency=concurrency,
        budget_usd=Decimal(1000),
    )
    return Inputs(config=config, dataset=dataset, arms=(ARM,))


def measured(name: str, work: Callable[[], object], *, shape: tuple[int, int, float]) -> Row:
    """Time a piece of work; shape is (samples, concurrency, seconds of latency)."""
    samples, concurrency, latency_s = shape
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    wall_s, cpu_s = time.perf_counter() - wall, time.process_time() - cpu
    ideal_s = latency_s * samples / concurrency
    return Row(
        name=name,
        samples=samples,
        concurrency=concurrency,
        latency_ms=latency_s * 1000,
        cpu_ms_per_sample=cpu_s * 1000 / samples,
        wall_s=wall_s,
        share_of_ideal=ideal_s / wall_s if latency_s else None,
    )


def ours(name: str, *, shape: tuple[int, int, float], cached: bool = True) -> Row:
    """The runner, everything on. Loading the tasks is not part of the measurement."""
    samples, concurrency, latency_s = shape
    inputs = inputs_of(samples, concurrency)
    summaries: list[RunSummary] = []
    told_at: list[float] = []
    with tempfile.TemporaryDirectory() as text, DiskCache(Path(text) / "cache") as cache:
        tools = Tools(
            backends={"fake": Fake(latency_s)},
            cache=cache if cached else None,
            on_progress=lambda _: told_at.append(time.perf_counter()),
        )
        folder = Path(text) / "run"
        began = time.perf_counter()
        row = measured(
            name, lambda: summaries.append(run_eval(inputs, folder, tools=tools)), shape=shape
        )
    assert summaries[0].done == samples  # noqa: S101 - a wrong measurement is worse than none
    assert summaries[0].quality == {"fake": 1.0}  # noqa: S101 - as above
    ideal_s = latency_s * samples / concurrency
    return replace(row, answers_share_of_ideal=ideal_s / (told_at[-1] - began) or None)


def bare(*, shape: tuple[int, int, float]) -> Row:
    """The baseline: the fake and a pool of workers, nothing kept."""
    samples, concurrency, latency_s = shape
    inputs = inputs_of(samples, concurrency)
    backend = Fake(latency_s)

    async def work(calls: Any) -> None:
        for call in calls:
            await backend.complete(call)

    async def everything() -> None:
        calls = (inputs.call(cell) for cell in inputs.cells())
        await asyncio.gather(*(work(calls) for _ in range(concurrency)))

    return measured("bare asyncio pool", lambda: asyncio.run(everything()), shape=shape)


def theirs(*, shape: tuple[int, int, float]) -> Row:
    """inspect_ai with its mock model, logs on disk."""
    import inspect_ai  # type: ignore[import-not-found,unused-ignore]  # noqa: PLC0415 - optional
    from inspect_ai.dataset import Sample  # type: ignore[import-not-found,unused-ignore]  # noqa: PLC0415
    from inspect_ai.model import (  # type: ignore[import-not-found,unused-ignore]  # noqa: PLC0415
        ModelOutput,
        get_model,
    )
    from inspect_ai.scorer import includes  # type: ignore[import-not-found,unused-ignore]  # noqa: PLC0415

    samples, concurrency, latency_s = shape

    async def answer(messages: Any, *_: Any) -> Any:
        await asyncio.sleep(latency_s)
        number = messages[-1].text.split()[2]
        return ModelOutput.from_content("mockllm/model", f"{2 * int(number)}")

    data = [
        Sample(id=n, input=QUESTION.format(n=n), target=str(2 * n)) for n in range(1, samples + 1)
    ]
    model = get_model("mockllm/model", custom_outputs=answer)
    task = inspect_ai.Task(dataset=data, scorer=includes())
    with tempfile.TemporaryDirectory() as folder:
        return measured(
            f"inspect_ai {inspect_ai.__version__}",
            lambda: inspect_ai.eval(
                task,
                model=model,
                log_dir=folder,
                display="none",
                max_connections=concurrency,
                max_samples=concurrency,
            ),
            shape=shape,
        )


def main() -> None:
    """Measure and print a table, then the same as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--samples", type=int, default=2000, help="samples per row")
    parser.add_argument("--slow-samples", type=int, default=5000, help="samples at 50 ms")
    options = parser.parse_args()
    at_once, slow = (options.samples, 100, 0.0), (options.slow_samples, 100, 0.05)
    ours("warm-up", shape=(100, 20, 0.0))
    rows = [
        bare(shape=at_once),
        ours("runner: journal, cache, ledger, budget", shape=at_once),
        ours("runner without the response cache", shape=at_once, cached=False),
        bare(shape=slow),
        ours("runner: journal, cache, ledger, budget", shape=slow),
    ]
    if importlib.util.find_spec("inspect_ai") is not None:
        theirs(shape=(100, 20, 0.0))
        rows += [theirs(shape=at_once), theirs(shape=(options.samples, 100, 0.05))]
    print(
        f"{'':<42}{'latency':>8}{'CPU ms/sample':>15}{'wall s':>9}{'of ideal':>10}{'to last answer':>16}"
    )
    for row in rows:
        shares = (row.share_of_ideal, row.answers_share_of_ideal)
        ideal, answers = ("" if share is None else f"{share:.0%}" for share in shares)
        print(
            f"{row.name:<42}{row.latency_ms:>6.0f}ms{row.cpu_ms_per_sample:>15.3f}{row.wall_s:>9.2f}"
            f"{ideal:>10}{answers:>16}"
        )
    machine = {
        "python": platform.python_version(),
        "system": platform.platform(),
        "cpus": os.cpu_count(),
        "load_1min": os.getloadavg()[0],
    }
    print("\n" + json.dumps({"rows": [asdict(row) for row in rows], "machine": machine}))


if __name__ == "__main__":
    main()
