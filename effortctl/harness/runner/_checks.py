"""From an answer to a score: the metric where there is one, else the run-time check.

An answer that is cut off, refused or filtered scores 0 and fails, whatever it says: a live run would not
accept it either.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import time
from collections.abc import Callable
from decimal import Decimal
from typing import Any

from effortctl._errors import VerifierError
from effortctl._types import Answer, Case, Verdict
from effortctl.harness.datasets import Dataset
from effortctl.harness.runner._sample import Score
from effortctl.protocols import AnyVerifier
from effortctl.verifiers import guarded, is_async

QUICK_S = 0.005
"""A check that takes less runs in the event loop; others run in threads, so that they hold up no call."""

SLOW_S = 0.05
"""A quick check that takes this long once is taken for a slow one; a busy machine delays quick ones."""


class Checks:
    """Scores the answers to the cases of a dataset.

    Args:
        dataset: Knows the check and the metric of each case.
        clock: Seconds, to tell slow checks from quick ones.
    """

    def __init__(self, dataset: Dataset, *, clock: Callable[[], float] = time.perf_counter) -> None:
        self._dataset = dataset
        self._clock = clock
        self._built: dict[str, AnyVerifier | None] = {}
        self._keys: dict[str, str] = {}
        self._quick: dict[str, bool] = {}

    def verifier(self, case: Case) -> AnyVerifier | None:
        """The run-time check of a case; a crash in it is an abstention."""
        name = case.task.id
        if name not in self._built:
            found = self._dataset.verifier(case)
            self._built[name] = None if found is None else guarded(found)
        return self._built[name]

    def key(self, case: Case) -> str:
        """Names what scores this case; changes when the check, the metric or the reference does."""
        key = self._keys.get(case.task.id)
        if key is None:
            parts = [self._metric(case), self._dataset.spec(case), case.reference]
            text = json.dumps(parts, sort_keys=True, default=_named)
            key = self._keys[case.task.id] = hashlib.sha256(text.encode()).hexdigest()[:12]
        return key

    def is_quick(self, case: Case) -> bool:
        """Whether checks of this kind have been quick so far."""
        return self._quick.get(self._kind(case), False)

    async def score(self, case: Case, answer: Answer) -> Score:
        """Score an answer."""
        if answer.finish != "complete":
            return Score(0.0, "fail", self.key(case))
        verdict = await self._verdict(case, answer)
        if self._metric(case) != "verifier":
            return await self._measured(case, answer, verdict)
        if verdict is None or verdict.status == "abstain":
            why = (verdict and verdict.error) or "the check abstained"
            return Score(None, "abstain", self.key(case), _usd(verdict), why)
        return Score(float(verdict.passed), verdict.status, self.key(case), _usd(verdict))

    async def _verdict(self, case: Case, answer: Answer) -> Verdict | None:
        verifier = self.verifier(case)
        if verifier is None:
            return None
        if is_async(verifier):
            found: Verdict = await verifier(case.task, answer)
            return found
        verdict = await self._timed(case, lambda: verifier(case.task, answer))
        return verdict if isinstance(verdict, Verdict) else None

    async def _measured(self, case: Case, answer: Answer, verdict: Verdict | None) -> Score:
        key, usd = self.key(case), _usd(verdict)
        status = None if verdict is None else verdict.status
        try:
            score = await self._timed(case, lambda: self._dataset.score(case, answer.text))
        except VerifierError as error:
            return Score(None, status, key, usd, str(error))
        return Score(score, status, key, usd)

    async def _timed(self, case: Case, work: Callable[[], Any]) -> Any:
        """Run a quick check here and a slow one in a thread; the first one shows which it is."""
        kind = self._kind(case)
        if not self._quick.get(kind, False):
            result, took_s = await asyncio.to_thread(self._clocked, work)
            self._quick[kind] = took_s < QUICK_S
            return result
        result, took_s = self._clocked(work)
        self._quick[kind] = took_s < SLOW_S
        return result

    def _clocked(self, work: Callable[[], Any]) -> tuple[Any, float]:
        start = self._clock()
        return work(), self._clock() - start

    def _kind(self, case: Case) -> str:
        return f"{self._metric(case)}/{getattr(self._built.get(case.task.id), 'name', '')}"

    def _metric(self, case: Case) -> str:
        metric = self._dataset.metrics.get(case.task.id, self._dataset.metric)
        return metric.strip().lower() if isinstance(metric, str) else _named(metric)


def _named(value: Any) -> str:
    """A name for what JSON cannot hold; never an address in memory."""
    return str(getattr(value, "name", None) or getattr(value, "__qualname__", type(value).__name__))


def _usd(verdict: Verdict | None) -> Decimal:
    return Decimal(0) if verdict is None else verdict.cost_usd
