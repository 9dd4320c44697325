"""`reasoning-gym:chain_sum?n=50&seed=1`: tasks made by the generators of reasoning-gym."""

from __future__ import annotations

import ast
import difflib
import importlib
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import parse_qsl

from effortctl._errors import ConfigError, VerifierError
from effortctl._types import Case, Task
from effortctl.harness.datasets._metrics import score_by
from effortctl.protocols import AnyVerifier
from effortctl.verifiers import equals, final_answer, number

GENERATOR: Final = "reasoning-gym:"
_DEFAULT_SIZE: Final = 50
_FULL_MARKS: Final = 1 - 1e-9


@dataclass(frozen=True)
class GeneratorMetric:
    """The generator's own judgement: 1 for full marks, else 0.

    Generators give small marks for wrong answers of the right form, which helps training and would
    distort a measurement. An answer that equals the reference as a number or as normalised text is
    right whatever the generator says, because it expects the bare answer.

    Attributes:
        judge: The generator.
        entries: Case id → what it generated.
    """

    judge: Any = field(repr=False)
    entries: Mapping[str, Any] = field(repr=False)
    name: str = "reasoning_gym"

    def __call__(self, answer_text: str, case: Case, /) -> float:
        """See `Metric`."""
        self.refuse(case)
        if self._equals_reference(answer_text, case):
            return 1.0
        entry = self.entries[case.task.id]
        try:
            marks = float(self.judge.score_answer(answer=final_answer(answer_text), entry=entry))
        except Exception as error:
            raise VerifierError(
                f"the generator cannot judge an answer to {case.task.id!r}: {type(error).__name__}: {error}",
                verifier=self.name,
            ) from error
        return float(marks >= _FULL_MARKS)

    def refuse(self, case: Case, /) -> None:
        """See `Metric.refuse`."""
        if case.task.id not in self.entries:
            raise ConfigError(f"case {case.task.id!r} was not made by this generator")

    @staticmethod
    def _equals_reference(text: str, case: Case) -> bool:
        checks: list[AnyVerifier] = [equals(str(case.reference))]
        with suppress(ConfigError):
            checks.append(number(str(case.reference)))
        return any(score_by(check, text, case) == 1 for check in checks)


def generated_cases(source: str) -> tuple[Iterator[tuple[str, Case]], GeneratorMetric]:
    """Generate tasks.

    Args:
        source: `reasoning-gym:NAME`, with settings behind a `?`: `n` tasks (default 50), `seed`
            (default 0), and whatever the generator takes.

    Returns:
        The cases, each with its place, and the metric that judges answers to them.

    Raises:
        ConfigError: The package is missing, or the generator or a setting is unknown.
    """
    name, _, query = source.removeprefix(GENERATOR).partition("?")
    settings = _settings(query, source)
    size = _whole(settings.pop("n", _DEFAULT_SIZE), "n", source, least=1)
    seed = _whole(settings.pop("seed", 0), "seed", source, least=0)
    made = _create(name, {**settings, "seed": seed, "size": size}, source)
    prefix = f"reasoning_gym/{'?'.join(part for part in (name, _label(settings)) if part)}/{seed}"
    entries = {f"{prefix}/{index:04}": made[index] for index in range(size)}
    cases = (
        (
            f"{source}, task {index}",
            Case(
                task=Task(id=case_id, input=entry["question"], category=name),
                reference=entry["answer"],
            ),
        )
        for index, (case_id, entry) in enumerate(entries.items())
    )
    return cases, GeneratorMetric(made, entries)


def _settings(query: str, source: str) -> dict[str, Any]:
    try:
        pairs = parse_qsl(query, keep_blank_values=True, strict_parsing=bool(query))
    except ValueError:
        raise ConfigError(
            f"{source!r}: the settings {query!r} make no sense; write e.g. n=50&seed=1"
        ) from None
    return {key: _literal(value) for key, value in pairs}


def _literal(text: str) -> Any:
    """A number, a list or a truth value; anything else is text."""
    if text.lower() in {"true", "false"}:
        return text.lower() == "true"
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return text


def _whole(value: Any, name: str, source: str, *, least: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise ConfigError(f"{source!r}: {name} is {value!r}, expected a whole number from {least}")
    return value


def _label(settings: Mapping[str, Any]) -> str:
    return "&".join(f"{key}={settings[key]}" for key in sorted(settings))


def _create(name: str, settings: Mapping[str, Any], source: str) -> Any:
    try:
        gym = importlib.import_module("reasoning_gym")
        known = importlib.import_module("reasoning_gym.factory").DATASETS
    except ImportError as error:
        raise ConfigError(
            f"{source!r} needs reasoning-gym: pip install 'effortctl[evals]'"
        ) from error
    if name not in known:
        close = difflib.get_close_matches(name, known, n=3)
        hint = f"; did you mean {' or '.join(close)}?" if close else f"; there are {len(known)}"
        raise ConfigError(f"{source!r}: reasoning-gym has no generator {name!r}{hint}")
    try:
        return gym.create_dataset(name, **settings)
    except (TypeError, ValueError, AssertionError) as error:
        raise ConfigError(f"{source!r}: reasoning-gym refuses these settings: {error}") from error
