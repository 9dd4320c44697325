"""How real endpoints say that they do not take an effort, each in its own shape and words.

The shapes were collected from error texts in public bug reports of 2025 and 2026; model and effort
are filled in from the request.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from effortctl.testing._plans import Plan, rejected
from effortctl.testing._wire import Json, error_body

Wording = Callable[[str, str, Sequence[str]], object]
"""(model, effort, supported efforts) → error body."""


def _listed(values: Sequence[str], *, quote: str = "'", last: str = "and") -> str:
    quoted = [f"{quote}{value}{quote}" for value in values]
    if len(quoted) < 3:
        return f" {last} ".join(quoted)
    return f"{', '.join(quoted[:-1])}, {last} {quoted[-1]}"


def _openai_chat(_model: str, effort: str, supported: Sequence[str]) -> Json:
    text = (
        f"Unsupported value: 'reasoning_effort' does not support '{effort}' with this model. "
        f"Supported values are: {_listed(supported)}."
    )
    return error_body(text, code="unsupported_value", param="reasoning_effort")


def _openai_responses(model: str, effort: str, supported: Sequence[str]) -> Json:
    text = (
        f"Unsupported value: '{effort}' is not supported with the '{model}' model. "
        f"Supported values are: {_listed(supported)}."
    )
    return error_body(text, code="unsupported_value", param="reasoning.effort")


def _openai_parameter(_model: str, _effort: str, _supported: Sequence[str]) -> Json:
    text = "Unsupported parameter: 'reasoning_effort' is not supported with this model."
    return error_body(text, code="unsupported_parameter", param="reasoning_effort")


def _openai_unrecognized(_model: str, _effort: str, _supported: Sequence[str]) -> Json:
    return error_body("Unrecognized request argument supplied: reasoning_effort")


def _kimi(_model: str, effort: str, supported: Sequence[str]) -> Json:
    """OpenAI's words without `code` and `param`."""
    body = _openai_chat("", effort, supported)
    return {"error": {key: body["error"][key] for key in ("message", "type")}}


def _groq(_model: str, _effort: str, supported: Sequence[str]) -> Json:
    allowed = _listed(supported, quote="`", last="or")
    return {
        "error": {
            "message": f"`reasoning_effort` must be one of {allowed}",
            "type": "invalid_request_error",
        }
    }


def _ollama(_model: str, effort: str, supported: Sequence[str]) -> Json:
    allowed = _listed(supported, quote='"', last="or")
    return error_body(f"invalid reasoning value: '{effort}' (must be {allowed})")


def _literal_error(effort: str, supported: Sequence[str]) -> str:
    head, last = supported[:-1], supported[-1]
    expected = f"{', '.join(repr(value) for value in head)} or {last!r}" if head else repr(last)
    detail = {
        "type": "literal_error",
        "loc": ("body", "reasoning_effort"),
        "msg": f"Input should be {expected}",
        "input": effort,
        "ctx": {"expected": expected},
    }
    return f"1 validation error:\n  {detail}"


def _sglang(_model: str, effort: str, supported: Sequence[str]) -> Json:
    message = _literal_error(effort, supported)
    return {
        "object": "error",
        "message": message,
        "type": "Bad Request",
        "param": None,
        "code": 400,
    }


def _vllm(_model: str, effort: str, supported: Sequence[str]) -> Json:
    return error_body(_literal_error(effort, supported), kind="Bad Request", code=400)


def _xai(model: str, _effort: str, _supported: Sequence[str]) -> Json:
    return {
        "code": "invalid-argument",
        "error": f"Model {model} does not support parameter reasoningEffort.",
    }


def _gemini(_model: str, effort: str, _supported: Sequence[str]) -> list[Json]:
    """Gemini's OpenAI-compatible endpoint wraps its error in an array."""
    text = f"Thinking level {effort.upper()} is not supported for this model."
    return [{"error": {"code": 400, "message": text, "status": "INVALID_ARGUMENT"}}]


def _anthropic(_model: str, effort: str, supported: Sequence[str]) -> Json:
    text = (
        f"output_config.effort '{effort}' is not supported when thinking is disabled on this model. "
        f"Use effort '{supported[-1]}' or below, or enable thinking."
    )
    return {"type": "error", "error": {"type": "invalid_request_error", "message": text}}


def _level(_model: str, effort: str, supported: Sequence[str]) -> Json:
    """A proxy that speaks of levels."""
    return error_body(f'level "{effort}" not supported, valid levels: {", ".join(supported)}')


EFFORT_WORDINGS: dict[str, Wording] = {
    "openai-chat": _openai_chat,
    "openai-responses": _openai_responses,
    "openai-parameter": _openai_parameter,
    "openai-unrecognized": _openai_unrecognized,
    "anthropic": _anthropic,
    "gemini": _gemini,
    "groq": _groq,
    "kimi": _kimi,
    "level": _level,
    "ollama": _ollama,
    "sglang": _sglang,
    "vllm": _vllm,
    "xai": _xai,
}
"""By the name used in `unsupported-effort:style=…`."""


def effort_rejected(style: str, *, model: str, effort: str, supported: Sequence[str]) -> Plan:
    """The 400 an endpoint of this style sends for an effort it does not take."""
    return rejected(400, EFFORT_WORDINGS[style](model, effort, list(supported)))


def tools_rejected(model: str) -> Plan:
    """The 400 of current OpenAI models for function tools with effort on Chat Completions."""
    text = (
        f"Function tools with reasoning_effort are not supported for {model} in "
        "/v1/chat/completions. To use function tools, use /v1/responses or set reasoning_effort "
        "to 'none'."
    )
    return rejected(400, error_body(text, param="reasoning_effort"))


def sampling_rejected(name: str) -> Plan:
    """The 400 of OpenAI models for a sampling parameter while reasoning is on."""
    text = f"Unsupported parameter: '{name}' is not supported with this model."
    return rejected(400, error_body(text, code="unsupported_parameter", param=name))
