"""Every file effortctl reads: how a sound one is made, and how it is read."""

from __future__ import annotations

import gzip
import importlib.util
import json
import shutil
import sqlite3
import sys
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

from effortctl import Answer, Attempt, Budget, FittedPolicy, Trace, load_ladder
from effortctl._types import Cost
from effortctl.backends import RecordedBackend
from effortctl.catalog import load_catalog
from effortctl.harness._result import EvalResult
from effortctl.harness.datasets import load_dataset
from effortctl.harness.forecast._volume import read_volumes
from effortctl.harness.formats import import_outcomes
from effortctl.harness.runner import EvalConfig, load_config, open_run, read_history
from effortctl.harness.runner._folder import new_header, write_header
from effortctl.stores import (
    FeedbackStore,
    OutcomeRow,
    SqliteLedger,
    TraceStore,
    read_bills,
    read_feedback,
    read_outcomes,
    read_traces,
    write_outcomes,
)

EVALS = Path(__file__).parents[2] / "evals"
NOW = datetime(2026, 11, 23, tzinfo=UTC)


@dataclass(frozen=True)
class Format:
    """One kind of file.

    Attributes:
        name: For the test's id.
        make: Writes a sound file into an empty folder; returns its path.
        read: Reads such a file.
    """

    name: str
    make: Callable[[Path], Path]
    read: Callable[[Path], Any]


def rows() -> list[OutcomeRow]:
    return [
        OutcomeRow(
            query_id=f"q{n}",
            query=("Add {} and {}." if n % 2 else "Prove lemma {} of chapter {}.").format(n, n + 1),
            arm=arm,
            score=float(right),
            cost_usd=usd,
        )
        for n in range(60)
        for arm, usd, right in (("small", 0.004, n % 2 == 0), ("big", 0.010, n % 10 > 0))
    ]


def outcomes(ending: str) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        path = folder / f"outcomes.{ending}"
        write_outcomes(path, rows())
        return path

    return make


def policy(folder: Path) -> Path:
    from effortctl import learn

    source = outcomes("jsonl")(folder)
    learn(read_outcomes(source), value_usd=0.5).save(folder / "policy.json")
    return folder / "policy.json"


def result(folder: Path) -> Path:
    path = folder / "result.json"
    _result_data().bare().save(path)
    return path


def _result_data() -> Any:
    name = Path(__file__).parents[1] / "harness" / "report" / "result_data.py"
    spec = importlib.util.spec_from_file_location("result_data", name)
    module = importlib.util.module_from_spec(spec)
    sys.modules["result_data"] = module
    spec.loader.exec_module(module)
    return module


def trace(number: int = 0) -> Trace:
    attempt = Attempt(
        arm="small",
        model="m",
        requested_effort="low",
        effective_effort="low",
        max_output_tokens=10,
        answer=Answer(text="42"),
        cost=Cost(usd=Decimal("0.01"), source="user"),
    )
    return Trace(
        id=f"t{number}",
        task_id="task",
        outcome="accepted",
        attempts=(attempt,),
        policy="fixed",
        started_at=NOW,
    )


def traces(folder: Path) -> Path:
    store = TraceStore(folder / "traces.jsonl")
    for number in range(3):
        store.write(trace(number))
    return store.path


def feedback(folder: Path) -> Path:
    path = folder / "traces.feedback.jsonl"
    store = FeedbackStore(path)
    for number in range(3):
        store.write(f"t{number}", 0.5, note="half right")
    return path


def ledger(folder: Path) -> Path:
    path = folder / "ledger.sqlite3"
    with SqliteLedger(path) as store:
        for _ in range(5):
            ticket = store.reserve(Decimal("0.02"), budgets=[Budget.parse("$5/day")], trace_id="t")
            store.settle(ticket, Cost(usd=Decimal("0.01"), source="user"), row={"arm": "a"})
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()
    return path


def use_ledger(path: Path) -> Any:
    with SqliteLedger(path) as store:
        ticket = store.reserve(Decimal("0.02"), budgets=[Budget.parse("$5/day")], trace_id="t")
        store.settle(ticket, Cost(usd=Decimal("0.01"), source="user"), row={"arm": "a"})
        return list(store.entries())


def recording(folder: Path) -> Path:
    path = folder / "recording.jsonl.gz"
    head = {"format": "effortctl-recording", "version": 1, "models": {"m": {}}}
    line = {
        "task_id": "a",
        "arm": "m",
        "model": "m",
        "text": "42",
        "input_tokens": 10,
        "output_tokens": 5,
        "latency_s": 1.0,
    }
    path.write_bytes(gzip.compress(f"{json.dumps(head)}\n{json.dumps(line)}\n".encode()))
    return path


def plain_recording(folder: Path) -> Path:
    path = folder / "recording.jsonl"
    path.write_bytes(gzip.decompress(recording(folder).read_bytes()))
    return path


LADDER = """
[ladder]
name = "mine"
description = "Two arms of a server"

[[arm]]
name = "m@low"
model = "m"
effort = "low"
endpoint = { name = "mine", base_url = "http://127.0.0.1:1/v1" }
max_output_tokens = 200
price = { input_usd_per_mtok = "1", output_usd_per_mtok = "2" }
"""

CARD = """
[[model]]
id = "mine-1"
provider = "me"
efforts = ["low", "high"]
context = 1000
source = "measured"
verified_on = 2026-11-23
"""


def text_file(name: str, text: str) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        path = folder / name
        path.write_text(text, encoding="utf-8")
        return path

    return make


def config(folder: Path) -> Path:
    for name in ("EVAL.toml", "tasks.csv"):
        shutil.copy(EVALS / "your_own" / name, folder)
    return folder / "EVAL.toml"


def header(folder: Path) -> Path:
    config = EvalConfig(name="x", dataset="sums", arms=("gpt-6-luna@low",))
    write_header(folder, new_header(config))
    return folder / "config.json"


def journal(folder: Path) -> Path:
    from effortctl.harness.runner import Tools, prepare, run_eval

    run_eval(prepare(load_config(config(folder)).changed(limit=2)), folder / "run", tools=Tools())
    return folder / "run" / "journal-0001.jsonl"


def dataset(ending: str) -> Callable[[Path], Path]:
    tasks = [{"id": f"s{n}", "input": f"{n} plus {n}", "target": str(2 * n)} for n in range(4)]
    lines = "".join(json.dumps(task) + "\n" for task in tasks)
    table = "id,input,target\n" + "".join(f"{t['id']},{t['input']},{t['target']}\n" for t in tasks)
    text = {"jsonl": lines, "json": json.dumps(tasks), "csv": table}[ending]
    return text_file(f"tasks.{ending}", text)


TABLE = """sample_id,prompt,eval_name,m,m|total_cost,m|model_response
a,1 plus 1?,sums,1.0,0.001,2
b,2 plus 2?,sums,0.0,0.002,5
"""


def span(trace: str) -> dict[str, Any]:
    named = {"gen_ai.operation.name": "chat", "gen_ai.request.model": "gpt-4o-mini"}
    attributes = [{"key": key, "value": {"stringValue": text}} for key, text in named.items()]
    counts = {"gen_ai.usage.input_tokens": 100, "gen_ai.usage.output_tokens": 20}
    attributes += [{"key": key, "value": {"intValue": str(n)}} for key, n in counts.items()]
    score = {"key": "gen_ai.evaluation.score.value", "value": {"doubleValue": 1.0}}
    return {
        "traceId": trace,
        "spanId": "1",
        "name": "chat",
        "startTimeUnixNano": "1000000000",
        "endTimeUnixNano": "1500000000",
        "attributes": attributes,
        "events": [{"name": "gen_ai.evaluation.result", "attributes": [score]}],
    }


SPANS = {"resourceSpans": [{"scopeSpans": [{"spans": [span("t1"), span("t2")]}]}]}
BILL = "date,model,cost\n2026-11-20,m,0.125\n2026-11-21,m,1.5\n"
VOLUMES = "category,queries_per_month,prompt_tokens\nsums,1000,50\n"


FORMATS = (
    Format("policy", policy, FittedPolicy.load),
    Format("result", result, EvalResult.load),
    Format("outcomes-jsonl", outcomes("jsonl"), read_outcomes),
    Format("outcomes-csv", outcomes("csv"), read_outcomes),
    Format("outcomes-gz", outcomes("jsonl.gz"), read_outcomes),
    Format("outcomes-parquet", outcomes("parquet"), read_outcomes),
    Format("traces", traces, lambda path: list(read_traces(path))),
    Format("feedback", feedback, lambda path: list(read_feedback(path))),
    Format("bill", text_file("bill.csv", BILL), read_bills),
    Format("ledger", ledger, use_ledger),
    Format("recording-gz", recording, RecordedBackend),
    Format("recording", plain_recording, RecordedBackend),
    Format("ladder", text_file("mine.toml", LADDER), load_ladder),
    Format("cards", text_file("cards.toml", CARD), load_catalog),
    Format("eval-config", config, load_config),
    Format("run-header", header, lambda path: open_run(path.parent)),
    Format("journal", journal, lambda path: read_history(path.parent)),
    Format("dataset-jsonl", dataset("jsonl"), load_dataset),
    Format("dataset-json", dataset("json"), load_dataset),
    Format("dataset-csv", dataset("csv"), load_dataset),
    Format("routerbench", text_file("log.csv", TABLE), import_outcomes),
    Format("otel", text_file("spans.json", json.dumps(SPANS)), import_outcomes),
    Format("volumes", text_file("volumes.csv", VOLUMES), read_volumes),
)
