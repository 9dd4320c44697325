"""From journals to the outcome table, and to what a run has to say about itself."""

from __future__ import annotations

import importlib.util
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from statistics import fmean
from typing import Literal

from effortctl._types import Case
from effortctl.harness.runner._folder import OUTCOMES, POLICIES
from effortctl.harness.runner._inputs import Inputs
from effortctl.harness.runner._journal import History
from effortctl.harness.runner._sample import Cell, Sample
from effortctl.stores import OutcomeRow, write_outcomes
from effortctl.verifiers import final_answer

Stop = Literal["budget", "interrupted"]
UNCHECKED = "unchecked"


@dataclass(frozen=True, slots=True, kw_only=True)
class RunSummary:
    """How a run stands.

    Attributes:
        folder: The run folder.
        total: Cells there are: arms and live policies x tasks x epochs.
        done: Cells with an answer.
        failed: Cells whose last try gave none, by cause (`rate_limit` and so on).
        called: Answers got by calling in this session.
        cached: Answers taken from the response cache in this session.
        scored: Answers scored in this session.
        spent_usd: Dollars paid in this session.
        total_spent_usd: Dollars paid in all sessions.
        stopped: Why it ended early. None: it did not.
        rows: Rows of the outcome table.
        quality: Mean score of each arm or live policy, over its rows.
        cost_usd: Mean dollars per task of each.
        notes: Sentences a reader must know.
    """

    folder: Path
    total: int
    done: int
    failed: Mapping[str, int] = field(default_factory=dict)
    called: int = 0
    cached: int = 0
    scored: int = 0
    spent_usd: Decimal = Decimal(0)
    total_spent_usd: Decimal = Decimal(0)
    stopped: Stop | None = None
    rows: int = 0
    quality: Mapping[str, float] = field(default_factory=dict)
    cost_usd: Mapping[str, float] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def complete(self) -> bool:
        """Whether every cell has an answer."""
        return self.done == self.total


def outcome_rows(inputs: Inputs, history: History, names: Iterable[str]) -> Iterator[OutcomeRow]:
    """The rows of some arms (or live policies), task by task, repetitions averaged."""
    columns = list(names)
    for case in inputs.dataset.cases:
        if case.task.id not in inputs.cases:
            continue
        for column in columns:
            cells = [Cell(column, case.task.id, e) for e in range(inputs.config.epochs)]
            counted = list(_counted(cells, history, wrong=inputs.config.errors == "wrong"))
            if counted:
                yield _row(inputs, case, column, counted)


def _counted(
    cells: Sequence[Cell], history: History, *, wrong: bool
) -> Iterator[tuple[Sample, float]]:
    """Samples with their scores; those without one are left out, or count as wrong."""
    for cell in cells:
        sample = history.answered.get(cell) or (history.failed.get(cell) if wrong else None)
        if sample is None:
            continue
        score = sample.score.score if sample.score is not None else None
        if score is not None:
            yield sample, score
        elif wrong:
            yield sample, 0.0


def _row(
    inputs: Inputs, case: Case, column: str, counted: Sequence[tuple[Sample, float]]
) -> OutcomeRow:
    samples = [sample for sample, _ in counted]
    arm = inputs.arm_named.get(column)
    first = samples[0]
    usages = [sample.usage for sample in samples if sample.usage is not None]
    reasoning = [u.reasoning_tokens for u in usages if u.reasoning_tokens is not None]
    priced = all(sample.priced for sample in samples)
    answered = [sample.latency_s for sample in samples if sample.answered]
    return OutcomeRow(
        query_id=case.task.id,
        arm=column,
        score=fmean(score for _, score in counted),
        query=case.task.text,
        category=case.task.category,
        cluster=case.cluster,
        model=arm.model if arm is not None else column,
        effort=arm.effort if arm is not None else "default",
        verdict=first.score.verdict if len(samples) == 1 and first.score is not None else None,
        cost_usd=float(sum((s.total_usd for s in samples), Decimal(0)) / len(samples))
        if priced
        else None,
        input_tokens=_mean([u.input_tokens for u in usages]),
        output_tokens=_mean([u.output_tokens for u in usages]),
        reasoning_tokens=_mean(reasoning),
        cached_tokens=_mean([u.cached_tokens for u in usages]),
        latency_s=_mean(answered),
        n_samples=len(samples),
        answer=final_answer(first.text) if len(samples) == 1 and first.text else None,
    )


def _mean(values: Sequence[float]) -> float | None:
    return fmean(values) if values else None


def write_tables(inputs: Inputs, history: History, folder: Path) -> list[OutcomeRow]:
    """Write the outcome tables of a run; return the rows of its arms.

    Raises:
        StoreError: A file cannot be written.
    """
    rows = list(outcome_rows(inputs, history, inputs.arm_named))
    live = list(outcome_rows(inputs, history, [spec.label for spec in inputs.config.policy]))
    for name, table in ((OUTCOMES, rows), (POLICIES, live)):
        if table or name == OUTCOMES:
            _replace(folder / name, table)
    if rows and importlib.util.find_spec("pyarrow") is not None:
        _replace(folder / OUTCOMES.replace(".jsonl.gz", ".parquet"), rows)
    return rows + live


def _replace(file: Path, rows: Sequence[OutcomeRow]) -> None:
    part = file.with_name(f"part-{file.name}")  # the ending decides the format
    write_outcomes(part, rows)
    part.replace(file)


def failures(inputs: Inputs, history: History) -> Counter[str]:
    """Cells without an answer, and answers nobody could score, by class of fault."""
    found: Counter[str] = Counter()
    for cell in inputs.cells():
        failed = history.failed.get(cell)
        answered = history.answered.get(cell)
        if failed is not None:
            found[failed.kind or failed.error or "error"] += 1
        elif answered is not None and (answered.score is None or answered.score.score is None):
            found[UNCHECKED] += 1
    return found


def standing(rows: Sequence[OutcomeRow]) -> tuple[dict[str, float], dict[str, float]]:
    """Mean score and mean dollars of every arm over its own rows."""
    scores: dict[str, list[float]] = {}
    costs: dict[str, list[float]] = {}
    for row in rows:
        scores.setdefault(row.arm, []).append(row.score)
        if row.cost_usd is not None:
            costs.setdefault(row.arm, []).append(row.cost_usd)
    return (
        {name: fmean(values) for name, values in scores.items()},
        {name: fmean(values) for name, values in costs.items()},
    )


def notes_on(inputs: Inputs, history: History) -> list[str]:
    """What a reader of the table must know about how it came about."""
    notes = list(inputs.dataset.notes)
    taken, of = len(inputs.cases), len(inputs.dataset.cases)
    if taken < of:
        part = f", part {inputs.shard[0]} of {inputs.shard[1]}" if inputs.shard else ""
        notes.append(f"{taken} of {of} tasks, drawn with seed {inputs.config.seed}{part}")
    bad = sum(failures(inputs, history).values())
    if bad:
        rule = "count as wrong" if inputs.config.errors == "wrong" else "are left out of the table"
        notes.append(f"{bad} cells without a score {rule} (errors = {inputs.config.errors!r})")
    if any(sample.finish != "complete" for sample in history.answered.values()):
        notes.append("answers that were cut off, refused or filtered score 0")
    if history.lost_requests():
        notes.append(
            f"{history.lost_requests()} requests were in flight when a process died; they are booked at "
            "their worst case and were made again"
        )
    if history.torn:
        notes.append(f"{history.torn} journal lines were cut short by a crash and ignored")
    return notes
