"""A set of candidates made ready to judge utterances: their wording, and the classifiers trained on their rows.

Made once per set, in a thread (a third of a second for four agents with seventy examples each), and kept while it is
used. Not for: what follows from the probabilities (`router.py`).
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from graphs.routing.ambiguity import AMBIGUOUS
from graphs.routing.classifiers import Array, Classifier, train
from graphs.routing.contract import Candidate, Scored
from graphs.routing.scoring import Features, features, probabilities
from graphs.routing.signals import KEPT_EXAMPLES, Item, LexicalIndex, items_of, prepare
from graphs.routing.small_talk import NAME, NOBODY

TELLING_WORDS = 3
"""An example of fewer words is a hint, not a sentence that settles the matter."""


@dataclass(frozen=True, slots=True)
class Judged:
    """A text with the candidates' probabilities, best first, nobody's (`talk`), that of its being vague, and what they
    rest on."""

    text: str
    best: tuple[Scored, ...]
    talk: float
    vague: float
    by: str

    def at(self, place: int) -> float:
        """The probability at a place, 0 after the last."""
        return self.best[place].score if place < len(self.best) else 0.0


class CandidateSet:
    """The agents, and what competes with them: being vague, and nobody (last). Judges by words alone until
    `learn_meaning` was given vectors."""

    def __init__(self, candidates: Sequence[Candidate]) -> None:
        self.agents = tuple(c for c in candidates if c.name != NAME)
        self.everybody = (*self.agents, AMBIGUOUS, nobody(candidates))
        self.items: list[Item] = items_of(self.everybody)
        self.lexical = LexicalIndex(self.everybody, self.items)
        self._by_words = self._train(None)
        self._by_meaning: dict[bool, Classifier] | None = None
        self._meanings: Array | None = None
        self._owners = np.array([item.owner for item in self.items])
        self._said = {
            plain: c.name
            for c in (self.everybody[-1], *self.agents)
            for example in c.examples[-KEPT_EXAMPLES:]
            if len((plain := _plainly(example)).split()) >= TELLING_WORDS
        }
        counts = np.bincount(self._owners, minlength=len(self.everybody))
        self._youth: list[float] = (1 / np.sqrt(np.maximum(counts, 1))).tolist()

    def owner_of(self, text: str) -> str | None:
        """The name of the agent, or nobody's, one of whose examples says just this, with any numbers; else None."""
        return self._said.get(_plainly(text))

    @property
    def knows_meaning(self) -> bool:
        """Whether vectors can be judged too."""
        return self._by_meaning is not None

    def learn_meaning(self, meanings: Array) -> None:
        """Train on the vectors of `items`, in their order, (items, dimensions)."""
        self._by_meaning = self._train(meanings)
        self._meanings = meanings

    def judge(self, text: str, meaning: Array | None = None) -> Judged:
        """The probabilities of one text; by words alone without its vector."""
        with_meaning = meaning is not None and self.knows_meaning
        found = probabilities(self.features(text, meaning), meaning=with_meaning)
        best = (Scored(c.name, p) for c, p in zip(self.agents, found, strict=False))
        ranked = tuple(sorted(best, key=lambda one: -one.score))
        return Judged(text, ranked, found[-1], found[-2], "words and meaning" if with_meaning else "words")

    def features(self, text: str, meaning: Array | None = None) -> list[Features]:
        """What `scoring.py` goes by, for each of `everybody`."""
        wording = self.lexical.weigh(text)
        if meaning is None or self._by_meaning is None or self._meanings is None:
            scores = self._by_words[wording.folded].score(wording.vector, None)
            return features(scores, wording, None, self._youth)
        cosines = self._meanings @ meaning
        scores = self._by_meaning[wording.folded].score(wording.vector, cosines)
        return features(scores, wording, self._nearest(cosines), self._youth)

    def _nearest(self, cosines: Array) -> list[float]:
        """The cosine with the nearest text of each of `everybody`."""
        best = np.full(len(self.everybody), 0.0, np.float32)
        np.maximum.at(best, self._owners, cosines)
        return best.tolist()

    def _train(self, meanings: Array | None) -> dict[bool, Classifier]:
        size = len(self.everybody)
        return {f: train(self.lexical, self.items, size, meanings, folded=f) for f in (True, False)}


def _plainly(text: str) -> str:
    return " ".join(re.findall(r"\w+", prepare(text)))


def nobody(candidates: Sequence[Candidate]) -> Candidate:
    """Nobody, with what was learned: a candidate without a name adds things people said that were nobody's."""
    learned = tuple(example for c in candidates if c.name == NAME for example in c.examples)
    return Candidate(NAME, NOBODY.description, (*learned, *NOBODY.examples), NOBODY.keywords)
