"""Cuts texts into the pieces of a vocabulary so that their scores add up to the most (SentencePiece's unigram model).

All pieces that a text contains are found at once, by a rolling hash of its characters, so the vocabulary takes 5 MB instead of
the 300 MB of a trie of objects.
"""

import re
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from graphs.embeddings.e5_file import Vocabulary

SPACE = "▁"
"""What stands for the space before a word."""
UNKNOWN_PENALTY = 10.0
MAX_CACHED_WORDS, MAX_CACHED_CHARS = 8192, 24
"""No piece goes on after a space, so the pieces of a word are always the same."""
_BASE = 0x9E3779B97F4A7C15 | 1
_MASK = (1 << 64) - 1


class Unigram:
    """The tokenizer of one vocabulary."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        self._vocabulary = vocabulary
        hashes, lengths = _hash_pieces(vocabulary)
        self._order = np.argsort(hashes).astype(np.int32)
        self._hashes = hashes[self._order]
        self._longest = int(lengths.max())
        self._unknown = float(vocabulary.scores.min()) - UNKNOWN_PENALTY
        self._word_ids = lru_cache(MAX_CACHED_WORDS)(self._best_pieces)

    def encode(self, text: str, limit: int) -> list[int]:
        """Return the ids of a text, with those of its start and its end; at most `limit`, cut at the end."""
        vocabulary = self._vocabulary
        written = re.sub(" +", SPACE, text.translate(vocabulary.rewrites)).removeprefix(SPACE)
        ids = [piece for word in written.split(SPACE) for piece in self._ids_of(SPACE + word)][: limit - 2]
        return [vocabulary.start_id, *ids, vocabulary.end_id]

    def _ids_of(self, word: str) -> list[int]:
        return self._word_ids(word) if len(word) <= MAX_CACHED_CHARS else self._best_pieces(word)

    def _best_pieces(self, text: str) -> list[int]:
        ends, ids = self._find_pieces(text)
        scores = self._vocabulary.scores
        size = len(text)
        best, came, took = [-1e30] * (size + 1), [0] * (size + 1), [0] * (size + 1)
        best[0] = 0.0
        for start in range(size):
            here = best[start]
            for end, piece in zip(ends[start], ids[start], strict=True):
                total = here + float(scores[piece])
                if total > best[end]:
                    best[end], came[end], took[end] = total, start, piece
            if here + self._unknown > best[start + 1]:
                best[start + 1], came[start + 1], took[start + 1] = here + self._unknown, start, -1
        return _walk_back(came, took, self._vocabulary.unknown_id)

    def _find_pieces(self, text: str) -> tuple[list[list[int]], list[list[int]]]:
        """Return, for each place of a text, where pieces that begin there end, and which they are."""
        found: tuple[list[list[int]], list[list[int]]] = [[] for _ in text], [[] for _ in text]
        codes = np.frombuffer(text.encode("utf-32-le"), np.uint32).astype(np.uint64)
        sums = _prefix_hashes(codes)
        for length in range(1, min(self._longest, len(text)) + 1):
            hashes = sums[length:] - sums[:-length] * np.uint64(pow(_BASE, length, 1 << 64))
            places = np.searchsorted(self._hashes, hashes)
            places[places == len(self._hashes)] = 0
            for start in np.flatnonzero(self._hashes[places] == hashes).tolist():
                found[0][start].append(start + length)
                found[1][start].append(int(self._order[places[start]]))
        return found


def _walk_back(came: list[int], took: list[int], unknown: int) -> list[int]:
    ids: list[int] = []
    at = len(came) - 1
    while at > 0:
        ids.append(unknown if took[at] < 0 else took[at])
        at = came[at]
    return ids[::-1]


def _prefix_hashes(codes: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Return the hashes of all beginnings of a text: h(text + c) = h(text) · BASE + c, modulo 2**64."""
    sums, total = [0], 0
    for code in codes.tolist():
        total = (total * _BASE + code) & _MASK
        sums.append(total)
    return np.array(sums, np.uint64)


def _hash_pieces(vocabulary: Vocabulary) -> tuple[NDArray[np.uint64], NDArray[np.int64]]:
    """Return every piece's hash and its length in characters."""
    counts = np.frombuffer(vocabulary.text, np.uint8)
    begins = (counts & 0xC0) != 0x80
    before = np.concatenate([[0], np.cumsum(begins)])
    stops = before[vocabulary.ends]
    starts = np.concatenate([[0], stops[:-1]])
    lengths = stops - starts
    codes = np.frombuffer(vocabulary.text.decode().encode("utf-32-le"), np.uint32).astype(np.uint64)
    hashes = np.zeros(len(lengths), np.uint64)
    for place in range(int(lengths.max())):
        longer = lengths > place
        hashes[longer] = hashes[longer] * np.uint64(_BASE) + codes[starts[longer] + place]
    return hashes, lengths
