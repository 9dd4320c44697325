"""Checks on answers that are JSON: a JSON Schema, a pydantic model, fields with known values."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel, ValidationError

from effortctl._errors import ConfigError, VerifierError
from effortctl._types import Answer, Task, Verdict
from effortctl.verifiers._base import BuiltIn, final_answer

_FENCE = re.compile(
    r"^[ \t]*```[ \t]*(?:json5?|JSON)?[ \t]*\n(.*?)^[ \t]*```", re.MULTILINE | re.DOTALL
)
_MOST_PROBLEMS = 3
_LONGEST_PROBLEM = 300


class _NotJsonError(ValueError):
    """The answer is not JSON; the message says so to the model."""


def _json_text(text: str) -> str:
    """The JSON in an answer: all of it, or what follows the last `Answer:`, or the last fenced block."""
    if text.lstrip()[:1] in {"{", "["}:
        return text.strip()
    final = final_answer(text)
    blocks = _FENCE.findall(final) or _FENCE.findall(text)
    return (blocks[-1] if blocks else final).strip()


def _refuse_constant(name: str) -> Any:
    raise _NotJsonError(f"The answer is not valid JSON: {name} is not a JSON value.")


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise _NotJsonError(f"The answer is not valid JSON: the number {text[:40]} is too large.")
    return number


def _parse(text: str) -> Any:
    body = _json_text(text)
    if not body:
        raise _NotJsonError("The answer is empty. Answer with JSON only.")
    try:
        return json.loads(body, parse_constant=_refuse_constant, parse_float=_finite)
    except _NotJsonError:
        raise
    except json.JSONDecodeError as error:
        place = f"line {error.lineno}, column {error.colno}"
        raise _NotJsonError(f"The answer is not valid JSON: {error.msg} ({place}).") from error
    except (ValueError, RecursionError) as error:
        raise _NotJsonError(
            "The answer is not valid JSON: a value is too large or nested."
        ) from error


def _listed(problems: list[str]) -> str:
    shown = [text[:_LONGEST_PROBLEM] for text in problems[:_MOST_PROBLEMS]]
    if len(problems) > _MOST_PROBLEMS:
        shown.append(f"... and {len(problems) - _MOST_PROBLEMS} more problems")
    return "\n".join(shown)


# --- JSON Schema -----------------------------------------------------------------------------------


def _jsonschema() -> Any:
    try:
        import jsonschema  # noqa: PLC0415 - an extra: loaded only where it is used
    except ImportError as error:
        raise ConfigError(
            "json_schema() needs the jsonschema library; install effortctl[verify]"
        ) from error
    return jsonschema


@dataclass(frozen=True, repr=False, eq=False)
class JsonSchema(BuiltIn):
    """See `json_schema`."""

    name = "json_schema"
    schema: dict[str, Any]

    def problem(self, answer: Answer) -> str | None:
        """Parse the answer and list what the schema has against it."""
        try:
            value = answer.value if isinstance(answer.value, dict | list) else _parse(answer.text)
        except _NotJsonError as error:
            return str(error)
        errors = sorted(_schema_errors(self.schema, value), key=lambda found: found[0])
        return _listed([f"At {path}: {message}" for path, message in errors]) if errors else None


def _schema_errors(schema: Any, value: Any) -> list[tuple[str, str]]:
    import referencing  # noqa: PLC0415 - comes with jsonschema, an extra
    import referencing.exceptions  # noqa: PLC0415 - as above

    library = _jsonschema()
    kind = library.validators.validator_for(schema, default=library.Draft202012Validator)
    # A registry of our own never fetches anything, unlike the library's default.
    validator = kind(schema, registry=referencing.Registry(), format_checker=kind.FORMAT_CHECKER)
    try:
        return [(error.json_path, error.message) for error in validator.iter_errors(value)]
    except (RecursionError, ArithmeticError) as error:
        # The answer did this; an abstention would let it through.
        return [
            ("$", f"it cannot be checked ({type(error).__name__}): too large or nested too deep")
        ]
    except referencing.exceptions.Unresolvable as error:
        raise VerifierError(
            f"the schema refers to {error.ref!r}, which it does not contain", verifier="json_schema"
        ) from error


def json_schema(schema: dict[str, Any]) -> JsonSchema:
    """Pass when the answer is JSON that follows the schema; a fenced ```json block is fine.

    The feedback names each place and what was expected there. References to other documents are
    never fetched.

    Args:
        schema: JSON Schema; draft 2020-12 unless its `$schema` says otherwise.

    Raises:
        ConfigError: The schema is not a valid schema or refers to another document, or the
            jsonschema library (extra `verify`) is missing.
    """
    if not isinstance(schema, Mapping):
        raise ConfigError(f"a JSON Schema is a dict, got {type(schema).__name__}")
    library = _jsonschema()
    kind = library.validators.validator_for(schema, default=library.Draft202012Validator)
    try:
        kind.check_schema(schema)
    except library.SchemaError as error:
        raise ConfigError(
            f"this is not a JSON Schema: {error.json_path}: {error.message}"
        ) from error
    _refuse_remote(schema)
    return JsonSchema(schema)


def _refuse_remote(schema: Any) -> None:
    nodes = list(_dicts(schema))
    known = {node["$id"].rstrip("#") for node in nodes if isinstance(node.get("$id"), str)}
    for node in nodes:
        for key in ("$ref", "$dynamicRef"):
            target = node.get(key)
            if not isinstance(target, str) or target.startswith("#"):
                continue
            if target.partition("#")[0] not in known:
                raise ConfigError(
                    f"the schema refers to {target!r}; other documents are never fetched, "
                    "so copy that part under $defs"
                )


def _dicts(value: Any) -> Iterator[dict[str, Any]]:
    if isinstance(value, dict):
        yield value
        for child in value.values():
            yield from _dicts(child)
    elif isinstance(value, list):
        for child in value:
            yield from _dicts(child)


# --- pydantic --------------------------------------------------------------------------------------


@dataclass(frozen=True, repr=False)
class PydanticModel(BuiltIn):
    """See `pydantic_model`."""

    name = "pydantic_model"
    model: type[BaseModel]

    def problem(self, answer: Answer) -> str | None:
        """Validate the answer and list what the model has against it."""
        if isinstance(answer.value, self.model):
            return None
        try:
            _parse(answer.text)
            self.model.model_validate_json(_json_text(answer.text))
        except _NotJsonError as error:
            return str(error)
        except ValidationError as error:
            found = error.errors(include_url=False, include_context=False, include_input=False)
            return _listed([f"At {_path(item['loc'])}: {item['msg']}" for item in found])
        return None

    def __repr__(self) -> str:
        return f"pydantic_model({self.model.__qualname__})"


def _path(parts: tuple[int | str, ...]) -> str:
    return "$" + "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in parts)


def pydantic_model(model: type[BaseModel]) -> PydanticModel:
    """Pass when the answer is JSON that the pydantic model accepts; a ```json fence is fine.

    Raises:
        ConfigError: `model` is not a pydantic model class.
    """
    given: object = model
    if not (isinstance(given, type) and issubclass(given, BaseModel)):
        raise ConfigError(f"pydantic_model() needs a subclass of pydantic.BaseModel, got {model!r}")
    return PydanticModel(model)


# --- fields ----------------------------------------------------------------------------------------


@dataclass(frozen=True, repr=False, eq=False)
class JsonFields(BuiltIn):
    """See `json_fields`."""

    name = "json_fields"
    expected: dict[str, Any] = field(repr=True)

    def problem(self, answer: Answer) -> str | None:
        """Name the fields that are missing or wrong."""
        return self(Task(input=""), answer).feedback or None

    def __call__(self, task: Task, answer: Answer, /) -> Verdict:  # noqa: ARG002 - part of the protocol
        """As every verifier; the score is the share of right fields."""
        try:
            value = answer.value if isinstance(answer.value, dict) else _parse(answer.text)
        except _NotJsonError as error:
            return self._fail(str(error), score=0.0)
        if not isinstance(value, dict):
            return self._fail("The answer must be one JSON object.", score=0.0)
        problems = [
            problem
            for name, wanted in self.expected.items()
            if (problem := _field_problem(name, wanted, value)) is not None
        ]
        if not problems:
            return Verdict(status="pass", verifier=self.name, score=1.0)
        score = 1 - len(problems) / len(self.expected)
        return self._fail(_listed(problems), score=score)

    def _fail(self, feedback: str, *, score: float) -> Verdict:
        return Verdict(status="fail", verifier=self.name, feedback=feedback, score=score)


def _field_problem(name: str, wanted: Any, given: dict[str, Any]) -> str | None:
    if name not in given:
        return f"The field {name!r} is missing."
    if _same(wanted, given[name]):
        return None
    if _kind(wanted) != _kind(given[name]):
        return f"The field {name!r} must be {_kind(wanted)}, not {_kind(given[name])}."
    return f"The value of the field {name!r} is not right."


def _kind(value: Any) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return "true or false"
        case int() | float():
            return "a number"
        case str():
            return "a string"
        case Mapping():
            return "an object"
        case _:
            return "an array"


def _same(wanted: Any, given: Any) -> bool:
    if _kind(wanted) != _kind(given):
        return False
    match wanted:
        case str():
            return _plain(wanted) == _plain(given)
        case Mapping():
            return set(wanted) == set(given) and all(
                _same(wanted[key], given[key]) for key in wanted
            )
        case list() | tuple():
            return len(wanted) == len(given) and all(map(_same, wanted, given))
        case _:
            return bool(wanted == given)


def _plain(text: str) -> str:
    return " ".join(text.casefold().split())


def json_fields(expected: Mapping[str, Any]) -> JsonFields:
    """Pass when the answer is a JSON object whose named fields have these values.

    Case and white space of strings do not count; other fields may be there. The feedback names
    wrong fields, never their right values. The score is the share of right fields.

    Raises:
        ConfigError: No field is named.
    """
    given: object = expected
    if not isinstance(given, Mapping) or not given:
        raise ConfigError(f"json_fields() needs a dict of field names and values, got {expected!r}")
    return JsonFields(dict(expected))
