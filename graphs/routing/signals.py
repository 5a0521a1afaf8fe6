"""Lexical signals: the words, pairs of words and character trigrams of a text as a weighted vector, keyword hits, codes.

Two views of everything, with and without diacritics: an utterance typed with them is compared with them, so that
"lo" (worry) is not "lô" (batch). Words of five letters or more are forgiven one typing error. Not for: which candidate
a vector belongs to (`heads.py`).
"""

import itertools
import math
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from graphs.language.patterns import codes_in, mark_codes
from graphs.language.tokenization import FOLDED_STOP_WORDS, fold, has_diacritics, normalised, words_of
from graphs.routing.contract import Candidate

KEPT_EXAMPLES = 200
"""Of each candidate, the newest."""
KEPT_ITEMS = 1200
"""Of all candidates together; the more candidates, the fewer examples of each are kept."""
SHORT_WORDS = 3
MISSPELLABLE = 5
STOP_WEIGHT = 0.12
UNKNOWN_WEIGHT = 0.35
GRAM_SHARE = 0.7
Vector = dict[str, float]


@dataclass(frozen=True, slots=True)
class Item:
    """A text that stands for a candidate: a sentence of its description, an example, a keyword."""

    owner: int
    text: str


@dataclass(frozen=True, slots=True)
class Wording:
    """What an utterance's wording says: its vector in a view, and for each candidate keyword hits and known codes
    (from 0 to 1)."""

    vector: Vector
    folded: bool
    keyword: tuple[float, ...]
    code: tuple[float, ...]


def items_of(candidates: Sequence[Candidate]) -> list[Item]:
    """The texts of all candidates, each to be compared on its own."""
    most = min(KEPT_EXAMPLES, max(3, KEPT_ITEMS // max(1, len(candidates))))
    return [Item(o, t) for o, c in enumerate(candidates) for t in _texts_of(c, most) if t.strip()]


def _texts_of(candidate: Candidate, most: int) -> Iterable[str]:
    for sentence in re.split(r"(?<=[.!?])\s+|\n+", candidate.description[:2000]):
        yield sentence
        if len(clauses := re.split(r"[,;:]\s+", sentence)) > 1:
            yield from clauses
    yield from candidate.examples[-most:]
    yield from candidate.keywords[:most]


def phrases_of(candidate: Candidate) -> tuple[str, ...]:
    """What counts as a keyword: those that were given, and the short ones among its texts ("credit limit")."""
    texts = dict.fromkeys(text.strip(" .") for text in _texts_of(candidate, KEPT_EXAMPLES))
    return (*candidate.keywords, *(text for text in texts if 0 < len(text.split()) <= SHORT_WORDS and "?" not in text))


def prepare(text: str) -> str:
    """What the index compares: codes marked, then normalised."""
    return normalised(mark_codes(text))


class LexicalIndex:
    """The wording of a set of candidates. Built once per set; a query takes half a millisecond."""

    def __init__(self, candidates: Sequence[Candidate], items: Sequence[Item]) -> None:
        owners: list[list[str]] = [[] for _ in candidates]
        for item in items:
            owners[item.owner].append(mark_codes(item.text))
        self.codes = [codes_in(" ".join(texts)) for texts in owners]
        self._views = {folded: _View(candidates, items, folded=folded) for folded in (True, False)}

    def weigh(self, text: str) -> Wording:
        """The signals of an utterance."""
        folded = not has_diacritics(text)
        prepared = prepare(text)
        words = self._views[folded].read(prepared)
        found = codes_in(prepared)
        known = tuple(float(bool(found & codes)) for codes in self.codes)
        return Wording(self._views[folded].vector(words), folded, self._views[folded].keyed(words), known)

    def vector(self, text: str, *, folded: bool) -> Vector:
        """The vector of a text in the view asked for."""
        view = self._views[folded]
        return view.vector(view.read(prepare(text)))


class _View:
    """The index in one spelling: with diacritics, or without."""

    def __init__(self, candidates: Sequence[Candidate], items: Sequence[Item], *, folded: bool) -> None:
        self._folded = folded
        self._size = len(candidates)
        lists = [(item.owner, words_of(prepare(item.text), folded=folded)) for item in items]
        self._terms = _weights(((owner, _terms(words)) for owner, words in lists), self._size)
        self._grams = _weights(((owner, _grams(words)) for owner, words in lists), self._size)
        self._keywords = self._index_keywords(candidates)
        self._longest = max((key.count(" ") + 1 for key in self._keywords), default=1)
        self._spellings = _index_spellings({w for _, words in lists for w in words})

    def read(self, prepared: str) -> list[str]:
        """The words of a prepared text, typing errors mended where a known word is near."""
        return [self._respelled(w) for w in words_of(prepared, folded=self._folded)]

    def vector(self, words: list[str]) -> Vector:
        """Words and pairs of length 1, trigrams of length GRAM_SHARE; their names can't meet, for trigrams begin with
        "#"."""
        found = _unit(_terms(words), self._terms, 1.0)
        found.update((f"#{gram}", weight) for gram, weight in _unit(_grams(words), self._grams, GRAM_SHARE).items())
        return found

    def keyed(self, words: list[str]) -> tuple[float, ...]:
        """Keyword hits of each candidate; a phrase counts before the words it is made of."""
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
        spelt: dict[str, dict[int, float]] = defaultdict(dict)
        for owner, candidate in enumerate(candidates):
            for keyword in phrases_of(candidate)[:KEPT_EXAMPLES]:
                words = words_of(prepare(keyword), folded=self._folded)
                # without its marks "ảnh" is everybody's "anh": a lone syllable that lost something counts for less
                lossy = self._folded and len(words) == 1 and fold(keyword) != keyword
                if words and not (lossy and words[0] in FOLDED_STOP_WORDS):
                    spelt[" ".join(words)][owner] = 0.45 if lossy else 0.9
        return dict(spelt)

    def _respelled(self, word: str) -> str:
        if len(word) < MISSPELLABLE or not word.isalpha() or word in self._terms:
            return word
        near = {known for cut in _cuts(word) for known in self._spellings.get(cut, ())}
        return min(near, key=lambda known: (abs(len(known) - len(word)), known)) if near else word


def _terms(words: list[str]) -> Counter[str]:
    pairs = (f"{a} {b}" for a, b in itertools.pairwise(words))
    return Counter(words) + Counter(pairs)


def _grams(words: list[str]) -> Counter[str]:
    return Counter(f" {w} "[i : i + 3] for w in words if w not in FOLDED_STOP_WORDS for i in range(len(w)))


def _weights(counts: Iterable[tuple[int, Counter[str]]], size: int) -> Vector:
    """A term's weight: the fewer candidates use it, the more. Not the number of texts: an agent with many examples
    would make its own words worthless."""
    users: dict[str, set[int]] = defaultdict(set)
    for owner, count in counts:
        for term in count:
            users[term].add(owner)
    return {
        term: math.log1p(size / len(by)) * (STOP_WEIGHT if all(w in FOLDED_STOP_WORDS for w in term.split()) else 1)
        for term, by in users.items()
    }


def _unit(counts: Counter[str], weights: Vector, length: float) -> Vector:
    """Scaled to a length. A word that nobody uses has a part in the length, a pair of words that nobody uses none."""
    raw = {t: n * weights.get(t, 0.0 if " " in t.strip() else UNKNOWN_WEIGHT) for t, n in counts.items()}
    scale = length / (math.sqrt(sum(v * v for v in raw.values())) or 1.0)
    return {term: value * scale for term, value in raw.items() if value}


def _index_spellings(words: set[str]) -> dict[str, list[str]]:
    """Known words by what is left when a letter is gone: two words that share that are one error apart, or two
    letters changed places."""
    found: dict[str, list[str]] = defaultdict(list)
    for word in words:
        if len(word) >= MISSPELLABLE and word.isalpha():
            for cut in _cuts(word):
                found[cut].append(word)
    return dict(found)


def _cuts(word: str) -> set[str]:
    return {word, *(word[:i] + word[i + 1 :] for i in range(len(word)))}
