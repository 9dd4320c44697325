"""What a running system left behind, for `effortctl learn --traces`: outcomes, and what they lack."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from effortctl._errors import ConfigError, StoreError
from effortctl._types import Task, Trace
from effortctl.cli import _show
from effortctl.stores import (
    Feedback,
    OutcomeMatrix,
    OutcomeRow,
    feedback_path,
    matrix_rows,
    outcome_matrix,
    read_feedback,
    read_traces,
    trace_rows,
)
from effortctl.stores._run_scores import SESSION

if TYPE_CHECKING:
    from effortctl._driver import LadderLike
    from effortctl._held_out import VerifierChoice

_ID_COLUMNS = ("id", "task_id", "query_id")
_PROMPT_COLUMNS = ("input", "prompt", "messages", "query")
_FEW_TASKS = 30
_FEW_FAILED = 10
_RIGHT = 0.5
_SILENT_SHARE = 0.1
"""Of the tries: so many may have failed their check without anybody having judged them."""

_NO_PROMPTS = (
    "traces hold no prompts, so nothing is learned of how hard a task looks and all get the same plan; "
    "give them with --prompts FILE, rows of id and input"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sources:
    """The files named on the command line.

    Attributes:
        traces: Of finished tasks.
        feedback: On them. Empty: what lies beside the traces.
        prompts: Of the tasks; None: none are known but those of the outcomes.
        trust_verdicts: A check that never errs judged the answers.
    """

    traces: Sequence[Path]
    feedback: Sequence[Path] = ()
    prompts: Path | None = None
    trust_verdicts: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Gathered:
    """What the traces hold, in numbers.

    Attributes:
        traces: How many there are.
        tasks: Tasks with an outcome.
        outcomes: (task, arm) pairs that were judged.
        escalated: Those of them that were only tried because another arm had failed.
        unjudged: Pairs that were tried, and nobody says how well.
        feedback: Decisions that somebody judged.
        with_prompt: Tasks whose prompt is known.
        tried_by_all: Tasks that every arm tried, whatever the others answered.
    """

    traces: int
    tasks: int
    outcomes: int
    escalated: int
    unjudged: int
    feedback: int
    with_prompt: int
    tried_by_all: int

    def fields(self) -> dict[str, int]:
        """As JSON."""
        return asdict(self)

    def sentence(self) -> str:
        """For people."""
        return (
            f"From {_show.plural(self.traces, 'trace')}: {_show.plural(self.outcomes, 'outcome')} of "
            f"{_show.plural(self.tasks, 'task')}, {self.escalated} of them after another arm had failed; "
            f"{self.unjudged} tries that nobody judged are left out."
        )


def gather(
    sources: Sources, outcomes: OutcomeMatrix | None = None
) -> tuple[OutcomeMatrix, Gathered, list[str]]:
    """Join traces with what is known of their tasks, and with other outcomes.

    Args:
        sources: The files.
        outcomes: Other outcomes; they come before what the traces say of the same arm and task.

    Returns:
        All outcomes, what the traces hold, and warnings for people.

    Raises:
        StoreError: A file cannot be read.
        ConfigError: Nothing can be learned from these files; says what to do.
    """
    traces = [trace for path in sources.traces for trace in read_traces(path)]
    judged = _feedback(sources)
    known = [] if outcomes is None else list(matrix_rows(outcomes))
    prompts = _prompts(sources.prompts) | {row.query_id: row.query for row in known if row.query}
    rows = trace_rows(
        traces, prompts=prompts, trust_verdicts=sources.trust_verdicts, feedback=judged
    )
    if not rows:
        raise ConfigError(_nothing_judged(traces, judged))
    if not sources.trust_verdicts:
        _refuse_shown_only(traces, rows)
    rows, about_prompts = _with_prompts(rows, sources.prompts)
    matrix = outcome_matrix(_joined(known, rows))
    tried = {(t.task_id, a.arm) for t in traces for a in t.attempts if a.answer and not a.cached}
    numbers = Gathered(
        traces=len(traces),
        tasks=len({row.query_id for row in rows}),
        outcomes=len(rows),
        escalated=sum(row.escalated for row in rows),
        unjudged=len(tried - {(row.query_id, row.arm) for row in rows}),
        feedback=len({each.trace_id for each in judged} & {trace.id for trace in traces}),
        with_prompt=len({row.query_id for row in rows if row.query}),
        tried_by_all=int(matrix.whole.sum()),
    )
    warnings = [*_strange_feedback(traces, judged), *([about_prompts] if about_prompts else [])]
    return matrix, numbers, warnings


def doubts(
    matrix: OutcomeMatrix, *, verifier: VerifierChoice, ladder: LadderLike | None
) -> list[str]:
    """What the user should know before believing what was learned.

    Args:
        matrix: All outcomes.
        verifier: What is said to check answers at run time.
        ladder: Where the prior begins; None: there is none.
    """
    found = [*_few(matrix, ladder)]
    if ladder is not None:
        found += _never_tried(matrix, ladder)
    if verifier == "exact":
        found += _not_exact(matrix)
    if verifier == "recorded":
        found += _one_sided(matrix)
    return found


# --- reading ---------------------------------------------------------------------------------------


def _feedback(sources: Sources) -> list[Feedback]:
    named = list(sources.feedback)
    beside = (feedback_path(path) for path in sources.traces)
    paths = named or [path for path in beside if path.exists()]
    return [given for path in paths for given in read_feedback(path)]


def _prompts(path: Path | None) -> dict[str, str]:
    """Task id → all text that was sent, instructions included."""
    if path is None:
        return {}
    from effortctl.harness.datasets._load import file_records  # noqa: PLC0415 - only with --prompts

    found: dict[str, str] = {}
    for place, record in file_records(path.expanduser()):
        name = next((record[c] for c in _ID_COLUMNS if record.get(c) not in (None, "")), None)
        prompt = next((record[c] for c in _PROMPT_COLUMNS if record.get(c)), None)
        if name is None or prompt is None:
            raise StoreError(
                f"{place}: expected the id of a task ({', '.join(_ID_COLUMNS)}) and its prompt "
                f"({', '.join(_PROMPT_COLUMNS)})"
            )
        found[str(name)] = _text(prompt, record.get("instructions"), place)
    return found


def _text(prompt: Any, instructions: Any, place: str) -> str:
    try:
        given = tuple(prompt) if isinstance(prompt, list) else prompt
        return Task(input=given, instructions=instructions or None).text
    except ValueError:
        raise StoreError(
            f"{place}: the prompt is neither text nor a list of messages with role and content"
        ) from None


def _with_prompts(rows: list[OutcomeRow], path: Path | None) -> tuple[list[OutcomeRow], str | None]:
    """The rows to learn from, and what to say of their prompts.

    A task without a prompt looks like an empty one, so either all have theirs or nobody does.
    """
    tasks = {row.query_id for row in rows}
    known = {row.query_id for row in rows if row.query}
    if path is not None and not known:
        raise ConfigError(
            f"{path} has the prompt of none of the {len(tasks)} tasks in the traces; there they are called "
            f"{min(tasks)!r} and the like (`task_id` of a trace)"
        )
    if not known:
        return rows, _NO_PROMPTS
    if known == tasks:
        return rows, None
    left_out = f"{len(tasks - known)} of {len(tasks)} tasks"
    return [row for row in rows if row.query], (
        f"the prompts of {left_out} are not known; these tasks are left out"
    )


def _joined(known: Sequence[OutcomeRow], rows: Sequence[OutcomeRow]) -> list[OutcomeRow]:
    """All rows; what the outcomes say of a task and of its arms goes before."""
    have = {(row.query_id, row.arm) for row in known}
    task = {row.query_id: row for row in known}
    joined = list(known)
    for row in rows:
        if (row.query_id, row.arm) in have:
            continue
        same = task.get(row.query_id)
        joined.append(row if same is None else _as(same, row))
    return joined


def _as(same: OutcomeRow, row: OutcomeRow) -> OutcomeRow:
    return replace(
        row, query=same.query, category=same.category, cluster=same.cluster, date=same.date
    )


# --- what is wrong ---------------------------------------------------------------------------------


def _nothing_judged(traces: Sequence[Trace], feedback: Sequence[Feedback]) -> str:
    if not traces:
        return (
            "the traces are empty; run tasks with traces=TraceStore(FILE), or `run --traces FILE`"
        )
    said = Counter(
        attempt.verdict.status
        for trace in traces
        for attempt in trace.attempts
        if attempt.verdict is not None
    )
    checked = said["pass"] + said["fail"]
    about = (
        f"nobody says what was correct in {_show.plural(len(traces), 'trace')}, and without that nothing can "
        "be learned; "
    )
    if checked:
        about += (
            f"{checked} answers were checked: if that check never errs, add --trust-verdicts. Else "
        )
    if feedback:
        about += f"the feedback ({len(feedback)} judgements) is on other traces; "
    return about + "judge answers with `effortctl feedback DECISION_ID --score 0..1 --traces FILE`"


def _refuse_shown_only(traces: Sequence[Trace], rows: Sequence[OutcomeRow]) -> None:
    """Refuse to learn from what users saw, where they only saw what had passed.

    Raises:
        ConfigError: Too many answers failed their check and have no score.
    """
    have = {(row.query_id, row.arm) for row in rows}
    failed = {
        (trace.task_id, attempt.arm)
        for trace in traces
        for attempt in trace.attempts
        if attempt.answer and attempt.verdict and attempt.verdict.status == "fail"
    }
    silent = len(failed - have)
    if silent > _SILENT_SHARE * (silent + len(have)):
        raise ConfigError(
            f"{silent} tries failed their check and were never judged, against {len(have)} that were: users "
            "see what passed, and by that alone every arm looks good. If a failed check mostly means a wrong "
            "answer, add --trust-verdicts; feedback still goes before it"
        )


def _strange_feedback(traces: Sequence[Trace], feedback: Sequence[Feedback]) -> Iterable[str]:
    ours = {trace.id for trace in traces} | {trace.metadata.get(SESSION, "") for trace in traces}
    strange = sorted({each.trace_id for each in feedback} - ours)
    if strange:
        yield (
            f"feedback on {len(strange)} decisions, {strange[0]!r} among them, is not about these traces, "
            "so it is left out"
        )


def _few(matrix: OutcomeMatrix, ladder: LadderLike | None) -> Iterable[str]:
    if len(matrix) < _FEW_TASKS and ladder is None:
        yield (
            f"{_show.plural(len(matrix), 'task')} with an outcome are few; --ladder NAME begins with what is "
            "believed of its arms beforehand, which counts the less the more outcomes there are"
        )


def _never_tried(matrix: OutcomeMatrix, ladder: LadderLike) -> Iterable[str]:
    from effortctl.catalog import load_ladder  # noqa: PLC0415 - beside its only use

    names = [arm.name for arm in load_ladder(ladder).arms]
    missing = [name for name in names if name not in matrix.arms]
    if missing:
        yield (
            f"nothing is known of {', '.join(missing)}, so the policy leaves "
            f"{'it' if len(missing) == 1 else 'them'} out; to have an arm considered, let it answer some tasks: "
            "`effortctl run --arm ARM`"
        )


def _not_exact(matrix: OutcomeMatrix) -> Iterable[str]:
    said = matrix.verdict >= 0
    wrong = said & ((matrix.verdict == 1) != (matrix.score >= _RIGHT))
    if wrong.any():
        yield (
            f"the check was wrong about {int(wrong.sum())} of {int(said.sum())} answers, so it is not exact; "
            "use --verifier TPR,FPR, or recorded where answers that failed were judged, too"
        )


def _one_sided(matrix: OutcomeMatrix) -> Iterable[str]:
    import numpy as np  # noqa: PLC0415 - slow to load

    failed = int(((matrix.verdict == 0) & ~np.isnan(matrix.score)).sum())
    if failed < _FEW_FAILED:
        yield (
            f"only {failed} answers that failed the check were judged, so how often it fails right answers "
            "is a guess: users see what passed. Judge some failed answers, or say --verifier TPR,FPR"
        )
