"""A dataset: cases in a fixed order, each with its check and its metric."""

from __future__ import annotations

import hashlib
import json
import random
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from effortctl._errors import ConfigError, SandboxUnavailableError
from effortctl._types import Case
from effortctl.harness.datasets._checks import build_check
from effortctl.harness.datasets._metrics import Metric, metric_named, score_by
from effortctl.protocols import AnyVerifier
from effortctl.verifiers import check as as_check

_ADDRESS = re.compile(r" at 0x[0-9a-f]+")
BY_METRIC: Final = "metric"
"""As `verify`: the case's metric is the run-time check, so the check is exact."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Dataset:
    """Cases, and how to judge their answers.

    Attributes:
        name: What was loaded, for people.
        cases: In file order; every `task.id` once.
        metric: Decides about the cases that name no metric of their own.
        metrics: Case id → the metric it names itself.
        verify: Check of the cases that have none of their own: a spec, a function, `metric`, or None.
        checks: Case id → its own check, as it stands in the file.
        notes: Sentences a reader must know, e.g. columns that were ignored.
    """

    name: str
    cases: tuple[Case, ...]
    metric: str | Metric | Callable[[str, Case], Any] = "text"
    metrics: Mapping[str, str] = field(default_factory=dict)
    verify: Any = None
    checks: Mapping[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.cases)

    def __getitem__(self, case_id: str) -> Case:
        """The case of this id.

        Raises:
            KeyError: There is none.
        """
        for case in self.cases:
            if case.task.id == case_id:
                return case
        raise KeyError(case_id)

    @property
    def metric_names(self) -> tuple[str, ...]:
        """Names of the metrics in use, the dataset's own first."""
        own = set(self.metrics.values())
        default = _metric_name(self.metric)
        in_use = {default} if len(self.metrics) < len(self.cases) else set()
        return (*sorted(in_use), *sorted(own - in_use))

    @property
    def fingerprint(self) -> str:
        """SHA-256 of everything that decides scores, whatever the order of the cases."""
        digest = hashlib.sha256()
        for case in sorted(self.cases, key=lambda case: case.task.id):
            record = [case.model_dump(mode="python"), self.spec(case), self._metric_of(case)]
            digest.update(json.dumps(record, sort_keys=True, default=_stable).encode())
        return f"sha256:{digest.hexdigest()}"

    def spec(self, case: Case) -> Any:
        """The run-time check of a case as it was written; None where there is none."""
        return self.checks.get(case.task.id, self.verify)

    def verifier(self, case: Case) -> AnyVerifier | None:
        """The run-time check of a case; None where there is none.

        Raises:
            ConfigError: The check makes no sense; the message names the case.
            SandboxUnavailableError: It runs code, and no sandbox works on this machine.
        """
        spec = self.spec(case)
        if spec is None:
            return None
        if isinstance(spec, str) and spec == BY_METRIC:
            return as_check(lambda text: self.score(case, text) == 1, name="metric")
        try:
            return build_check(spec, case)
        except ConfigError as error:
            raise ConfigError(f"case {case.task.id!r}: its check makes no sense: {error}") from None

    def score(self, case: Case, answer_text: str) -> float:
        """Score an answer in 0..1.

        Raises:
            ConfigError: The case cannot be scored, whatever the answer.
            VerifierError: The check crashed or could not decide.
        """
        name = self._metric_of(case)
        if name == "verifier":
            return score_by(self._own_check(case), answer_text, case)
        return metric_named(self.metrics.get(case.task.id, self.metric))(answer_text, case)

    def refuse(self) -> None:
        """Refuse cases that cannot be scored or checked; to be called before anything is paid for.

        Raises:
            ConfigError: The first case that cannot, and how many more there are.
            SandboxUnavailableError: A check runs code, and no sandbox works on this machine.
        """
        problems: list[str] = []
        for case in self.cases:
            try:
                self._refuse(case)
            except SandboxUnavailableError:
                raise
            except ConfigError as error:
                problems.append(str(error))
        if problems:
            more = f"; so it is for {len(problems) - 1} more" if len(problems) > 1 else ""
            raise ConfigError(f"{self.name}: {problems[0]}{more}")

    def sample(self, limit: int | None, *, seed: int | None = None) -> Dataset:
        """At most `limit` cases in their own order: the first, or drawn at random with a seed.

        Raises:
            ConfigError: The limit is below one.
        """
        if limit is not None and limit < 1:
            raise ConfigError(f"limit is {limit}, expected 1 or more")
        if limit is None or limit >= len(self.cases):
            return self
        every = range(len(self.cases))
        kept = every[:limit] if seed is None else sorted(random.Random(seed).sample(every, limit))
        how = "the first" if seed is None else f"drawn with seed {seed}"
        note = f"{limit} of {len(self.cases)} cases, {how}"
        return self._keep([self.cases[index] for index in kept], note)

    def _keep(self, cases: Sequence[Case], note: str) -> Dataset:
        ids = {case.task.id for case in cases}
        return replace(
            self,
            cases=tuple(cases),
            metrics={key: value for key, value in self.metrics.items() if key in ids},
            checks={key: value for key, value in self.checks.items() if key in ids},
            notes=(*self.notes, note),
        )

    def _refuse(self, case: Case) -> None:
        name = self._metric_of(case)
        if name == "verifier":
            self._own_check(case)
        else:
            metric_named(self.metrics.get(case.task.id, self.metric)).refuse(case)
        self.verifier(case)

    def _metric_of(self, case: Case) -> str:
        return self.metrics.get(case.task.id) or _metric_name(self.metric)

    def _own_check(self, case: Case) -> AnyVerifier:
        verifier = None if self.spec(case) == BY_METRIC else self.verifier(case)
        if verifier is None:
            raise ConfigError(
                f"case {case.task.id!r} has neither a target nor a check, so no answer to it can be scored; "
                "fill in `target`, or `verify` with a check such as number:408"
            )
        return verifier


def _metric_name(metric: Any) -> str:
    if isinstance(metric, str):
        return metric.strip().lower().replace("-", "_")
    return str(getattr(metric, "name", None) or getattr(metric, "__name__", type(metric).__name__))


def _stable(value: Any) -> str:
    """A name for what JSON cannot hold; never an address in memory."""
    named = getattr(value, "__qualname__", None)
    shown = named or str(value)
    return f"{type(value).__name__}:{_ADDRESS.sub('', shown)}"
