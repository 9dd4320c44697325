"""Record real answers of local models to the suite, and pack them into the shipped file.

`record` does only what is missing, so it can be stopped at any moment and started again; `compact`
packs what there is; `status` counts it. See README.md next to this file.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import random
import sys
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

from _arms import ARMS, MODELS
from _files import SHIPPED, Key, Row, end_last_line, known_rows, pack

from effortctl._types import Answer, Arm, Call, Case, Message, Verdict
from effortctl.backends._local import LocalBackend
from effortctl.backends._prompt_effort import prompt_effort
from effortctl.backends._recorded import RecordedAnswer
from effortctl.harness._suite import FAMILIES, load_suite, prompt_sha256
from effortctl.harness._task_checks import verifier_for

ORDER_SEED = 20261123
BLOCK = 20
LONG_FAMILIES = ("humaneval", "gsm_symbolic")


# --- record ----------------------------------------------------------------------------------------


def record(arms: Sequence[Arm], cases: Sequence[Case], *, gguf: dict[str, Path], raw: Path) -> None:
    """Make every call whose answer is not known yet, and append each answer as one line."""
    backends = {model: _backend(model, gguf) for model in {arm.model for arm in arms}}
    known = known_rows(raw)
    families = sorted({case.cluster or "" for case in cases})
    parts = [arm.name for arm in arms] + (families if len(families) < len(FAMILIES) else [])
    out = raw / f"{'+'.join(parts)}.jsonl"
    end_last_line(out)
    with out.open("a", encoding="utf-8") as file:
        for arm, case in in_order(arms, cases):
            for row in missing_rows(arm, case, backend=backends[arm.model], known=known):
                file.write(json.dumps(row, ensure_ascii=False) + "\n")
                file.flush()
                _tell(row)
    for backend in backends.values():
        backend.close()


def in_order(arms: Sequence[Arm], cases: Sequence[Case]) -> Iterator[tuple[Arm, Case]]:
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


def missing_rows(
    arm: Arm, case: Case, *, backend: LocalBackend, known: dict[Key, Row]
) -> Iterator[Row]:
    """Sample until an answer passes or the samples are used up; yield what was not known."""
    for index in range(arm.samples):
        row = known.get((arm.name, case.task.id, index))
        if row is None or row["prompt_sha256"] != prompt_sha256(case.task):
            row = _same_request(arm, case, index, known=known)
            if row is None:
                call = Call(case.task, arm, case.task.messages, index, arm.max_output_tokens)
                row = _row(call, backend.complete(call))
            known[arm.name, case.task.id, index] = row
            yield row
        if index + 1 < arm.samples and passes(case, row):
            return


def passes(case: Case, row: Row) -> bool:
    """The verdict of the case's own verifier; an answer that was cut off does not pass."""
    answer = RecordedAnswer.model_validate(row).answer()
    if answer.finish != "complete":
        return False
    verdict = verifier_for(case)(case.task, answer)
    assert isinstance(verdict, Verdict)  # noqa: S101 - the suite's verifiers are not async
    return verdict.passed


def _same_request(arm: Arm, case: Case, index: int, *, known: dict[Key, Row]) -> Row | None:
    """The answer another arm got to the very same greedy request, if one did.

    The first sample of @high is worded as @low (or, for code, as @none). One slot at temperature 0
    answers equal requests equally, so asking again would only burn CPU. The row says where it is from.
    """
    if index > 0:
        return None
    for other in ARMS.values():
        row = known.get((other.name, case.task.id, 0))
        if row is None or other.name == arm.name or other.model != arm.model:
            continue
        fits = row["finish"] == "complete" and row["output_tokens"] < arm.max_output_tokens
        if fits and _wording(other, case) == _wording(arm, case):
            return row | {"arm": arm.name, "effort": arm.effort, "same_request_as": other.name}
    return None


def _wording(arm: Arm, case: Case) -> tuple[Message, ...]:
    return prompt_effort(case.task.messages, arm.sent_effort, category=case.task.category)


def _row(call: Call, answer: Answer) -> Row:
    if answer.usage is None or answer.compute_s is None:
        sys.exit("the server reported no token counts; nothing was recorded")
    return {
        "task_id": call.task.id,
        "prompt_sha256": prompt_sha256(call.task),
        "arm": call.arm.name,
        "model": call.arm.model,
        "effort": call.arm.effort,
        "sample_index": call.sample_index,
        "text": answer.text,
        "finish": answer.finish,
        "input_tokens": answer.usage.input_tokens,
        "cached_tokens": answer.usage.cached_tokens,
        "output_tokens": answer.usage.output_tokens,
        "latency_s": round(answer.latency_s, 4),
        "compute_s": round(answer.compute_s, 4),
        "recorded_at": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def _backend(model: str, gguf: dict[str, Path]) -> LocalBackend:
    if model not in gguf:
        sys.exit(f"say where the file of {model} is: --gguf {model}=PATH")
    with gguf[model].open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != MODELS[model]["sha256"]:
        sys.exit(f"{gguf[model].name} has SHA-256 {found}, expected {MODELS[model]['sha256']}")
    return LocalBackend(gguf[model])


def _tell(row: Row) -> None:
    print(
        f"{row['recorded_at']} {row['arm']} {row['task_id']} #{row['sample_index']}"
        f" {row['finish']} {row['output_tokens']} tokens {row['compute_s']:.2f} s",
        flush=True,
    )


# --- status ----------------------------------------------------------------------------------------


def status(raw: Path, cases: Sequence[Case], *, score: bool) -> None:
    """Print, per family and arm, the tasks done, their CPU-seconds and, if asked, the share passed."""
    known = known_rows(raw)
    for family in FAMILIES:
        mine = {case.task.id: case for case in cases if case.cluster == family}
        for arm in ARMS:
            rows = [row for (name, task, _), row in known.items() if name == arm and task in mine]
            tasks = {row["task_id"] for row in rows}
            if not tasks:
                continue
            seconds = sum(row["compute_s"] for row in rows)
            line = f"{family:16} {arm:24} {len(tasks):3}/{len(mine):3} tasks {seconds / len(tasks):7.2f} s each"
            if score:
                good = {row["task_id"] for row in rows if passes(mine[row["task_id"]], row)}
                line += f"  {len(good) / len(tasks):.3f} passed"
            print(line, flush=True)


# --- command line ----------------------------------------------------------------------------------


def main() -> None:
    """Read the command line."""
    options = _parser().parse_args()
    if options.command == "compact":
        pack(options.raw, options.target)
        return
    cases = load_suite(options.family or FAMILIES)
    if options.command == "status":
        status(options.raw, cases, score=options.score)
        return
    given = (item.partition("=") for item in options.gguf)
    gguf = {model: Path(path) for model, _, path in given}
    record([ARMS[name] for name in options.arm], cases, gguf=gguf, raw=options.raw)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    recording = commands.add_parser("record", help="ask the models what is not recorded yet")
    recording.add_argument(
        "--gguf", action="append", required=True, metavar="MODEL=PATH", help="repeat for each model"
    )
    recording.add_argument(
        "--arm", action="append", required=True, choices=ARMS, help="repeat for each arm"
    )
    compacting = commands.add_parser("compact", help="pack what is recorded into one file")
    compacting.add_argument("--target", type=Path, default=SHIPPED)
    counting = commands.add_parser("status", help="count what is recorded")
    counting.add_argument("--score", action="store_true", help="verify the answers too")
    for command in (recording, counting):
        command.add_argument("--family", action="append", choices=FAMILIES)
    for command in (recording, compacting, counting):
        command.add_argument(
            "--raw", type=Path, required=True, help="folder of the raw JSONL files"
        )
    return parser


if __name__ == "__main__":
    main()
