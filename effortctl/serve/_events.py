"""Events of a stream as plain JSON: building the SDK's models of every word would take most of the time."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Self


class Event:
    """One JSON object of a stream; its fields can be read like those of the SDK's models.

    A field that is missing reads as None, as the optional ones of a model do.

    Args:
        data: The object.
    """

    __slots__ = ("__weakref__", "_data", "model_fields_set")

    def __init__(self, data: Mapping[str, Any]) -> None:
        self._data = data
        self.model_fields_set = set(data)

    @classmethod
    def build(cls, *, response: object, data: object) -> Self:  # noqa: ARG003 - the SDK's protocol
        """Make one; the SDK calls this where it would build a model."""
        return cls(data if isinstance(data, Mapping) else {})

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return _read(self._data.get(name))

    def model_dump(self, **_how: object) -> Mapping[str, Any]:
        """It as JSON."""
        return self._data

    def encoded(self) -> bytes:
        """It as JSON text, without fields that were taken out of `model_fields_set`."""
        data = self._data
        if len(self.model_fields_set) < len(data):
            data = {name: value for name, value in data.items() if name in self.model_fields_set}
        return json.dumps(data, ensure_ascii=False, separators=(",", ":")).encode()


def _read(value: Any) -> Any:
    if isinstance(value, Mapping):
        return Event(value)
    return [_read(item) for item in value] if isinstance(value, list) else value
