"""One door for all foreign formats: find out what the files are, read them, say what was left out."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean
from typing import Any, Final, Literal, get_args

from effortctl._errors import ConfigError, StoreError, VerifierError
from effortctl._types import Trace
from effortctl.harness.datasets import Dataset
from effortctl.harness.datasets._files import (
    csv_header,
    file_head,
    json_records,
    refuse_unreadable,
)
from effortctl.harness.formats import (
    _batch,
    _inspect_logs,
    _llmrouterbench,
    _otel,
    _routellm,
    _routerbench,
)
from effortctl.harness.formats._dollars import Prices, UserPrice
from effortctl.harness.formats._samples import Intake
from effortctl.protocols import PriceBook
from effortctl.stores import (
    OutcomeMatrix,
    OutcomeRow,
    matrix_rows,
    outcome_matrix,
    read_outcomes,
    read_traces,
    trace_rows,
)

FormatName = Literal[
    "routellm", "routerbench", "llmrouterbench", "inspect", "batch", "otel", "traces", "outcomes"
]
FORMATS: Final[tuple[FormatName, ...]] = get_args(FormatName)
"""Formats `import_outcomes` reads."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Imported:
    """Outcomes of foreign files.

    Attributes:
        rows: One per (task, arm).
        format: What the files were.
        left_out: Why something was left out → how often.
        price_sources: Where dollars came from → answers priced so.
        unknown_cost: Model → answers whose cost nobody knows.
        notes: Sentences a reader must know.
    """

    rows: tuple[OutcomeRow, ...]
    format: FormatName
    left_out: Mapping[str, int] = field(default_factory=dict)
    price_sources: Mapping[str, int] = field(default_factory=dict)
    unknown_cost: Mapping[str, int] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def matrix(self) -> OutcomeMatrix:
        """The outcomes as a table of tasks and arms.

        Raises:
            StoreError: There is none.
        """
        return outcome_matrix(self.rows)


def import_outcomes(
    *paths: str | Path,
    format: FormatName | None = None,  # noqa: A002 - the word everybody uses for it
    prices: Mapping[str, UserPrice] | None = None,
    price_book: PriceBook | None = None,
    dataset: Dataset | None = None,
    scorer: str | None = None,
    trust_verdicts: bool = False,
    task_attribute: str | None = None,
    estimate_tokens: bool = False,
) -> Imported:
    """Read outcomes that other programs recorded.

    Args:
        *paths: Files of one format.
        format: Their format. None: found out from what they contain.
        prices: Arm or model → `Price` per million tokens, or dollars per call.
        price_book: Asked where neither the user nor the file knows. None: `genai-prices`.
        dataset: Scores the answers, whatever the files say; needed for results of a batch.
        scorer: Name of the score where an inspect log or a trace has several. None: the first.
        trust_verdicts: Verdicts in our own traces count as scores; right only for exact checks.
        task_attribute: Attribute that names the task of an OTel span. None: its trace.
        estimate_tokens: Where a file has no tokens, count one per four characters of its texts; such
            dollars are reported as estimated.

    Raises:
        StoreError: A file cannot be read, is a pickle, makes no sense, or nothing in it can be used.
        ConfigError: The format cannot be told, or needs an argument that is missing.
    """
    files = [Path(path).expanduser() for path in paths]
    if not files:
        raise ConfigError("there is nothing to import; name at least one file")
    for file in files:
        refuse_unreadable(file)
    kind = format or _common_format(files)
    if kind not in FORMATS:
        raise ConfigError(f"unknown format {kind!r}; choose from {', '.join(FORMATS)}")
    own = prices or {}
    intake = Intake(
        prices=Prices(own=own) if price_book is None else Prices(own=own, book=price_book),
        dataset=dataset,
        scorer=scorer,
        trust_verdicts=trust_verdicts,
        task_attribute=task_attribute,
        estimate_tokens=estimate_tokens,
    )
    rows = tuple(_READERS[kind](files, intake))
    if not rows:
        raise StoreError(f"{files[0]}: no outcome can be used: {_reasons(intake)}")
    return Imported(
        rows=rows,
        format=kind,
        left_out=dict(intake.left_out),
        price_sources=dict(intake.prices.sources),
        unknown_cost=dict(intake.prices.unknown),
        notes=tuple(intake.notes),
    )


def _reasons(intake: Intake) -> str:
    hints = "; ".join(f"{why} ({times})" for why, times in intake.left_out.most_common())
    return (
        f"{hints or 'the file holds none'}; answers can be scored with a dataset (--dataset FILE)"
    )


# --- which format ----------------------------------------------------------------------------------


def detect_format(path: str | Path) -> FormatName:
    """Tell the format of a file from its content.

    Raises:
        StoreError: It cannot be read, or must not be.
        ConfigError: It is none of the formats.
    """
    file = Path(path).expanduser()
    refuse_unreadable(file)
    head = file_head(file).lstrip(b"\xef\xbb\xbf \t\r\n")
    if head.startswith(b"PAR1"):
        return "outcomes"
    found = _json_format(file) if head[:1] in {b"{", b"["} else _csv_format(csv_header(file))
    if found is None:
        raise ConfigError(
            f"the format of {file} cannot be told from its content; name it: {', '.join(FORMATS)}"
        )
    return found


def _common_format(files: Sequence[Path]) -> FormatName:
    found = {file: detect_format(file) for file in files}
    if len(set(found.values())) > 1:
        shown = ", ".join(f"{file.name} is {kind}" for file, kind in found.items())
        raise ConfigError(f"the files have several formats ({shown}); import them one by one")
    return found[files[0]]


def _csv_format(header: Sequence[str]) -> FormatName | None:
    names = set(header)
    if {"query_id", "arm", "score"} <= names:
        return "outcomes"
    if {"model_name", "score"} <= names:
        return "llmrouterbench"
    if "sample_id" in names and any(
        name.endswith((_routerbench.COST, _routerbench.RESPONSE)) for name in names
    ):
        return "routerbench"
    return "routellm" if "prompt" in names and len(names) > 2 else None


_KEYS: Final[tuple[tuple[frozenset[str], FormatName], ...]] = (
    (frozenset({"resourceSpans"}), "otel"),
    (frozenset({"custom_id"}), "batch"),
    (frozenset({"query_id", "arm"}), "outcomes"),
    (frozenset({"task_id", "attempts", "outcome"}), "traces"),
    (frozenset({"eval", "samples"}), "inspect"),
    (frozenset({"model_name", "records"}), "llmrouterbench"),
    (frozenset({"model_name", "score"}), "llmrouterbench"),
)


def _json_format(file: Path) -> FormatName | None:
    _, first = next(json_records(file), ("", {}))
    return next((kind for keys, kind in _KEYS if keys <= set(first)), None)


# --- readers ---------------------------------------------------------------------------------------


def _sampled(read: Callable[[Sequence[Path], Intake], Any]) -> _Reader:
    return lambda files, intake: intake.rows(read(files, intake))


def _own_rows(files: Sequence[Path], intake: Intake) -> Sequence[OutcomeRow]:
    rows = list(matrix_rows(read_outcomes(*files)))
    for row in rows:
        if row.cost_usd is None:
            intake.prices.unknown[row.model or row.arm] += 1
    return rows


def _traced_rows(files: Sequence[Path], intake: Intake) -> Sequence[OutcomeRow]:
    traces = [trace for file in files for trace in read_traces(file)]
    cases = () if intake.dataset is None else intake.dataset.cases
    rows = trace_rows(
        traces,
        scores=_trace_scores(traces, intake),
        prompts={case.task.id: case.task.text for case in cases},
        trust_verdicts=intake.trust_verdicts,
    )
    tried = {(t.task_id, a.arm) for t in traces for a in t.attempts if not a.cached}
    if len(rows) < len(tried):
        intake.left_out[
            "no score; give a dataset, or trust_verdicts (--trust-verdicts) where the check is exact"
        ] += len(tried) - len(rows)
    intake.prices.sources["recorded in the file"] += len(rows)
    return rows


def _trace_scores(traces: Sequence[Trace], intake: Intake) -> Mapping[tuple[str, str], float]:
    """(task, arm) → mean score of its answers, where the traces hold their texts."""
    if intake.dataset is None:
        return {}
    cases = {case.task.id: case for case in intake.dataset.cases}
    scores: dict[tuple[str, str], list[float]] = defaultdict(list)
    for trace in traces:
        case = cases.get(trace.task_id)
        for attempt in trace.attempts:
            if case is None or attempt.cached or attempt.answer is None or not attempt.answer.text:
                continue
            with suppress(VerifierError):
                whole = attempt.answer.finish == "complete"
                score = intake.dataset.score(case, attempt.answer.text) if whole else 0.0
                scores[trace.task_id, attempt.arm].append(score)
    return {key: fmean(values) for key, values in scores.items()}


_Reader = Callable[[Sequence[Path], Intake], Sequence[OutcomeRow]]
_READERS: Final[Mapping[str, _Reader]] = {
    "routellm": _sampled(_routellm.read),
    "routerbench": _sampled(_routerbench.read),
    "llmrouterbench": _sampled(_llmrouterbench.read),
    "inspect": _sampled(_inspect_logs.read),
    "batch": _sampled(_batch.read),
    "otel": _sampled(_otel.read),
    "traces": _traced_rows,
    "outcomes": _own_rows,
}
