"""The words of a query: which there are, what each weighs, which of them decide what is looked at. No database here."""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

from graphs.embeddings.texts import clean
from schema.queries.documents.search import COUNTED

MOST_CHARS = 4_000
"""Of a query; a model reads about 1,200, and nobody's question needs more words."""
MOST_PHRASES = 8
MATCHED = 1_000
"""About how many passages are ranked by their words. The rarest words choose them; the others only rank."""

QUOTES = re.compile(r'["“”„«»]([^"“”„«»]{1,400})["“”„«»]')


@dataclass(frozen=True)
class QueryTerms:
    """Words and then phrases as tsqueries, what each weighs, and the tsquery that a passage must match. Empty: no word."""

    words: Sequence[str] = ()
    weights: Sequence[float] = ()
    any_of: str = ""

    @property
    def total(self) -> float:
        """What a passage with every word weighs."""
        return sum(self.weights)


def read_query(text: str) -> tuple[str, list[str]]:
    """Return the query as it is searched for, and the phrases that stand in quotes in it. Without a letter or digit: ""."""
    text = clean(text[:MOST_CHARS]).strip()
    if not any(sign.isalnum() for sign in text):
        return "", []
    return text, [phrase for phrase in QUOTES.findall(text) if len(phrase.split()) > 1][:MOST_PHRASES]


def weigh(words: Sequence[str], phrases: Sequence[bool], counts: Sequence[int], passages: int) -> QueryTerms:
    """Return the words with their weights (BM25's idf). `counts` are the passages that have each, of so many.

    What is in quotes must be there; without quotes, or where no passage has what they say, one of the rarest words must.
    """
    passages = max(passages, *counts, 1)
    weights = [idf(count, passages) for count in counts]
    quoted = [place for place, is_phrase in enumerate(phrases) if is_phrase]
    if quoted and all(counts[place] for place in quoted):
        any_of = " & ".join(f"({words[place]})" for place in quoted)
    else:
        any_of = " | ".join(words[place] for place in _rarest(phrases, counts))
    return QueryTerms(tuple(words), tuple(weights), any_of)


def idf(count: int, passages: int) -> float:
    """What a word weighs that so many of the passages have: ln(1 + (N - n + ½) / (n + ½))."""
    if count >= COUNTED:  # it was not counted any further
        count = max(count, round(math.sqrt(count * passages)))
    return math.log(1 + (passages - count + 0.5) / (count + 0.5))


def _rarest(phrases: Sequence[bool], counts: Sequence[int]) -> list[int]:
    """Return the places of the rarest words that are there at all, as many as choose MATCHED passages."""
    order = sorted(
        (place for place, count in enumerate(counts) if count and not phrases[place]), key=counts.__getitem__
    )
    chosen, sum_ = list[int](), 0
    for place in order:
        sum_ += counts[place]
        if chosen and sum_ > MATCHED:
            break
        chosen.append(place)
    return chosen
