"""The terms of a query: words and phrases, their weights, and those that select candidates. No database here."""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

from graphs.embeddings.texts import clean
from schema.queries.documents.search import MAX_WORD_COUNT

MAX_QUERY_CHARS = 4_000
"""Longer queries are truncated; the embedding model reads about 1,200 characters."""
MAX_PHRASES = 8
MAX_CANDIDATES = 1_000
"""About how many passages are ranked by words. The rarest words select them; the others only rank."""

QUOTES = re.compile(r'["“”„«»]([^"“”„«»]{1,400})["“”„«»]')


@dataclass(frozen=True)
class QueryTerms:
    """Words and then phrases as tsqueries, their weights, and the tsquery that a passage must match. Empty without words."""

    words: Sequence[str] = ()
    weights: Sequence[float] = ()
    candidates: str = ""

    @property
    def total(self) -> float:
        """The sum of all weights."""
        return sum(self.weights)


def read_query(text: str) -> tuple[str, list[str]]:
    """Return the normalized query and its quoted phrases. The query is "" if it has no letter or digit."""
    text = clean(text[:MAX_QUERY_CHARS]).strip()
    if not any(char.isalnum() for char in text):
        return "", []
    return text, [phrase for phrase in QUOTES.findall(text) if len(phrase.split()) > 1][:MAX_PHRASES]


def weigh_terms(words: Sequence[str], phrases: Sequence[bool], counts: Sequence[int], passages: int) -> QueryTerms:
    """Return the terms with their weights (BM25's idf). `counts` are the passages that contain each, of `passages` in all.

    Candidates must contain all quoted phrases. Without quotes, or if no passage has them, they must contain one of the
    rarest words.
    """
    passages = max(passages, *counts, 1)
    weights = [idf(count, passages) for count in counts]
    quoted = [index for index, is_phrase in enumerate(phrases) if is_phrase]
    if quoted and all(counts[index] for index in quoted):
        candidates = " & ".join(f"({words[index]})" for index in quoted)
    else:
        candidates = " | ".join(words[index] for index in _rarest(phrases, counts))
    return QueryTerms(tuple(words), tuple(weights), candidates)


def idf(count: int, passages: int) -> float:
    """Return the weight of a word that `count` of the `passages` contain: ln(1 + (N - n + ½) / (n + ½))."""
    if count >= MAX_WORD_COUNT:  # counting stopped there
        count = max(count, round(math.sqrt(count * passages)))
    return math.log(1 + (passages - count + 0.5) / (count + 0.5))


def _rarest(phrases: Sequence[bool], counts: Sequence[int]) -> list[int]:
    """Return the indices of the rarest words that occur, as many as select about MAX_CANDIDATES passages."""
    order = sorted(
        (index for index, count in enumerate(counts) if count and not phrases[index]), key=counts.__getitem__
    )
    chosen, total = list[int](), 0
    for index in order:
        total += counts[index]
        if chosen and total > MAX_CANDIDATES:
            break
        chosen.append(index)
    return chosen
