"""Which tasks of the suite can be run from recorded answers here, and what is left out and why."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from effortctl._errors import BackendError, ConfigError, SandboxUnavailableError
from effortctl._types import Arm, Call, Case
from effortctl.backends import RecordedBackend
from effortctl.catalog import load_ladder
from effortctl.harness._suite import FAMILIES, load_suite
from effortctl.harness._task_checks import verifier_for

CODE_FAMILY = "humaneval"
CODE_TASKS = 40
"""Code tasks in a quick run: each takes several sandboxed processes, all others take no time."""

SAMPLE_SEED = 7


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedSuite:
    """Tasks with recorded answers of every arm.

    Attributes:
        cases: The tasks, each with the data of its check.
        backend: Gives the recorded answers.
        left_out: One sentence for each group of tasks that is missing, and why.
    """

    cases: Sequence[Case]
    backend: RecordedBackend
    left_out: tuple[str, ...] = ()

    @property
    def provenance(self) -> Mapping[str, Any]:
        """How, when and with which models the answers were recorded."""
        return self.backend.provenance

    @property
    def families(self) -> Mapping[str, int]:
        """Tasks per family."""
        return Counter(case.cluster or "" for case in self.cases)


def load_recorded_suite(
    *,
    source: Path | None = None,
    limit: int | None = None,
    code_tasks: int | None = CODE_TASKS,
) -> RecordedSuite:
    """Find the tasks that can be run here.

    Args:
        source: File of the answers. None: the recording that comes with effortctl.
        limit: At most so many tasks, drawn at random with a fixed seed. None: all.
        code_tasks: At most so many of the tasks that run code. None: all.

    Raises:
        StoreError: The recording is missing or unreadable.
        ConfigError: There is nothing to run.
    """
    backend = RecordedBackend(source)
    found, left_out = _available()
    arms = load_ladder("local-all").arms
    everywhere = set(backend.recorded_tasks(arm.name for arm in arms))
    cases = [case for case in found if case.task.id in everywhere]
    if len(cases) < len(found):
        left_out.append(f"{len(found) - len(cases)} tasks: not recorded with every arm")
    unchanged = [case for case in cases if _can_answer(case, arms[0], backend)]
    if len(unchanged) < len(cases):
        left_out.append(
            f"{len(cases) - len(unchanged)} tasks: the installed packages word them differently "
            "than when they were recorded"
        )
    cases = unchanged
    cases = _fewer_code_tasks(cases, code_tasks, left_out)
    if limit is not None and limit < len(cases):
        left_out.append(f"{len(cases) - limit} tasks: --limit {limit}")
        cases = _draw(cases, limit)
    if not cases:
        raise ConfigError("no recorded task can be run here; reinstall effortctl, or raise --limit")
    return RecordedSuite(cases=tuple(cases), backend=backend, left_out=tuple(left_out))


def recorded_case(task_id: str) -> Case:
    """The suite's case of this id.

    Raises:
        ConfigError: There is no such task, or its family cannot be loaded here.
    """
    prefix = task_id.split("/")
    named = prefix[1] if prefix[0] == "reasoning_gym" and len(prefix) > 1 else prefix[0]
    if named not in FAMILIES:
        raise ConfigError(
            f"unknown task {task_id!r}; a task is named family/number, e.g. sums/018, and the "
            f"families are {', '.join(FAMILIES)}"
        )
    cases = load_suite([named])
    for case in cases:
        if case.task.id == task_id:
            return case
    raise ConfigError(
        f"unknown task {task_id!r}; family {named!r} has {cases[0].task.id} to {cases[-1].task.id}"
    )


def _available() -> tuple[list[Case], list[str]]:
    """The cases of every family that can be loaded and checked on this machine."""
    cases: list[Case] = []
    left_out: list[str] = []
    without_package: list[str] = []
    for family in FAMILIES:
        try:
            loaded = load_suite([family])
            verifier_for(loaded[0])
        except SandboxUnavailableError as error:
            left_out.append(f"{family}: {error}")
        except ConfigError:
            without_package.append(family)
        else:
            cases.extend(loaded)
    if without_package:
        left_out.append(f"{', '.join(without_package)}: run pip install 'effortctl[evals]'")
    return cases, left_out


def _can_answer(case: Case, arm: Arm, backend: RecordedBackend) -> bool:
    """Whether the recording fits the task as it is worded now."""
    call = Call(case.task, arm, case.task.messages, 0, arm.max_output_tokens)
    try:
        backend.complete(call)
    except BackendError:
        return False
    return True


def _fewer_code_tasks(
    cases: Sequence[Case], at_most: int | None, left_out: list[str]
) -> list[Case]:
    code = [case for case in cases if case.cluster == CODE_FAMILY]
    if at_most is None or len(code) <= at_most:
        return list(cases)
    kept = {case.task.id for case in _draw(code, at_most)}
    left_out.append(
        f"{len(code) - at_most} of {len(code)} {CODE_FAMILY} tasks: running code takes time; "
        "--all takes them too"
    )
    return [case for case in cases if case.cluster != CODE_FAMILY or case.task.id in kept]


def _draw(cases: Sequence[Case], count: int) -> list[Case]:
    """A random part of the cases, always the same, in their own order."""
    picked = set(random.Random(SAMPLE_SEED).sample(range(len(cases)), max(0, count)))
    return [case for index, case in enumerate(cases) if index in picked]
