"""A script: what a fake says, in which order, safely from many threads."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Generic, TypeVar

Item = TypeVar("Item")


class Script(Generic[Item]):
    """Hands out scripted items one after another.

    A script is one of: a single item, which never runs out; a sequence, used up in order; a mapping
    from key to item or sequence; or a function of the caller's arguments.

    Args:
        source: The script.
        atoms: Types that are items themselves, so that a `str` is not taken for a sequence.
        owner: Whose script it is, for error messages.
    """

    def __init__(self, source: object, *, atoms: tuple[type, ...], owner: str) -> None:
        self._atoms = atoms
        self._owner = owner
        self._lock = threading.Lock()
        self._function: Callable[..., Item] | None = None
        self._lines: Mapping[str, _Line[Item]] | None = None
        self._line: _Line[Item] | None = None
        if isinstance(source, atoms):
            self._line = self._make_line(source)
        elif isinstance(source, Mapping):
            self._lines = {key: self._make_line(value) for key, value in source.items()}
        elif callable(source):
            self._function = source
        else:
            self._line = self._make_line(source)

    def next(self, key: str, *arguments: object) -> Item:
        """Return the next item for `key`; a function script gets `arguments`.

        Raises:
            AssertionError: The script has no (more) items for this key.
        """
        if self._function is not None:
            return self._function(*arguments)
        line = self._line if self._lines is None else self._lines.get(key)
        if line is None:
            known = ", ".join(sorted(self._lines or ()))
            raise AssertionError(
                f"{self._owner} has no script for {key!r}; it has one for: {known}"
            )
        with self._lock:
            return line.next(owner=self._owner, key=key)

    def _make_line(self, value: object) -> _Line[Item]:
        if isinstance(value, self._atoms):
            return _Line((value,), endless=True)  # type: ignore[arg-type]  # atoms are the item types
        if isinstance(value, Sequence):
            return _Line(tuple(value), endless=False)
        names = ", ".join(atom.__name__ for atom in self._atoms)
        raise TypeError(
            f"{self._owner}: cannot read a script of type {type(value).__name__}; "
            f"give one of {names}, a sequence or mapping of them, or a function"
        )


class _Line(Generic[Item]):
    """The items for one key, and how many were used."""

    def __init__(self, items: Sequence[Item], *, endless: bool) -> None:
        self._items = items
        self._endless = endless
        self._used = 0

    def next(self, *, owner: str, key: str) -> Item:
        if self._endless:
            return self._items[0]
        if self._used >= len(self._items):
            raise AssertionError(
                f"{owner} was called more often than scripted: {len(self._items)} items, "
                f"and one more call for {key!r}"
            )
        item = self._items[self._used]
        self._used += 1
        return item
