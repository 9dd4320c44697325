"""Checks that come from the request itself: the tools it offers, the schema or type it wants."""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator, Mapping
from typing import Any

import pydantic

from effortctl._client._reply import Json, ToolCall, arguments_of, tool_calls
from effortctl._client._request import SdkRequest
from effortctl._errors import ConfigError, EffortctlWarning, VerifierError
from effortctl._types import Answer
from effortctl.verifiers import json_schema

_MOST_PROBLEMS = 3
_LONGEST_PROBLEM = 300


class RequestChecks:
    """What a request demands of its answer.

    Args:
        request: The request.
    """

    def __init__(self, request: SdkRequest) -> None:
        self._request = request
        self._tools = dict(_tools(request))
        self._schema = _schema_of(request)

    @property
    def any(self) -> bool:
        """False when every complete answer will do."""
        return bool(self._tools or self._schema)

    def problem(self, answer: Answer, *, raw: object, document: Json) -> str | None:
        """What is wrong with a complete reply, in words a model can use; empty when nothing is.

        None when there was nothing to check, or no way to.
        """
        calls = tool_calls(document)
        if calls:
            return _joined([self._call_problem(call) for call in calls])
        if self._schema is None:
            return None
        if self._request.parser is not None and raw is not None:
            return _parse_problem(self._request.parser, raw)
        return _schema_problem(self._schema, answer.text)

    def _call_problem(self, call: ToolCall) -> str | None:
        if not self._tools:
            return None
        if call.name not in self._tools:
            return f"There is no tool {call.name!r}; there are: {', '.join(self._tools)}."
        try:
            arguments = arguments_of(call)
        except ValueError as error:
            return f"The arguments of {call.name} are not valid JSON: {error}."
        schema = self._tools[call.name]
        if not isinstance(arguments, dict):
            return f"The arguments of {call.name} must be one JSON object."
        found = "" if schema is None else _schema_problem(schema, json.dumps(arguments))
        return f"The arguments of {call.name} are wrong. {found}" if found else found


def _joined(problems: list[str | None]) -> str | None:
    """All problems as one text; None when not one call could be checked."""
    if all(problem is None for problem in problems):
        return None
    return "\n".join([problem for problem in problems if problem][:_MOST_PROBLEMS])


def _tools(request: SdkRequest) -> Iterator[tuple[str, Json | None]]:
    """Name and schema of every function that may be called; schemas of other tools are not ours."""
    tools = request.body.get("tools")
    for tool in tools if isinstance(tools, list) else []:
        if not isinstance(tool, Mapping) or tool.get("type") != "function":
            continue
        function = tool.get("function") if request.api == "chat" else tool
        if isinstance(function, Mapping) and function.get("name"):
            parameters = function.get("parameters")
            yield str(function["name"]), parameters if isinstance(parameters, dict) else None


def _schema_of(request: SdkRequest) -> Json | None:
    """The JSON Schema the answer was asked to follow."""
    if request.api == "chat":
        wanted = request.body.get("response_format")
        holder = wanted.get("json_schema") if isinstance(wanted, Mapping) else None
    else:
        text = request.body.get("text")
        holder = text.get("format") if isinstance(text, Mapping) else None
    schema = holder.get("schema") if isinstance(holder, Mapping) else None
    return schema if isinstance(schema, dict) else None


def _schema_problem(schema: Json, text: str) -> str | None:
    try:
        return json_schema(schema).problem(Answer(text=text)) or ""
    except (ConfigError, VerifierError) as error:
        # A schema the endpoint takes and we cannot read, or no library to read it with.
        warnings.warn(f"answers are not checked: {error}", EffortctlWarning, stacklevel=2)
        return None


def _parse_problem(parser: Any, raw: object) -> str:
    try:
        parser(raw)
    except pydantic.ValidationError as error:
        found = error.errors(include_url=False, include_context=False, include_input=False)
        lines = [f"At {_path(item['loc'])}: {item['msg']}" for item in found[:_MOST_PROBLEMS]]
        return "\n".join(line[:_LONGEST_PROBLEM] for line in lines)
    except Exception as error:  # noqa: BLE001 - the caller's parser is foreign code; it raises again at the end
        return f"The answer cannot be read: {type(error).__name__}: {error}"[:_LONGEST_PROBLEM]
    return ""


def _path(parts: tuple[int | str, ...]) -> str:
    return "$" + "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in parts)
