"""A learned policy, a plan and a comparison of two policies, in words, tables and small plots."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from rich.text import Text

from effortctl.cli import _show

if TYPE_CHECKING:
    from rich.console import RenderableType

    from effortctl._fitted_policy import FittedPolicy
    from effortctl.estimators import FittedArm
    from effortctl.policies import Plan, Then

_BLOCKS = " ▁▂▃▄▅▆▇█"
_ASCII = " .:-=+*#@"
_CURVE_WIDTH = 16
_LONGEST_SHOWN = 8
"""Lists longer than this are compared, but not shown."""

_HOUR_S = 3600.0

_TARGETS = {
    "value_usd": "a correct answer is worth {usd}",
    "max_cost_usd": "the best quality for at most {usd} per task",
    "min_quality": "the lowest cost at a quality of {amount:.3f}",
    "best_arm": "the quality of the best single arm ({amount:.3f} on the tasks learned from) for less",
}


# --- small plots -----------------------------------------------------------------------------------


def plot(heights: Sequence[float], *, top: float) -> str:
    """One character per height, from 0 to `top`; ASCII where stdout knows nothing else."""
    encoding = (getattr(sys.stdout, "encoding", None) or "").lower().replace("-", "")
    marks = _BLOCKS if encoding == "utf8" else _ASCII
    most = len(marks) - 1
    shares = (min(1.0, max(0.0, height / top)) if top > 0 else 0.0 for height in heights)
    # What is there at all must be seen, so only a true zero is blank.
    return "".join(marks[0 if share == 0 else max(1, round(share * most))] for share in shares)


def usd(amount: float) -> str:
    """Dollars of a prediction: three digits."""
    return _show.usd(Decimal(f"{amount:.3g}"))


# --- a policy --------------------------------------------------------------------------------------


def policy_parts(fitted: FittedPolicy) -> Iterator[RenderableType]:
    """Everything `policy show` prints, in order."""
    origin, bins = fitted.provenance, fitted.difficulty
    if origin.tasks:
        yield (
            f"Learned on {origin.created} from {_show.plural(origin.tasks, 'task')} with "
            f"{_show.plural(origin.outcomes, 'outcome')}: {origin.learn_tasks} to learn from, "
            f"{origin.certify_tasks} to certify."
        )
        yield ""
        yield Text("Predicted difficulty of these tasks", style="bold")
        yield f"  easy |{plot(bins.counts, top=max(bins.counts))}| hard"
    else:
        yield f"Made on {origin.created} from the shipped prior, without any outcome."
    yield ""
    yield Text("P(correct) of each arm, from the easiest task to the hardest", style="bold")
    yield _arms(fitted)
    yield ""
    yield f"Target: {_target(fitted)}."
    yield (
        f"Lambda: a dollar must buy {fitted.lambda_:.3g} of quality, as if a correct answer were worth "
        f"{usd(fitted.value_usd)}."
    )
    yield _check(fitted)
    if fitted.usd_per_second:
        yield f"An hour of waiting costs {usd(_HOUR_S * fitted.usd_per_second)}, part of all dollars below."
    yield ""
    if fitted.results:
        yield Text(f"On the {origin.certify_tasks} tasks kept for the certificate", style="bold")
        yield _results(fitted)
        yield ""
    yield from certificate_lines(fitted)


def certificate_lines(fitted: FittedPolicy) -> Iterator[RenderableType]:
    """The verdict, and what to do instead where it is no."""
    certificate = fitted.certificate
    if certificate.certified:
        yield Text(f"Certified: {certificate.reason}.", style="green")
        return
    yield Text(f"Not certified. {_sentence(certificate.reason)}.", style="yellow")


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]


def _target(fitted: FittedPolicy) -> str:
    target = fitted.target
    return _TARGETS[target.kind].format(amount=target.amount, usd=usd(target.amount))


def _check(fitted: FittedPolicy) -> str:
    kind = fitted.model.verifier
    if fitted.agreement is not None:
        return (
            "Nothing checks answers; the arms' answers are compared with each other "
            f"({fitted.same_answer})."
        )
    if kind == "exact":
        return "Answers are checked by a verifier that is never wrong."
    if kind == "none":
        return "Answers are not checked, so the first arm that is tried answers."
    rates = [f"{arm} {tpr:.2f} / {fpr:.2f}" for arm, (tpr, fpr) in fitted.reliability.items()]
    return f"The check passes right / wrong answers with P ({kind}): {'; '.join(rates)}."


def _levels(fitted: FittedPolicy) -> tuple[float, float, float]:
    """The middles of the difficulties called easy, medium and hard."""
    ends = fitted.model.scorer.bands
    easy, medium, hard = ((low + high) / 2 for low, high in pairwise(ends))
    return easy, medium, hard


def _arms(fitted: FittedPolicy) -> RenderableType:
    numbers = ("easy", "medium", "hard", "$ a call")
    listing = _show.table("arm", "curve", *numbers, right=numbers, wrap="arm")
    bins = fitted.difficulty
    step = (bins.high - bins.low) / (_CURVE_WIDTH - 1)
    places = [bins.low + step * i for i in range(_CURVE_WIDTH)]
    for arm in fitted.model.arms:
        chances = [f"{p:.2f}" for p in _chances(arm, _levels(fitted))]
        cost = usd(fitted.provenance.prices[arm.name])
        listing.add_row(arm.name, f"|{plot(_chances(arm, places), top=1.0)}|", *chances, cost)
    return listing


def _chances(arm: FittedArm, difficulties: Sequence[float]) -> list[float]:
    return [float(p) for p in arm.curve.predict(list(difficulties))]


def _results(fitted: FittedPolicy) -> RenderableType:
    listing = _show.table(
        "choice", "quality", "$ a task", right=("quality", "$ a task"), wrap="choice"
    )
    for result in fitted.results:
        listing.add_row(result.name, f"{result.quality:.3f}", usd(result.cost_usd))
    return listing


def fields(fitted: FittedPolicy) -> dict[str, Any]:
    """A policy for programs: all but the coefficients of the difficulty model."""
    document = fitted.to_json()
    document["arms"] = document.pop("model")["arms"]
    for arm in document["arms"]:
        (known,) = (each for each in fitted.model.arms if each.name == arm["name"])
        levels = zip(("easy", "medium", "hard"), _chances(known, _levels(fitted)), strict=True)
        arm["p_correct"] = dict(levels)
        arm["mean_cost_usd"] = fitted.provenance.prices[known.name]
    return document


# --- a plan ----------------------------------------------------------------------------------------


def plan_parts(plan: Plan, fitted: FittedPolicy) -> Iterator[RenderableType]:
    """Everything `plan` prints below the difficulty."""
    if plan.first is None:
        yield f"No arm is worth its price at {usd(plan.value_usd)} for a correct answer."
    else:
        yield (
            f"Plan: try {plan.first} first. On average {usd(plan.cost_usd)} for an answer that is correct "
            f"with P = {plan.quality:.2f}; a correct one is worth {usd(plan.value_usd)}."
        )
        yield ""
        yield from _course(plan)
    yield ""
    yield Text("Starting with another arm, and going on as well as possible", style="bold")
    yield _alternatives(plan)
    yield from _why(plan)
    yield ""
    if fitted.on_trust and not fitted.certificate.certified:
        yield "A controller follows this plan on trust:"
    elif not fitted.certificate.certified:
        yield "A controller does not follow this plan, because it is not certified:"
    yield from certificate_lines(fitted)


def _course(plan: Plan) -> Iterator[RenderableType]:
    """What happens on each verdict."""
    if plan.evidence == "agreement":
        yield from plan.sentences
        return
    yield _steps(plan)
    yield "Probabilities; `correct` holds once the checks above it have failed."


def _steps(plan: Plan) -> RenderableType:
    numbers = ("reached", "correct", "$")
    listing = _show.table("arm", *numbers, "if it passes", "if it fails", right=numbers, wrap="arm")
    for step in plan.steps:
        listing.add_row(
            step.arm,
            f"{step.p_reach:.2f}",
            f"{step.p_correct:.2f}",
            usd(step.cost_usd),
            _then(step.on_pass, step.arm),
            _then(step.on_fail, step.arm),
        )
    return listing


def _then(then: Then, arm: str) -> str:
    if then.do == "give_up":
        return "give up"
    if then.do == "return":
        what = "return it" if then.arm == arm else f"return {then.arm}"
        return f"{what} ({then.p_correct:.2f})"
    return "try the next" if then.arm != arm else "try it again"


def _alternatives(plan: Plan) -> RenderableType:
    numbers = ("P(correct)", "worth net of $", "against plan")
    rounding = 1e-6 * plan.value_usd
    listing = _show.table("first arm", *numbers, right=numbers, wrap="first arm")
    for arm, net in sorted(plan.alternatives.items(), key=lambda item: -item[1]):
        loss = usd(net - plan.net_usd) if net < plan.net_usd - rounding else "-"
        listing.add_row(arm, f"{plan.p_correct[arm]:.2f}", usd(net), loss)
    return listing


def _why(plan: Plan) -> Iterator[str]:
    others = {arm: net for arm, net in plan.alternatives.items() if arm != plan.first}
    if plan.first is None or not others:
        return
    second = max(others, key=lambda arm: others[arm])
    loss = plan.net_usd - others[second]
    yield (
        f"Why {plan.first}: starting with {second}, the next best, would be worth {usd(max(0.0, loss))} "
        "less per task."
    )


# --- two policies ----------------------------------------------------------------------------------


def changes(first: FittedPolicy, second: FittedPolicy) -> list[tuple[str, tuple[Any, Any]]]:
    """Names and both values of everything that differs; None where one of them has no such thing."""
    documents = [_by_arm(fitted.to_json()) for fitted in (first, second)]
    arms = [document.pop("arms") for document in documents]
    shared = arms[0].keys() & arms[1].keys()
    for document, known in zip(documents, arms, strict=True):
        document["arm"] = {name: known[name] for name in shared}
        document["arms"] = list(known)
    old, new = (dict(_flat(document, "")) for document in documents)
    names = sorted(old.keys() | new.keys())
    return [
        (name, (old.get(name), new.get(name))) for name in names if old.get(name) != new.get(name)
    ]


def short(value: Any) -> str:
    """A value in a cell of a table."""
    if value is None:
        return "-"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _by_arm(document: dict[str, Any]) -> dict[str, Any]:
    """Arms by name, so that an arm more does not look like every arm changed."""
    model = document["model"]
    document["arms"] = {arm["name"]: arm for arm in model["arms"]}
    document["model"] = {
        "difficulty": model["difficulty"],
        "verifier": model["verifier"],
    }
    return document


def _flat(value: Any, name: str) -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping):
        for key, each in value.items():
            yield from _flat(each, f"{name}.{key}" if name else key)
    elif isinstance(value, list) and any(isinstance(each, list | Mapping) for each in value):
        for number, each in enumerate(value):
            yield from _flat(each, f"{name}[{number}]")
    elif isinstance(value, list) and len(value) > _LONGEST_SHOWN:
        yield name, f"{len(value)} values, sum {sum(value):.6g}" if _numeric(value) else len(value)
    elif isinstance(value, list):
        yield name, ", ".join(short(each) for each in value)
    else:
        yield name, value


def _numeric(values: Sequence[Any]) -> bool:
    return all(isinstance(each, int | float) for each in values)
