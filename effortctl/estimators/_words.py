"""Words of a prompt as hashed counts: vocabulary without storing anybody's prompt.

Words and pairs of neighbouring words fall into `2**bits` buckets by their CRC-32, which is the same on
every machine and needs no fitted vocabulary. A prompt is the vector of 1 + log(count) over buckets,
scaled to length 1. Inverse document frequencies are left out on purpose: they made held-out
predictions of failure worse on programming problems, because common words carry the style of a task.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Buckets = NDArray[np.uint32]

_IN_A_WORD = frozenset(b"abcdefghijklmnopqrstuvwxyz0123456789") | frozenset(range(128, 256))
_APART = bytes(byte if byte in _IN_A_WORD else 32 for byte in range(256))
"""Turns every byte that is in no word into a space."""

_START = zlib.crc32(b"\n")
"""Stands before the first word, so that how a prompt begins is a pair of its own."""

_LOOK_AT = 8192
"""Characters of a prompt that are read; bounds the time of one prediction."""


def hashed_words(text: str, *, bits: int) -> tuple[Buckets, Floats]:
    """Rising buckets of one prompt, and their weights, which have length 1."""
    seen = text[:_LOOK_AT].lower().encode("utf-8", "replace")
    words = [word for word in seen.translate(_APART).split() if len(word) > 1]
    if not words:
        return np.empty(0, np.uint32), np.empty(0)
    hashes = list(map(zlib.crc32, words))
    # A pair goes on from the hash of the word before.
    hashes += map(zlib.crc32, words, [_START, *hashes])
    found = np.fromiter(hashes, np.uint32, len(hashes)) & np.uint32((1 << bits) - 1)
    buckets, counts = np.unique(found, return_counts=True)
    weights = 1.0 + np.log(counts)
    return buckets, weights / np.sqrt(weights @ weights)


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
            buckets, weights = hashed_words(text, bits=bits)
            total[i] += coef[buckets] @ weights
        return total
