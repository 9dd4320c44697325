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

_DRAFTS = 50
"""Rows made at a time while answers are waited for: about a millisecond's work."""


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


class Drafts:
    """Rows made while a session waits for answers, so that little is left to do at its end.

    Args:
        inputs: The run.
    """

    def __init__(self, inputs: Inputs) -> None:
        self._inputs = inputs
        self._waiting: list[Sample] = []
        self._rows: dict[Cell, tuple[Sample, OutcomeRow]] = {}

    def add(self, sample: Sample) -> None:
        """Make the row of a finished cell, some at a time, which is faster than one by one."""
        self._waiting.append(sample)
        if len(self._waiting) >= _DRAFTS:
            batch, self._waiting = self._waiting, []
            self._rows.update((sample.cell, (sample, row)) for sample, row in self._made(batch))

    def _made(self, samples: Sequence[Sample]) -> Iterator[tuple[Sample, OutcomeRow]]:
        """Rows of scored answers; an answer that was repeated has no row to itself."""
        if self._inputs.config.epochs > 1:
            return
        for sample in samples:
            score = sample.score.score if sample.score is not None else None
            if score is not None:
                case = self._inputs.cases[sample.cell.case]
                yield sample, _row(self._inputs, case, [(sample, score)])

    def of(self, sample: Sample) -> OutcomeRow | None:
        """The row of this very sample, if it was made; another score makes another sample."""
        made = self._rows.get(sample.cell)
        return made[1] if made is not None and made[0] is sample else None


def outcome_rows(
    inputs: Inputs, history: History, names: Iterable[str], *, drafts: Drafts | None = None
) -> Iterator[OutcomeRow]:
    """The rows of some arms (or live policies), task by task, repetitions averaged."""
    columns = list(names)
    for case in inputs.dataset.cases:
        if case.task.id not in inputs.cases:
            continue
        for column in columns:
            cells = [Cell(column, case.task.id, e) for e in range(inputs.config.epochs)]
            counted = list(_counted(cells, history, wrong=inputs.config.errors == "wrong"))
            if counted:
                made = drafts and drafts.of(counted[0][0])
                yield made or _row(inputs, case, counted)


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


def _row(inputs: Inputs, case: Case, counted: Sequence[tuple[Sample, float]]) -> OutcomeRow:
    samples = [sample for sample, _ in counted]
    column = samples[0].cell.arm
    arm = inputs.arm_named.get(column)
    first, only = samples[0], len(samples) == 1
    usages = [sample.usage for sample in samples if sample.usage is not None]
    reasoning = [u.reasoning_tokens for u in usages if u.reasoning_tokens is not None]
    return OutcomeRow(
        query_id=case.task.id,
        arm=column,
        score=counted[0][1] if only else fmean(score for _, score in counted),
        query=case.task.text,
        category=case.task.category,
        cluster=case.cluster,
        model=arm.model if arm is not None else column,
        effort=arm.effort if arm is not None else "default",
        verdict=first.score.verdict if only and first.score is not None else None,
        cost_usd=_mean_usd(samples),
        input_tokens=_mean([u.input_tokens for u in usages]),
        output_tokens=_mean([u.output_tokens for u in usages]),
        reasoning_tokens=_mean(reasoning),
        cached_tokens=_mean([u.cached_tokens for u in usages]),
        latency_s=_mean([sample.latency_s for sample in samples if sample.answered]),
        n_samples=len(samples),
        answer=final_answer(first.text) if only and first.text else None,
    )


def _mean_usd(samples: Sequence[Sample]) -> float | None:
    if not all(sample.priced for sample in samples):
        return None
    return float(sum((sample.total_usd for sample in samples), Decimal(0)) / len(samples))


def _mean(values: Sequence[float]) -> float | None:
    if len(values) == 1:
        return values[0]
    return fmean(values) if values else None


def write_tables(
    inputs: Inputs, history: History, folder: Path, *, drafts: Drafts | None = None
) -> list[OutcomeRow]:
    """Write the outcome tables of a run; return the rows of its arms.

    Args:
        inputs: The run.
        history: Its answers.
        folder: Where the tables go.
        drafts: Rows that are made already.

    Raises:
        StoreError: A file cannot be written.
    """
    rows = list(outcome_rows(inputs, history, inputs.arm_named, drafts=drafts))
    policies = [spec.label for spec in inputs.config.policy]
    live = list(outcome_rows(inputs, history, policies, drafts=drafts))
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


def notes_on(inputs: Inputs, history: History, *, unscored: int) -> list[str]:
    """What a reader of the table must know about how it came about.

    Args:
        inputs: The run.
        history: Its answers.
        unscored: Cells without a score, as `failures` counts them.
    """
    notes = list(inputs.dataset.notes)
    taken, of = len(inputs.cases), len(inputs.dataset.cases)
    if taken < of:
        part = f", part {inputs.shard[0]} of {inputs.shard[1]}" if inputs.shard else ""
        notes.append(f"{taken} of {of} tasks, drawn with seed {inputs.config.seed}{part}")
    if unscored:
        rule = "count as wrong" if inputs.config.errors == "wrong" else "are left out of the table"
        notes.append(f"{unscored} cells without a score {rule} (errors = {inputs.config.errors!r})")
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
