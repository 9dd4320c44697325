"""Words of a prompt as hashed counts: vocabulary without storing anybody's prompt.

Words and pairs of neighbouring words fall into `2**bits` buckets by their CRC-32, which is the same on
every machine and needs no fitted vocabulary. A prompt is the vector of 1 + log(count) over buckets,
scaled to length 1. Inverse document frequencies are left out on purpose: they made held-out
predictions of failure worse on programming problems, because common words carry the style of a task.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from math import log, sqrt
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

_WORD = re.compile(rb"[a-z0-9\x80-\xff]{2,}")
_START = zlib.crc32(b"\n")
"""Stands before the first word, so that how a prompt begins is a pair of its own."""

_LOOK_AT = 8192
"""Characters of a prompt that are read; bounds the time of one prediction."""


def hashed_words(text: str, *, bits: int) -> dict[int, float]:
    """Bucket → weight of one prompt; the weights have length 1."""
    mask = (1 << bits) - 1
    counts: dict[int, int] = {}
    before = _START
    crc32 = zlib.crc32
    for word in _WORD.findall(text[:_LOOK_AT].lower().encode("utf-8", "replace")):
        alone = crc32(word)
        counts[alone & mask] = counts.get(alone & mask, 0) + 1
        pair = crc32(word, before) & mask
        counts[pair] = counts.get(pair, 0) + 1
        before = alone
    if not counts:
        return {}
    weights = [1.0 + log(count) if count > 1 else 1.0 for count in counts.values()]
    length = sqrt(sum(weight * weight for weight in weights))
    return {bucket: weight / length for bucket, weight in zip(counts, weights, strict=True)}


@dataclass(frozen=True, slots=True, eq=False)
class WordsPart:
    """A linear model over hashed words.

    Attributes:
        coef: [2**bits] weight of each bucket.
        intercept: Prediction for an empty prompt.
    """

    coef: Floats
    intercept: float

    @property
    def bits(self) -> int:
        """Logarithm of the number of buckets."""
        return int(self.coef.size).bit_length() - 1

    def predict(self, texts: Sequence[str]) -> Floats:
        """[T] predictions."""
        bits, coef, total = self.bits, self.coef, np.full(len(texts), self.intercept)
        for i, text in enumerate(texts):
            hashed = hashed_words(text, bits=bits)
            buckets = np.fromiter(hashed, np.intp, len(hashed))
            total[i] += coef[buckets] @ np.fromiter(hashed.values(), np.float64, len(hashed))
        return total
