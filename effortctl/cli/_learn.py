"""`effortctl learn`, `effortctl plan` and `effortctl policy`: from outcomes to a policy one can read."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeAlias

import typer

from effortctl._errors import ConfigError
from effortctl._types import Task
from effortctl.cli import _policy_text, _show
from effortctl.cli._exits import print_json, told, warn
from effortctl.cli._help import App
from effortctl.cli._learn_traces import Gathered, Sources, doubts, gather
from effortctl.cli._options import AsJson, read_verifier

if TYPE_CHECKING:
    from effortctl._fitted_policy import FittedPolicy
    from effortctl.stores import OutcomeMatrix

app = App(help="Look at learned policies.")

PolicyFile: TypeAlias = Annotated[
    Path, typer.Argument(metavar="FILE", help="A policy that `effortctl learn` wrote.")
]
_HOUR_S = 3600.0


PriorLadder: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--ladder",
        metavar="NAME|FILE",
        help="Begin with what is believed of these arms beforehand (efforts, prices); it counts the "
        "less, the more outcomes there are.",
    ),
]


class SameAnswer(StrEnum):
    """How answers are compared where nothing else can check them."""

    TEXT = "text"
    CHOICE = "choice"
    NUMBER = "number"


class ClusterBy(StrEnum):
    """What makes tasks stand or fall together."""

    CLUSTER = "cluster"
    CATEGORY = "category"


def learn(  # noqa: PLR0913 - one parameter per option of the command
    outcomes: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="OUTCOMES",
            help="Files of outcomes: .jsonl, .csv (either may end in .gz) or .parquet. Without these and "
            "--traces, a policy is made of the shipped prior, which needs --ladder.",
        ),
    ] = None,
    *,
    traces: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="FILE", help="Learn from traces of finished tasks, too; may be given again."
        ),
    ] = None,
    feedback: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="FILE",
            help="How good their answers were; may be given again. Default: the files beside the traces.",
        ),
    ] = None,
    prompts: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Their prompts, which traces do not hold: rows of id and input, as in a dataset.",
        ),
    ] = None,
    trust_verdicts: Annotated[
        bool,
        typer.Option(
            "--trust-verdicts",
            help="An answer nobody judged is right if its check passed it; only if the check never errs.",
        ),
    ] = False,
    ladder: PriorLadder = None,
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="FILE", help="Where the policy goes.")
    ] = Path("policy.json"),
    arms: Annotated[
        str | None, typer.Option(metavar="A,B,C", help="Arms to choose from. Default: all.")
    ] = None,
    value_usd: Annotated[
        float | None,
        typer.Option(metavar="USD", help="Dollars an accepted correct answer is worth."),
    ] = None,
    max_cost_usd: Annotated[
        float | None, typer.Option(metavar="USD", help="Best quality for at most this a task.")
    ] = None,
    min_quality: Annotated[
        float | None, typer.Option(metavar="0..1", help="Lowest cost at no less than this quality.")
    ] = None,
    verifier: Annotated[
        str,
        typer.Option(
            metavar="exact|none|recorded|agreement|TPR,FPR",
            help="What will check answers: never wrong, nothing, as its recorded verdicts, the answers of "
            "other arms, or rates.",
        ),
    ] = "exact",
    same_answer: Annotated[
        SameAnswer,
        typer.Option(help="With agreement: compare whole texts, letters of choices, or numbers."),
    ] = SameAnswer.TEXT,
    cluster_by: Annotated[
        ClusterBy,
        typer.Option(
            help="Tasks to come are of the same categories as these, or of other ones: then whole "
            "categories are held out while learning.",
        ),
    ] = ClusterBy.CLUSTER,
    value_of_time: Annotated[
        float, typer.Option(metavar="USD_PER_HOUR", help="Dollars an hour of waiting costs.")
    ] = 0.0,
    epsilon: Annotated[
        float, typer.Option(help="Quality a certificate may give up for lower cost.")
    ] = 0.01,
    seed: Annotated[int, typer.Option(help="Makes splits and fits repeatable.")] = 0,
    as_json: AsJson = False,
) -> None:
    """Learn from recorded outcomes when to try which arm, and whether that pays.

    Without a target, the policy is tuned to match the best single arm for less money.

    Examples:
    - `effortctl learn outcomes.jsonl.gz -o policy.json`

    - `effortctl learn a.csv b.csv --arms small,big --value-usd 0.05 --verifier 0.95,0.05`

    - `effortctl learn --ladder openai -o first-day.json` (no outcomes yet: the shipped prior)

    - `effortctl learn --traces traces.jsonl --prompts tasks.jsonl --ladder openai` (with their feedback)
    """
    choice = read_verifier(verifier)
    sources = Sources(
        traces=traces or (),
        feedback=feedback or (),
        prompts=prompts,
        trust_verdicts=trust_verdicts,
    )
    if not sources.traces and (feedback or prompts or trust_verdicts):
        raise typer.BadParameter(
            "--feedback, --prompts and --trust-verdicts are about --traces FILE"
        )
    if not outcomes and not sources.traces and ladder is None:
        raise typer.BadParameter(
            "name files of OUTCOMES or --traces, or --ladder to begin without any"
        )
    with told(as_json=as_json):
        from effortctl._learn import cold_start  # noqa: PLC0415 - slow to load
        from effortctl._learn import learn as learn_policy  # noqa: PLC0415 - slow to load
        from effortctl.policies import Criteria  # noqa: PLC0415 - slow to load

        if not outcomes and not sources.traces:
            _refuse_targets(max_cost_usd, min_quality)
            begun = cold_start(
                ladder or "",
                value_usd=value_usd,
                usd_per_second=value_of_time / _HOUR_S,
                verifier=choice,
            )
            _end(begun, output, as_json=as_json)
            return
        with _show.progress("learning") as tell:
            tell("reading outcomes", 0.0)
            matrix, gathered = _outcomes(outcomes or [], sources)
            for doubt in doubts(matrix, verifier=choice, ladder=ladder) if gathered else ():
                warn(doubt)
            fitted = learn_policy(
                matrix,
                arms=None if arms is None else [arm.strip() for arm in arms.split(",")],
                value_usd=value_usd,
                max_cost_usd=max_cost_usd,
                min_quality=min_quality,
                verifier=choice,
                same_answer=same_answer.value,
                cluster_by=cluster_by.value,
                usd_per_second=value_of_time / _HOUR_S,
                criteria=Criteria(epsilon=epsilon),
                ladder=ladder,
                seed=seed,
                progress=tell,
            )
        _end(fitted, output, gathered=gathered, as_json=as_json)


def _outcomes(files: Sequence[Path], sources: Sources) -> tuple[OutcomeMatrix, Gathered | None]:
    """All outcomes, and what came from traces."""
    from effortctl.stores import read_outcomes  # noqa: PLC0415 - as the others

    matrix = read_outcomes(*files) if files else None
    if matrix is not None and not sources.traces:
        return matrix, None
    joined, gathered, warnings = gather(sources, matrix)
    for warning in warnings:
        warn(warning)
    return joined, gathered


def _refuse_targets(max_cost_usd: float | None, min_quality: float | None) -> None:
    if max_cost_usd is not None or min_quality is not None:
        raise ConfigError(
            "without outcomes nobody knows what a plan would cost or reach; give --value-usd instead of "
            "--max-cost-usd and --min-quality"
        )


def _end(
    fitted: FittedPolicy, output: Path, *, as_json: bool, gathered: Gathered | None = None
) -> None:
    fitted.save(output)
    if as_json:
        traced = {"traces": gathered.fields()} if gathered else {}
        print_json({"policy": str(output), **_policy_text.fields(fitted), **traced})
        return
    _print_policy(fitted)
    console = _show.out()
    if gathered is not None:
        console.print()
        console.print(gathered.sentence())
    console.print()
    console.print(f"Written to {output}", soft_wrap=True)
    console.print(f"Next: effortctl plan --policy {output} PROMPT", soft_wrap=True)


def plan(
    prompt: Annotated[
        str, typer.Argument(metavar="PROMPT", help="What would be asked; - reads it from stdin.")
    ],
    *,
    policy: Annotated[
        Path | None,
        typer.Option("--policy", metavar="FILE", help="A learned policy. Default: policy.json."),
    ] = None,
    ladder: Annotated[
        str | None,
        typer.Option(
            "--ladder",
            metavar="NAME|FILE",
            help="Instead of a policy: plan these arms from the shipped prior.",
        ),
    ] = None,
    category: Annotated[
        str | None, typer.Option(metavar="LABEL", help="The task's category, if outcomes had any.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Explain what a policy would do with a prompt, and why. Nothing is called.

    Examples:
    - `effortctl plan --policy policy.json "What is 17 * 24?"`

    - `effortctl plan --policy policy.json - --json < prompt.txt`

    - `effortctl plan --ladder openai "Prove that 7 is prime."` (nothing learned yet)
    """
    if policy is not None and ladder is not None:
        raise typer.BadParameter("give either --policy or --ladder, not both")
    with told(as_json=as_json):
        text = sys.stdin.read() if prompt == "-" else prompt
        if not text.strip():
            raise ConfigError("the prompt is empty; write what to ask")
        fitted = _load(policy or Path("policy.json")) if ladder is None else _begun(ladder)
        task = Task(input=text, category=category)
        planned, expected = fitted.plan(task), fitted.model.estimates([task])
        label, difficulty = expected.labels[0], float(expected.difficulty[0])
        if as_json:
            print_json(
                {
                    "difficulty": {"label": label, "logit": difficulty},
                    "plan": planned.why,
                    "certified": fitted.certificate.certified,
                    "decides": fitted.decides,
                    "acting": fitted.policy().name.removeprefix("guarded:"),
                    "reason": fitted.certificate.reason,
                }
            )
            return
        console = _show.out()
        console.print(f"Difficulty: {label} ({difficulty:+.2f} logits)")
        for part in _policy_text.plan_parts(planned, fitted):
            console.print(part)


@app.command("show")
def show(file: PolicyFile, *, as_json: AsJson = False) -> None:
    """Show what a policy knows of the arms, what it was learned from, and its certificate.

    Examples:
    - `effortctl policy show policy.json`

    - `effortctl policy show policy.json --json`
    """
    with told(as_json=as_json):
        fitted = _load(file)
        if as_json:
            print_json({"policy": str(file), **_policy_text.fields(fitted)})
        else:
            _print_policy(fitted)


@app.command("diff")
def diff(
    first: Annotated[Path, typer.Argument(metavar="OLD", help="A policy.")],
    second: Annotated[Path, typer.Argument(metavar="NEW", help="Another one.")],
    *,
    as_json: AsJson = False,
) -> None:
    """Show what differs between two policies.

    Examples:
    - `effortctl policy diff old.json new.json`

    - `effortctl policy diff old.json new.json --json`
    """
    with told(as_json=as_json):
        changes = _policy_text.changes(_load(first), _load(second))
        if as_json:
            print_json({name: {"first": old, "second": new} for name, (old, new) in changes})
            return
        console = _show.out()
        if not changes:
            console.print("The policies are the same.")
            return
        for name, (old, new) in changes:
            was, now = _policy_text.short(old), _policy_text.short(new)
            console.print(f"{name}: {was} -> {now}", soft_wrap=True)


def _begun(ladder: str) -> FittedPolicy:
    from effortctl._learn import cold_start  # noqa: PLC0415 - slow to load

    return cold_start(ladder)


def _load(path: Path) -> FittedPolicy:
    from effortctl._fitted_policy import FittedPolicy  # noqa: PLC0415 - slow to load

    return FittedPolicy.load(path)


def _print_policy(fitted: FittedPolicy) -> None:
    console = _show.out()
    for part in _policy_text.policy_parts(fitted):
        console.print(part)
