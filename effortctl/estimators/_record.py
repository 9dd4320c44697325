"""A JSON object whose fields are checked as they are taken out."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from effortctl._errors import StoreError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

T = TypeVar("T")


class Record:
    """Reads fields and says where in the file a bad one is.

    Every method raises `StoreError` when the field is missing, of another type, or out of range.
    """

    def __init__(self, raw: Any, place: str) -> None:
        if not isinstance(raw, Mapping):
            raise StoreError(f"{place} is {type(raw).__name__}, expected an object")
        self.raw = raw
        self.place = place

    def child(self, name: str) -> Record:
        """An object."""
        return Record(self._take(name), f"{self.place}.{name}")

    def all_children(self) -> dict[str, Record]:
        """Every field, each an object."""
        return {name: self.child(name) for name in self.raw}

    def children(self, name: str) -> list[Record]:
        """A list of objects."""
        items = enumerate(self._list(name))
        return [Record(each, f"{self.place}.{name}[{i}]") for i, each in items]

    def text(self, name: str) -> str:
        """A string."""
        value = self._take(name)
        if not isinstance(value, str):
            raise self._bad(name, value, "text")
        return value

    def texts(self, name: str) -> tuple[str, ...]:
        """A list of strings."""
        values = self._list(name)
        if not all(isinstance(value, str) for value in values):
            raise self._bad(name, values, "a list of texts")
        return tuple(values)

    def choice(self, name: str, choices: Sequence[T]) -> T:
        """One of these values."""
        value = self._take(name)
        for choice in choices:
            if value == choice:
                return choice
        raise self._bad(name, value, f"one of {list(choices)}")

    def number(self, name: str, *, low: float = -math.inf, high: float = math.inf) -> float:
        """A finite number in a range."""
        value = self._take(name)
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise self._bad(name, value, "a number")
        number = _float(value)
        if not (math.isfinite(number) and low <= number <= high):
            raise self._bad(name, value, f"a finite number in {low:g}..{high:g}")
        return number

    def whole(self, name: str, *, high: float = math.inf) -> int:
        """A whole number of 0 or more."""
        value = self.number(name, low=0, high=high)
        if value != int(value):
            raise self._bad(name, value, "a whole number")
        return int(value)

    def numbers(self, name: str, *, size: int | None = None, low: float = -math.inf) -> Floats:
        """A list of finite numbers."""
        values = self._list(name)
        if any(isinstance(v, bool) or not isinstance(v, int | float) for v in values):
            raise self._bad(name, "other things", "a list of numbers")
        array = np.array([_float(value) for value in values], dtype=np.float64)
        if not np.isfinite(array).all() or (array < low).any():
            raise self._bad(name, "not all finite", f"finite numbers of {low:g} or more")
        if size is not None and array.size != size:
            raise self._bad(name, f"{array.size} long", f"{size} numbers")
        return array

    def positions(self, name: str, *, below: int, size: int | None = None) -> NDArray[np.intp]:
        """A list of whole numbers in 0..below-1."""
        array = self.numbers(name, size=size, low=0)
        if (array >= below).any() or (array != np.floor(array)).any():
            raise self._bad(name, "out of range", f"positions below {below}")
        return array.astype(np.intp)

    def pair(self, name: str) -> tuple[float, float]:
        """Two numbers, the second not below the first."""
        low, high = self.numbers(name, size=2).tolist()
        if low > high:
            raise self._bad(name, [low, high], "two rising numbers")
        return low, high

    def pairs(self, name: str) -> tuple[tuple[float, float], ...]:
        """A list of pairs of numbers."""
        raw = self._list(name)
        if any(not isinstance(each, list) or len(each) != 2 for each in raw):
            raise self._bad(name, "other things", "a list of pairs")
        flat = Record({name: [number for each in raw for number in each]}, self.place).numbers(name)
        return tuple(zip(flat[::2].tolist(), flat[1::2].tolist(), strict=True))

    def all_numbers(self) -> dict[str, float]:
        """Every field, each a number."""
        return {name: self.number(name) for name in self.raw}

    def labels(self, name: str) -> dict[str, str | int]:
        """An object of texts and whole numbers."""
        found = self.child(name).raw
        if any(isinstance(v, bool) or not isinstance(v, str | int) for v in found.values()):
            raise self._bad(name, "other things", "texts and whole numbers")
        return dict(found)

    def _take(self, name: str) -> Any:
        if name not in self.raw:
            raise StoreError(
                f"{self.place} has no {name}; the file is damaged or of another version"
            )
        return self.raw[name]

    def _list(self, name: str) -> list[Any]:
        value = self._take(name)
        if not isinstance(value, list):
            raise self._bad(name, value, "a list")
        return value

    def _bad(self, name: str, value: Any, expected: str) -> StoreError:
        return StoreError(f"{self.place}.{name} is {str(value)[:60]}, expected {expected}")


def _float(value: float) -> float:
    """A JSON number as a float; a whole number beyond all floats is infinite."""
    try:
        return float(value)
    except OverflowError:
        return math.inf
