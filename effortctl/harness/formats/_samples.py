"""What every importer produces, and how it becomes outcome rows: scored, priced, averaged."""

from __future__ import annotations

import json
import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from statistics import fmean
from typing import Any, Final

from effortctl._errors import ConfigError, StoreError, VerifierError
from effortctl._types import EFFORTS, Case, Usage
from effortctl.harness.datasets import Dataset
from effortctl.harness.formats._dollars import Bill, Prices
from effortctl.stores import OutcomeRow

CHARS_PER_TOKEN: Final = 4
"""For estimates the user asked for; English text has about so many."""

_MOST_TOKENS: Final = 1e12
"""No answer has more; a larger count is a mistake in the file."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One answer of one arm to one task, as a file has it.

    Attributes:
        place: Where it stands, in words.
        query_id: The task.
        model: Model id.
        effort: Effort, where the file says.
        arm: Name of the arm. None: `model@effort`.
        score: In 0..1. None: the file has no score.
        bills: What was used, the model that answered first, then models that graded.
        query: The prompt.
        category: The task's kind.
        cluster: Tasks of one cluster are not independent.
        verdict: What a run-time check said.
        latency_s: Seconds of the call.
        answer: What the model wrote. None: the file does not say.
        incomplete: It was cut off, refused or filtered, so it is wrong whatever it says.
    """

    place: str
    query_id: str
    model: str
    effort: str | None = None
    arm: str | None = None
    score: float | None = None
    bills: tuple[Bill, ...] = ()
    query: str | None = None
    category: str | None = None
    cluster: str | None = None
    verdict: str | None = None
    latency_s: float | None = None
    answer: str | None = None
    incomplete: bool = False

    @property
    def arm_name(self) -> str:
        """The arm's own name, else model and effort."""
        if self.arm is not None:
            return self.arm
        return self.model if self.effort is None else f"{self.model}@{self.effort}"


@dataclass(slots=True, kw_only=True)
class Intake:
    """Settings of an import, and what is counted on the way.

    Attributes:
        prices: Prices answers.
        dataset: Scores answers again, whatever the file says. None: the file's scores are taken.
        scorer: Name of the score to take where a file has several. None: the first.
        trust_verdicts: A recorded verdict counts as the score; right only for exact checks.
        task_attribute: Name of the attribute that names the task of an OTel span. None: the trace id.
        estimate_tokens: Where tokens are not known, take a token per four characters of the text.
        left_out: Why something was left out → how often.
        notes: Sentences a reader must know.
    """

    prices: Prices = field(default_factory=Prices)
    dataset: Dataset | None = None
    scorer: str | None = None
    trust_verdicts: bool = False
    task_attribute: str | None = None
    estimate_tokens: bool = False
    left_out: Counter[str] = field(default_factory=Counter)
    notes: dict[str, None] = field(default_factory=dict)

    def rows(self, samples: Iterable[Sample]) -> list[OutcomeRow]:
        """Score, price and average samples: one row per (task, arm), in order of appearance.

        Raises:
            StoreError: A score is outside 0..1, or the rows make no sense; names the place.
        """
        cases = {} if self.dataset is None else {c.task.id: c for c in self.dataset.cases}
        facts: dict[str, _Facts] = defaultdict(_Facts)
        found: dict[tuple[str, str], list[tuple[Sample, float]]] = defaultdict(list)
        for sample in samples:
            score = self._score(sample, cases)
            if score is None:
                continue
            facts[sample.query_id].learn(sample, cases.get(sample.query_id))
            found[sample.query_id, sample.arm_name].append((sample, score))
        self._note_changed(facts)
        return [self._row(tried, facts[task]) for (task, _), tried in found.items()]

    def note(self, sentence: str) -> None:
        """Keep a sentence for the reader, once."""
        self.notes[sentence] = None

    def _score(self, sample: Sample, cases: Mapping[str, Case]) -> float | None:
        score = sample.score if self.dataset is None else self._rescore(sample, cases)
        if score is None and self.dataset is None:
            self.left_out["no score in the file"] += 1
        if score is not None and not 0 <= score <= 1:
            raise StoreError(f"{sample.place}: the score is {score:g}, expected 0..1")
        return score

    def _rescore(self, sample: Sample, cases: Mapping[str, Case]) -> float | None:
        case = cases.get(sample.query_id)
        if self.dataset is None or case is None:
            self.left_out["the task is not in the dataset"] += 1
            return None
        if sample.incomplete:
            return 0.0
        if sample.answer is None:
            self.left_out["no answer text to score"] += 1
            return None
        try:
            return self.dataset.score(case, sample.answer)
        except VerifierError:
            self.left_out["the metric could not decide"] += 1
            return None

    def _note_changed(self, facts: Mapping[str, _Facts]) -> None:
        changed = sum(fact.changed for fact in facts.values())
        if changed:
            self.note(
                f"{changed} tasks have different prompts or labels for different arms; the first is kept"
            )

    def _row(self, tried: list[tuple[Sample, float]], facts: _Facts) -> OutcomeRow:
        first = tried[0][0]
        samples = [sample for sample, _ in tried]
        costs = [self.prices.total(sample.arm_name, sample.bills) for sample in samples]
        known = [float(cost) for cost in costs if cost is not None]
        verdicts = {sample.verdict for sample in samples}
        usages = [bill.usage for s in samples for bill in s.bills[:1] if bill.usage is not None]
        whole = usages if len(usages) == len(samples) else []
        reasoning = [u.reasoning_tokens for u in whole if u.reasoning_tokens is not None]
        try:
            return OutcomeRow(
                query_id=first.query_id,
                arm=first.arm_name,
                score=fmean(score for _, score in tried),
                query=facts.query,
                category=facts.category,
                cluster=facts.cluster,
                model=first.model,
                effort=first.effort if first.effort in EFFORTS else None,
                verdict=verdicts.pop() if len(verdicts) == 1 else None,
                cost_usd=fmean(known) if len(known) == len(samples) else None,
                input_tokens=_mean([usage.input_tokens for usage in whole]),
                output_tokens=_mean([usage.output_tokens for usage in whole]),
                cached_tokens=_mean([usage.cached_tokens for usage in whole]),
                reasoning_tokens=_mean(reasoning) if len(reasoning) == len(samples) else None,
                latency_s=_mean([s.latency_s for s in samples if s.latency_s is not None]),
                n_samples=len(samples),
                answer=first.answer if len(samples) == 1 else None,
            )
        except ConfigError as error:
            raise StoreError(f"{first.place}: {error}") from None


@dataclass(slots=True)
class _Facts:
    """What the dataset, else the samples of a task, say of the task."""

    query: str | None = None
    category: str | None = None
    cluster: str | None = None
    changed: bool = False

    def learn(self, sample: Sample, case: Case | None) -> None:
        if case is not None:
            self.query = case.task.text
            self.category = case.task.category or self.category or sample.category
            self.cluster = case.cluster or self.cluster or sample.cluster
            return
        for name in ("query", "category", "cluster"):
            known, said = getattr(self, name), getattr(sample, name)
            if known is None:
                setattr(self, name, said)
            elif said is not None and said != known:
                self.changed = True


def _mean(values: list[int] | list[float]) -> float | None:
    return fmean(values) if values else None


# --- values of foreign files -----------------------------------------------------------------------


def usage_of(
    place: str,
    *,
    given_in: Any,
    given_out: Any,
    cached: Any = None,
    written: Any = None,
    reasoning: Any = None,
) -> Usage | None:
    """Tokens as a file has them; None where it has no totals.

    A part that is larger than its total was counted apart from it, so it is added.

    Raises:
        StoreError: A count is not a whole number of 0 or more.
    """
    total_in, total_out = (
        count(given_in, "input tokens", place),
        count(given_out, "output tokens", place),
    )
    if total_in is None or total_out is None:
        return None
    read = count(cached, "cached tokens", place) or 0
    kept = count(written, "cache-written tokens", place) or 0
    thought = count(reasoning, "reasoning tokens", place)
    return Usage(
        input_tokens=total_in if read + kept <= total_in else total_in + read + kept,
        cached_tokens=read,
        cache_write_tokens=kept,
        output_tokens=total_out if (thought or 0) <= total_out else total_out + (thought or 0),
        reasoning_tokens=thought,
    )


def count(value: Any, what: str, place: str) -> int | None:
    """A whole number of 0 or more; None where there is none.

    Raises:
        StoreError: It is something else.
    """
    number = amount(value, what, place)
    if number is None:
        return None
    if number != int(number) or number > _MOST_TOKENS:
        raise StoreError(f"{place}: {what} are {number:g}, expected a whole number")
    return int(number)


def amount(value: Any, what: str, place: str) -> float | None:
    """A finite number of 0 or more; None where there is none.

    Raises:
        StoreError: It is something else.
    """
    if value is None or value == "":
        return None
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        number = math.nan
    if isinstance(value, bool) or not math.isfinite(number) or number < 0:
        raise StoreError(f"{place}: {what} are {str(value)[:40]!r}, expected a number of 0 or more")
    return number


def dollars(value: Any, place: str) -> Decimal | None:
    """Dollars, exactly as written; None where there are none.

    Raises:
        StoreError: It is no amount of 0 or more.
    """
    if amount(value, "dollars", place) is None:
        return None
    try:
        return Decimal(str(value).strip())
    except InvalidOperation:
        raise StoreError(f"{place}: dollars are {str(value)[:40]!r}, expected a number") from None


def plain_text(value: Any) -> str | None:
    """Text as it is, numbers and structures as JSON writes them, nothing as None."""
    if value is None or isinstance(value, str):
        return value or None
    return json.dumps(value, ensure_ascii=False, default=str)


def estimated_usage(prompt: str, answer: str) -> Usage:
    """A token per four characters, marked as an estimate."""
    return Usage(
        input_tokens=-(-len(prompt) // CHARS_PER_TOKEN),
        output_tokens=-(-len(answer) // CHARS_PER_TOKEN),
        estimated=True,
    )
