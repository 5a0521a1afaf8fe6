"""Lexical signals: the words, word pairs and character trigrams of a text as a weighted vector, keyword hits, codes.

There are two views, with and without diacritics: an utterance typed with diacritics is compared with them, so that "lo"
(worry) is not "lô" (batch). One typing error is corrected in words of five letters or more.
Not for: which candidate a vector belongs to (`classifiers.py`).
"""

import itertools
import math
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from graphs.language.patterns import codes_in, mark_codes
from graphs.language.tokenization import FOLDED_STOP_WORDS, fold, has_diacritics, normalise, tokenize
from graphs.routing.codes import KnownCodes
from graphs.routing.contract import Candidate

MAX_EXAMPLES = 200
"""Of each candidate; the newest are used."""
MAX_ITEMS = 1200
"""Of all candidates together; the more candidates, the fewer examples of each are used."""
MAX_KEYWORD_WORDS = 3
MIN_TYPO_LENGTH = 5
STOP_WEIGHT = 0.12
UNKNOWN_WEIGHT = 0.35
GRAM_SHARE = 0.7
Vector = dict[str, float]


@dataclass(frozen=True, slots=True)
class Item:
    """A text of a candidate: a sentence of its description, an example, a keyword."""

    owner: int
    text: str


@dataclass(frozen=True, slots=True)
class LexicalSignals:
    """The signals of an utterance: its vector in a view, and for each candidate keyword hits and known codes (0 to 1)."""

    vector: Vector
    folded: bool
    keyword: tuple[float, ...]
    code: tuple[float, ...]


def training_items(candidates: Sequence[Candidate]) -> list[Item]:
    """Return the texts of all candidates, each an item of its own."""
    limit = min(MAX_EXAMPLES, max(3, MAX_ITEMS // max(1, len(candidates))))
    return [Item(o, t) for o, c in enumerate(candidates) for t in _candidate_texts(c, limit) if t.strip()]


def _candidate_texts(candidate: Candidate, limit: int) -> Iterable[str]:
    for sentence in re.split(r"(?<=[.!?])\s+|\n+", candidate.description[:2000]):
        yield sentence
        if len(clauses := re.split(r"[,;:]\s+", sentence)) > 1:
            yield from clauses
    yield from candidate.examples[-limit:]
    yield from candidate.keywords[:limit]


def candidate_keywords(candidate: Candidate) -> tuple[str, ...]:
    """Return a candidate's keywords: the given ones, and the short ones among its texts ("credit limit")."""
    texts = dict.fromkeys(text.strip(" .") for text in _candidate_texts(candidate, MAX_EXAMPLES))
    return (
        *candidate.keywords,
        *(text for text in texts if 0 < len(text.split()) <= MAX_KEYWORD_WORDS and "?" not in text),
    )


def prepare(text: str) -> str:
    """Return a text as the index compares it: codes marked, then normalised."""
    return normalise(mark_codes(text))


class LexicalIndex:
    """The lexical index of a candidate set. Built once per set; a query takes half a millisecond."""

    def __init__(self, candidates: Sequence[Candidate], items: Sequence[Item]) -> None:
        owners: list[list[str]] = [[] for _ in candidates]
        for item in items:
            owners[item.owner].append(item.text)
        self.codes = [KnownCodes(one.patterns, texts) for one, texts in zip(candidates, owners, strict=True)]
        self._views = {folded: _View(candidates, items, folded=folded) for folded in (True, False)}

    def compute_signals(self, text: str) -> LexicalSignals:
        """Return the signals of an utterance."""
        folded = not has_diacritics(text)
        prepared = prepare(text)
        words = self._views[folded].corrected_words(prepared)
        found = codes_in(text)
        known = tuple(float(codes.knows_one_of(found)) for codes in self.codes)
        return LexicalSignals(
            self._views[folded].vector(words), folded, self._views[folded].keyword_scores(words), known
        )

    def vector(self, text: str, *, folded: bool) -> Vector:
        """Return the vector of a text in one view."""
        view = self._views[folded]
        return view.vector(view.corrected_words(prepare(text)))


class _View:
    """The index of one view: with diacritics, or without."""

    def __init__(self, candidates: Sequence[Candidate], items: Sequence[Item], *, folded: bool) -> None:
        self._folded = folded
        self._size = len(candidates)
        lists = [(item.owner, tokenize(prepare(item.text), folded=folded)) for item in items]
        self._terms = _weights(((owner, _terms(words)) for owner, words in lists), self._size)
        self._grams = _weights(((owner, _grams(words)) for owner, words in lists), self._size)
        self._keywords = self._index_keywords(candidates)
        self._longest = max((key.count(" ") + 1 for key in self._keywords), default=1)
        self._spellings = _index_spellings({w for _, words in lists for w in words})

    def corrected_words(self, prepared: str) -> list[str]:
        """Return the words of a prepared text, with typing errors corrected to known words."""
        return [self._correct_typo(w) for w in tokenize(prepared, folded=self._folded)]

    def vector(self, words: list[str]) -> Vector:
        """Return words and pairs scaled to length 1, and trigrams, whose names begin with "#", to length GRAM_SHARE."""
        found = _scaled_weights(_terms(words), self._terms, 1.0)
        found.update(
            (f"#{gram}", weight) for gram, weight in _scaled_weights(_grams(words), self._grams, GRAM_SHARE).items()
        )
        return found

    def keyword_scores(self, words: list[str]) -> tuple[float, ...]:
        """Return each candidate's keyword hits; a phrase takes precedence over its words."""
        sums, taken = [0.0] * self._size, [False] * len(words)
        for length in range(min(self._longest, len(words)), 0, -1):
            for start in range(len(words) - length + 1):
                hits = self._keywords.get(" ".join(words[start : start + length]))
                if hits is None or any(taken[start : start + length]):
                    continue
                taken[start : start + length] = [True] * length
                for owner, weight in hits.items():
                    sums[owner] += weight / len(hits)
        return tuple(1 - math.exp(-total) for total in sums)

    def _index_keywords(self, candidates: Sequence[Candidate]) -> dict[str, dict[int, float]]:
        weights: dict[str, dict[int, float]] = defaultdict(dict)
        for owner, candidate in enumerate(candidates):
            for keyword in candidate_keywords(candidate)[:MAX_EXAMPLES]:
                words = tokenize(prepare(keyword), folded=self._folded)
                # without its marks "ảnh" is everybody's "anh": a lone syllable that lost something counts for less
                lost_marks = self._folded and len(words) == 1 and fold(keyword) != keyword
                if words and not (lost_marks and words[0] in FOLDED_STOP_WORDS):
                    weights[" ".join(words)][owner] = 0.45 if lost_marks else 0.9
        return dict(weights)

    def _correct_typo(self, word: str) -> str:
        if len(word) < MIN_TYPO_LENGTH or not word.isalpha() or word in self._terms:
            return word
        near = {known for deletion in _deletions(word) for known in self._spellings.get(deletion, ())}
        return min(near, key=lambda known: (abs(len(known) - len(word)), known)) if near else word


def _terms(words: list[str]) -> Counter[str]:
    pairs = (f"{a} {b}" for a, b in itertools.pairwise(words))
    return Counter(words) + Counter(pairs)


def _grams(words: list[str]) -> Counter[str]:
    return Counter(f" {w} "[i : i + 3] for w in words if w not in FOLDED_STOP_WORDS for i in range(len(w)))


def _weights(counts: Iterable[tuple[int, Counter[str]]], size: int) -> Vector:
    """Return the terms' weights: the fewer candidates use a term, the more it weighs. Texts are not counted: an agent with
    many examples would make its own words worthless."""
    users: dict[str, set[int]] = defaultdict(set)
    for owner, count in counts:
        for term in count:
            users[term].add(owner)
    return {
        term: math.log1p(size / len(by)) * (STOP_WEIGHT if all(w in FOLDED_STOP_WORDS for w in term.split()) else 1)
        for term, by in users.items()
    }


def _scaled_weights(counts: Counter[str], weights: Vector, length: float) -> Vector:
    """Return the weights scaled to a length. Unknown words add to the length, unknown pairs don't."""
    raw = {t: n * weights.get(t, 0.0 if " " in t.strip() else UNKNOWN_WEIGHT) for t, n in counts.items()}
    scale = length / (math.sqrt(sum(v * v for v in raw.values())) or 1.0)
    return {term: value * scale for term, value in raw.items() if value}


def _index_spellings(words: set[str]) -> dict[str, list[str]]:
    """Return known words by what remains when one letter is deleted: two words that share it are one error apart, or have
    two letters swapped."""
    found: dict[str, list[str]] = defaultdict(list)
    for word in words:
        if len(word) >= MIN_TYPO_LENGTH and word.isalpha():
            for deletion in _deletions(word):
                found[deletion].append(word)
    return dict(found)


def _deletions(word: str) -> set[str]:
    return {word, *(word[:i] + word[i + 1 :] for i in range(len(word)))}
