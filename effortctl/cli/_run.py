"""`effortctl run`: one task up a ladder, every attempt shown as it happens."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import typer
from rich.status import Status

from effortctl import Controller
from effortctl._errors import ConfigError, StoreError
from effortctl._types import Attempt, Outcome, Price, Task
from effortctl.catalog import Ladder, Rung, load_ladder, sunset_notes
from effortctl.cli import _show
from effortctl.cli._exits import ExitCode, print_json, told, warn
from effortctl.cli._options import AsJson, Gguf, LedgerFile, Recording, UsdPerHour, ledger_path

Carry = Literal["feedback", "none"]

_LOCAL_EFFORTS = ("none", "low", "medium", "high")
_NO_LADDER = (
    "no ladder was chosen: use --ladder local-live (a small model on this machine, no key), --task ID "
    "(recorded answers, no key), or set OPENAI_API_KEY or EFFORTCTL_LADDER"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Wish:
    """What was asked for on the command line."""

    prompt: str | None
    task_id: str | None
    ladder: str | None
    arms: Sequence[str]
    verify: Sequence[str]
    carry: Carry | None
    usd_per_hour: Decimal | None
    gguf: Path | None
    recording: Path | None


def run(  # noqa: PLR0913 - one parameter per option of the command line
    *,
    prompt: Annotated[
        str | None,
        typer.Argument(
            metavar="PROMPT", help="What to ask; - reads it from stdin.", show_default=False
        ),
    ] = None,
    task_id: Annotated[
        str | None,
        typer.Option(
            "--task", metavar="ID", help="A task of the recorded suite instead, e.g. sums/018."
        ),
    ] = None,
    ladder: Annotated[
        str | None,
        typer.Option(
            "--ladder",
            metavar="NAME|FILE",
            help="Arms to climb. Default: $EFFORTCTL_LADDER, else openai when OPENAI_API_KEY is set.",
        ),
    ] = None,
    arm: Annotated[
        list[str] | None,
        typer.Option(
            "--arm", metavar="MODEL@EFFORT", help="An arm instead of a ladder; repeatable."
        ),
    ] = None,
    policy: Annotated[
        Path | None,
        typer.Option(
            "--policy", metavar="FILE", help="Choose arms of the ladder by a learned policy."
        ),
    ] = None,
    verify: Annotated[
        list[str] | None,
        typer.Option(
            "--verify",
            metavar="KIND:ARG",
            help="What accepts an answer, e.g. number:408 or regex:'^[A-Z]+$'; repeatable, all must pass.",
        ),
    ] = None,
    budget: Annotated[
        str | None,
        typer.Option(
            metavar="USD", help="Most this may cost: 0.05 for this task, or $5/day for all."
        ),
    ] = None,
    deadline: Annotated[
        float | None,
        typer.Option(metavar="SECONDS", min=0.001, help="Most seconds this may take."),
    ] = None,
    carry: Annotated[
        Carry | None,
        typer.Option(
            help="Show the failed answer and why it failed to the next arm, or not. "
            "Default: feedback; none for recorded answers."
        ),
    ] = None,
    cache: Annotated[
        bool, typer.Option(help="Keep accepted answers on disk and use them again.")
    ] = False,
    traces: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Append the trace to this file.")
    ] = None,
    ledger: LedgerFile = None,
    gguf: Gguf = None,
    recording: Recording = None,
    usd_per_hour: UsdPerHour = None,
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", help="Print the answer and nothing else.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Ask at the lowest effort, check the answer, escalate until it is accepted.

    Examples:
    - `effortctl run "What is 17*24? Answer with a number." --verify number:408`

    - `effortctl run - --arm gpt-6-luna@none --arm gpt-6-sol@high --budget 0.02 < question.txt`

    - `effortctl run --task sums/018 --usd-per-hour 0.05 --json` (recorded, needs no key)
    """
    wish = _Wish(
        prompt=prompt,
        task_id=task_id,
        ladder=ladder,
        arms=arm or (),
        verify=verify or (),
        carry=carry,
        usd_per_hour=usd_per_hour,
        gguf=gguf,
        recording=recording,
    )
    _refuse_contradictions(wish)
    with told(as_json=as_json), ExitStack() as stack:
        task, check = _task(wish)
        rungs = _ladder(wish)
        today = datetime.now(UTC).date()
        ended = sunset_notes(
            rungs.arms, today, notice=timedelta(0)
        )  # the controller tells of these
        for note in sunset_notes(rungs.arms, today):
            if note not in ended:
                warn(note)
        screen = stack.enter_context(_Screen(as_json=as_json, quiet=quiet))
        controller = Controller(
            **_climbing(rungs, policy),
            verify=check,
            budget=budget,
            deadline_s=deadline,
            backends=_backends(rungs, wish, stack),
            ledger=_open_ledger(ledger, stack),
            cache=_open_cache(stack) if cache else None,
            traces=_open_traces(traces),
            carry=_carry(wish, rungs),
            on_attempt=screen.attempt,
        )
        outcome = stack.enter_context(controller).run(task)
        screen.end(outcome)
    if not outcome.accepted:
        raise typer.Exit(ExitCode.NOT_ACCEPTED)


# --- what is asked ---------------------------------------------------------------------------------


def _refuse_contradictions(wish: _Wish) -> None:
    if (wish.prompt is None) == (wish.task_id is None):
        raise typer.BadParameter("give either a PROMPT (or - for stdin) or --task ID")
    if wish.ladder is not None and wish.arms:
        raise typer.BadParameter("give either --ladder or --arm, not both")


def _task(wish: _Wish) -> tuple[Task, Any]:
    """The task, and what checks its answer."""
    specs = list(wish.verify) or None
    if wish.task_id is not None:
        from effortctl.harness import recorded_case, verifier_for  # noqa: PLC0415 - only for --task

        case = recorded_case(wish.task_id)
        return case.task, specs or verifier_for(case)
    text = sys.stdin.read() if wish.prompt == "-" else wish.prompt or ""
    if not text.strip():
        raise ConfigError("the prompt is empty; write what to ask")
    return Task(input=text), specs


# --- who is asked ----------------------------------------------------------------------------------


def _ladder(wish: _Wish) -> Ladder:
    chosen = load_ladder(_ladder_source(wish))
    arms = chosen.arms
    if any(arm.endpoint.kind == "recorded" for arm in arms):
        if wish.task_id is None:
            raise ConfigError(
                f"ladder {chosen.name!r} only has recorded answers, and your prompt was not recorded; "
                "use --ladder local-live, or name a recorded task with --task"
            )
        from effortctl.harness import recorded_arms  # noqa: PLC0415 - only for recorded arms

        arms = tuple(recorded_arms(arms, usd_per_hour=wish.usd_per_hour or Decimal(0)))
    elif wish.usd_per_hour is not None:
        price = Price(usd_per_hour=wish.usd_per_hour)
        arms = tuple(
            arm.model_copy(update={"price": price}) if arm.endpoint.self_hosted else arm
            for arm in arms
        )
    return chosen.model_copy(update={"arms": arms})


def _ladder_source(wish: _Wish) -> str | list[Rung]:
    if wish.arms:
        return list(wish.arms)
    if wish.ladder is not None:
        return wish.ladder
    if wish.gguf is not None:
        return [
            {"model": wish.gguf.stem, "effort": effort, "endpoint": "local"}
            for effort in _LOCAL_EFFORTS
        ]
    if wish.task_id is not None:
        return "local"
    own = os.environ.get("EFFORTCTL_LADDER")
    if own or os.environ.get("OPENAI_API_KEY"):
        return own or "openai"
    raise ConfigError(_NO_LADDER)


def _climbing(rungs: Ladder, policy: Path | None) -> dict[str, Any]:
    """How arms are chosen: in the order of the ladder, or by a policy."""
    if policy is None:
        return {"ladder": rungs}
    from effortctl._fitted_policy import FittedPolicy  # noqa: PLC0415 - loads NumPy

    return FittedPolicy.load(policy).controller_options(rungs)


def _carry(wish: _Wish, ladder: Ladder) -> Carry:
    recorded = any(arm.endpoint.kind == "recorded" for arm in ladder.arms)
    return wish.carry or ("none" if recorded else "feedback")


def _backends(ladder: Ladder, wish: _Wish, stack: ExitStack) -> dict[str, Any]:
    """What only we can make: the model on this machine, and recordings other than the shipped one."""
    made: dict[str, Any] = {}
    for endpoint in {arm.endpoint.name: arm.endpoint for arm in ladder.arms}.values():
        if endpoint.kind == "local":
            from effortctl.backends import LocalBackend, find_weights  # noqa: PLC0415 - loads the SDK

            made[endpoint.name] = stack.enter_context(LocalBackend(find_weights(wish.gguf)))
        elif endpoint.kind == "recorded":
            from effortctl.backends import RecordedBackend  # noqa: PLC0415 - reads the recording

            made[endpoint.name] = RecordedBackend(wish.recording)
    return made


# --- what is kept ----------------------------------------------------------------------------------


def _open_ledger(path: Path | None, stack: ExitStack) -> Any:
    from effortctl.stores import SqliteLedger  # noqa: PLC0415 - as the others

    return stack.enter_context(SqliteLedger(ledger_path(path)))


def _open_cache(stack: ExitStack) -> Any:
    from effortctl.stores import DiskCache  # noqa: PLC0415 - loads diskcache

    return stack.enter_context(DiskCache())


def _open_traces(path: Path | None) -> Any:
    """The file of traces; one that cannot be written must be noticed before the answer is paid for."""
    from effortctl.stores import TraceStore  # noqa: PLC0415 - as the others

    if path is not None and path.is_dir():
        raise StoreError(f"{path} is a folder; name a file for the traces")
    return None if path is None else TraceStore(path)


# --- what is shown ---------------------------------------------------------------------------------


class _Screen:
    """Shows attempts as they happen, and the outcome at the end.

    Text goes to stdout. With `--json` or `--quiet` stdout is kept clean, and a person at the terminal
    still sees the attempts on stderr.
    """

    def __init__(self, *, as_json: bool, quiet: bool) -> None:
        self._as_json = as_json
        self._quiet = quiet
        watched = _show.stderr_is_terminal()
        self._console = _show.err() if as_json else _show.out()
        self._shows_attempts = watched if as_json else not quiet
        self._status = Status("asking", console=_show.err()) if watched and not quiet else None

    def __enter__(self) -> Self:
        if self._status is not None:
            self._status.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._status is not None:
            self._status.stop()

    def attempt(self, attempt: Attempt) -> None:
        """Print one attempt; the spinner steps aside meanwhile."""
        if not self._shows_attempts:
            return
        self.__exit__()
        _show.print_attempt(self._console, attempt)
        self.__enter__()

    def end(self, outcome: Outcome[str]) -> None:
        """Print the outcome."""
        self.__exit__()
        self._status = None
        trace = outcome.trace
        if self._as_json:
            print_json(trace.model_dump(mode="json") | {"cost_usd": f"{trace.cost_usd:f}"})
            return
        if self._quiet:
            typer.echo(outcome.value or "")
            return
        self._console.print()
        self._console.print(outcome.value or "(no answer)", soft_wrap=True)
        self._console.print()
        self._console.print(_show.summary(trace), style="bold")
