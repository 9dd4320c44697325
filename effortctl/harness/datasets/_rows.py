"""One record of a dataset file becomes one case."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from pydantic import ValidationError

from effortctl._errors import ConfigError, StoreError
from effortctl._types import Case, Message, Task
from effortctl.harness.datasets._checks import parse_check, runs_code
from effortctl.harness.datasets._metrics import METRIC_NAMES

PROMPT_COLUMNS: Final = ("input", "prompt", "messages")
COLUMNS: Final = (
    *("id", *PROMPT_COLUMNS, "target", "choices", "cluster", "category"),
    *("instructions", "verify", "metric"),
)
"""Columns a dataset may have; one of the prompt columns it must have."""
_NO_SHA: Final = 12


@dataclass(slots=True)
class CaseTable:
    """Collects cases and refuses what contradicts an earlier one.

    Attributes:
        trust_code: Checks may run Python that the file names or contains.
    """

    trust_code: bool = False
    cases: list[Case] = field(default_factory=list)
    metrics: dict[str, str] = field(default_factory=dict)
    checks: dict[str, Any] = field(default_factory=dict)
    ignored: dict[str, None] = field(default_factory=dict)
    places: dict[str, str] = field(default_factory=dict)

    def add(self, place: str, record: Mapping[str, Any]) -> None:
        """Add the case of one record.

        Raises:
            StoreError: The record makes no sense; the message has its place and the column.
        """
        row = _Row(place, record)
        case = row.case()
        check, metric = (
            row.check(trust_code=self.trust_code),
            row.metric(trust_code=self.trust_code),
        )
        self.add_case(place, case)
        self.ignored |= dict.fromkeys(str(name) for name in record if name not in COLUMNS)
        if check is not None:
            self.checks[case.task.id] = check
        if metric is not None:
            self.metrics[case.task.id] = metric

    def add_case(self, place: str, case: Case) -> None:
        """Add a ready case.

        Raises:
            StoreError: Its id is empty or was used before.
        """
        name = case.task.id
        if not name:
            raise StoreError(f"{place}: the task has no id; give every case an id of its own")
        if name in self.places:
            raise StoreError(
                f"{place}, column 'id': {name!r} was used before ({self.places[name]}); give every case an "
                "id of its own"
            )
        self.places[name] = place
        self.cases.append(case)

    def add_all(self, records: Iterable[tuple[str, Mapping[str, Any] | Case]]) -> None:
        """Add records and ready cases."""
        for place, record in records:
            if isinstance(record, Case):
                self.add_case(place, record)
            else:
                self.add(place, record)


class _Row:
    """One record, read column by column; what does not fit is told with its place."""

    def __init__(self, place: str, record: Mapping[str, Any]) -> None:
        self.place = place
        self.record = {
            name: value for name, value in record.items() if value is not None and value != ""
        }

    def fail(self, column: str, what: str) -> StoreError:
        return StoreError(f"{self.place}, column {column!r}: {what}")

    def text(self, column: str) -> str | None:
        value = self.record.get(column)
        if isinstance(value, int) and not isinstance(value, bool):
            return str(value)
        if value is None or isinstance(value, str):
            return value
        raise self.fail(column, f"{type(value).__name__}, expected text")

    def case(self) -> Case:
        prompt, reference = self._prompt(), self._reference()
        if (name := self.text("id")) is None:
            name = _content_id(prompt, self.text("instructions"), reference)
            if "id" in self.record:
                raise self.fail("id", "is empty, expected a name")
        task = Task(
            id=name.strip(),
            input=prompt,
            instructions=self.text("instructions"),
            category=self.text("category"),
        )
        return Case(task=task, reference=reference, cluster=self.text("cluster"))

    def check(self, *, trust_code: bool) -> Any:
        try:
            spec = parse_check(self.record.get("verify"))
        except ConfigError as error:
            raise self.fail("verify", f"{error}; write a spec such as number:408") from None
        if runs_code(spec) and not trust_code:
            raise self.fail("verify", _untrusted("this check"))
        return spec

    def metric(self, *, trust_code: bool) -> str | None:
        name = self.text("metric")
        if name is None:
            return None
        plain = name.strip().lower().replace("-", "_")
        if plain not in METRIC_NAMES:
            raise self.fail("metric", f"{name!r} is unknown; choose from {', '.join(METRIC_NAMES)}")
        if plain == "code_tests" and not trust_code:
            raise self.fail("metric", _untrusted("the metric code_tests"))
        return plain

    def _prompt(self) -> str | tuple[Message, ...]:
        given = [name for name in PROMPT_COLUMNS if name in self.record]
        if len(given) != 1:
            what = f"has {' and '.join(given)}" if given else "has no prompt"
            raise StoreError(
                f"{self.place}: {what}, expected exactly one of the columns {', '.join(PROMPT_COLUMNS)} "
                "to be filled in"
            )
        column = given[0]
        value = self.record[column]
        if column == "messages" or isinstance(value, list):
            return self._messages(column, value)
        text = self.text(column)
        if text is None or not text.strip():
            raise self.fail(column, "is blank, expected the prompt")
        return text

    def _messages(self, column: str, value: Any) -> tuple[Message, ...]:
        if isinstance(value, str):
            try:
                value = json.loads(value)
            except ValueError as error:
                raise self.fail(column, f"not JSON ({error}); {_MESSAGES}") from None
        if not isinstance(value, list) or not value:
            raise self.fail(column, f"{type(value).__name__}, {_MESSAGES}")
        try:
            return tuple(Message.model_validate(turn) for turn in value)
        except ValidationError as error:
            problem = error.errors()[0]
            where = ".".join(str(part) for part in problem["loc"]) or "a turn"
            raise self.fail(column, f"{where}: {problem['msg']}; {_MESSAGES}") from None

    def _reference(self) -> Any:
        target = self.record.get("target")
        if (choices := self.record.get("choices")) is None:
            return target
        if isinstance(choices, str):
            try:
                choices = json.loads(choices) if choices.lstrip()[:1] == "[" else choices.split("|")
            except ValueError as error:
                raise self.fail("choices", f"not JSON ({error}); {_CHOICES}") from None
        names = [str(choice).strip() for choice in choices] if isinstance(choices, list) else []
        if len(set(names)) < 2 or "" in names:
            raise self.fail("choices", f"expected two different choices or more; {_CHOICES}")
        return {"kind": "choice", "expected": target, "options": names}


_MESSAGES: Final = 'expected a list of turns such as [{"role": "user", "content": "Hello"}]'
_CHOICES: Final = 'write them as a|b|c or ["a", "b", "c"]'


def _untrusted(what: str) -> str:
    return (
        f"{what} runs Python that comes with the data; where you trust the file, say so with "
        "trust_code=True (on the command line --trust-code)"
    )


def _content_id(prompt: Any, instructions: str | None, reference: Any) -> str:
    """An id that stays with the case when rows are added, removed or sorted."""
    turns = prompt if isinstance(prompt, str) else [turn.model_dump(mode="json") for turn in prompt]
    content = json.dumps([turns, instructions, reference], sort_keys=True, default=str)
    return f"case-{hashlib.sha256(content.encode('utf-8', 'replace')).hexdigest()[:_NO_SHA]}"
