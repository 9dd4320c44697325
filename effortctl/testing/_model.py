"""The pretend model: what it says, how many tokens that takes, and how it decides questions.

Everything is a function of the seed and the request, never of the order in which threads arrive;
only the prompt cache remembers, as the real one does.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from effortctl._types import Usage
from effortctl.testing._records import Completion, Decider, MockReply, MockRequest, Responder

CHARS_PER_TOKEN = 4
CACHE_MIN_TOKENS = 1024
CACHE_STEP = 128

REASONING_TOKENS = {
    "none": 0,
    "minimal": 8,
    "low": 32,
    "default": 128,
    "medium": 128,
    "high": 512,
    "xhigh": 1024,
    "max": 2048,
}
"""Typical reasoning tokens by effort; each reply varies by a quarter around it."""


def echo(request: MockRequest) -> str:
    """The default responder: the last line of the prompt."""
    return request.text.rpartition("\n")[2]


def tokens_in(text: str) -> int:
    """Tokens of a text, at four characters each."""
    return -(-len(text) // CHARS_PER_TOKEN)


class PretendModel:
    """Turns a request into a `Completion`.

    Args:
        seed: Together with the request it decides all that varies.
        responder: Says what is answered.
        decider: Answers the questions of `/v1/decisions`. None: seeded probabilities.
    """

    def __init__(self, *, seed: int, responder: Responder, decider: Decider | None) -> None:
        self._seed = seed
        self._responder = responder
        self._decider = decider
        self._lock = threading.Lock()
        self._cached_prompts: set[tuple[str, str, str]] = set()

    def rng(self, request: MockRequest, purpose: str) -> random.Random:
        """A generator that depends on seed, request and purpose only."""
        key = (self._seed, purpose, request.model, request.effort, request.text, request.repeat)
        return random.Random(repr(key))

    def reply(self, request: MockRequest) -> MockReply:
        """What the responder says, as a `MockReply`."""
        if request.api == "decisions":
            return MockReply()
        said = self._responder(request)
        return MockReply(said) if isinstance(said, str) else said

    def complete(self, request: MockRequest, reply: MockReply, *, created: int) -> Completion:
        """The completion of a reply: its usage, cut off where the output cap says so."""
        completion = Completion(
            request=request,
            text=reply.text,
            finish=reply.finish,
            usage=reply.usage or Usage(),
            service_tier=reply.service_tier,
            created=created,
            tool_calls=reply.tool_calls,
        )
        if request.api == "decisions":
            answers = tuple(self._decide(request))
            return replace(completion, answers=answers, usage=self._usage(request, output=0))
        if reply.usage is not None:
            return completion
        return self._counted(completion, reply)

    def _counted(self, completion: Completion, reply: MockReply) -> Completion:
        request = completion.request
        reasoning = reply.reasoning_tokens
        if reasoning is None:
            typical = REASONING_TOKENS.get(request.effort, REASONING_TOKENS["default"])
            reasoning = round(typical * self.rng(request, "reasoning").uniform(0.75, 1.25))
        visible = tokens_in(completion.text) + sum(
            tokens_in(name + arguments) for name, arguments in completion.tool_calls
        )
        cap = request.output_cap
        if cap is not None and reasoning + visible > cap:
            reasoning = min(reasoning, cap)
            visible = cap - reasoning
            text = completion.text[: visible * CHARS_PER_TOKEN]
            completion = replace(completion, finish="truncated", text=text)
        usage = self._usage(request, output=reasoning + visible, reasoning=reasoning)
        return replace(completion, usage=usage)

    def _usage(self, request: MockRequest, *, output: int, reasoning: int = 0) -> Usage:
        tokens = max(1, tokens_in(request.text))
        cacheable = tokens // CACHE_STEP * CACHE_STEP if tokens >= CACHE_MIN_TOKENS else 0
        seen = bool(cacheable) and self._was_cached(request, chars=cacheable * CHARS_PER_TOKEN)
        return Usage(
            input_tokens=tokens,
            cached_tokens=cacheable if seen else 0,
            cache_write_tokens=0 if seen else cacheable,
            output_tokens=output,
            reasoning_tokens=reasoning,
        )

    def _was_cached(self, request: MockRequest, *, chars: int) -> bool:
        """True when this prefix was sent before; it counts as sent from now on.

        Model and effort belong to the key: changing either one misses the provider's cache.
        """
        key = (request.model, request.effort, request.text[:chars])
        with self._lock:
            seen = key in self._cached_prompts
            self._cached_prompts.add(key)
        return seen

    def _decide(self, request: MockRequest) -> Iterator[Mapping[str, Any]]:
        rng = self.rng(request, "decisions")
        for question in request.body.get("questions") or []:
            given = self._decider(request, question) if self._decider else None
            if isinstance(given, Mapping):
                yield {"name": question.get("name"), **given}
            else:
                yield _answer(question, rng.random() if given is None else float(given))


def _answer(question: Mapping[str, Any], level: float) -> dict[str, Any]:
    """Answer a question from one number: a probability, or for a score the expected level."""
    shared = {"type": question["type"], "name": question.get("name")}
    if question["type"] == "predicate":
        return shared | {"probability": level}
    if question["type"] == "choice":
        values = [choice["value"] for choice in question["choices"]]
        shares = _shares(len(values), level)
        probabilities = [
            {"value": value, "probability": share}
            for value, share in zip(values, shares, strict=True)
        ]
        return shared | {
            "choice": values[0],
            "confidence": shares[0],
            "probabilities": probabilities,
        }
    labels = [entry["label"] for entry in question["levels"]]
    nearest = min(len(labels) - 1, max(0, round(level)))
    probabilities = [
        {"label": label, "value": index, "probability": 1.0 if index == nearest else 0.0}
        for index, label in enumerate(labels)
    ]
    return shared | {"score": level, "confidence": 1.0, "probabilities": probabilities}


def _shares(count: int, level: float) -> list[float]:
    """Probabilities of which the first is the largest and at least an equal share."""
    first = max(level, 1 / count)
    rest = (1 - first) / (count - 1) if count > 1 else 0.0
    return [first, *([rest] * (count - 1))]
