"""A set of candidates, ready to classify utterances: their lexical index, and the classifiers trained on their rows.

Built once per set, in a thread (a third of a second for four agents with seventy examples each), and cached.
Not for: what follows from the probabilities (`router.py`).
"""

import copy
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from graphs.routing.ambiguity import AMBIGUOUS, is_afterthought, is_ambiguous
from graphs.routing.classifiers import Array, Classifier, train
from graphs.routing.contract import Candidate, Scored
from graphs.routing.fitted import Fitted, fitted
from graphs.routing.frames import LIVE, NOBODY, PICTURE, centre
from graphs.routing.scoring import Evidence, Features, features, probabilities
from graphs.routing.signals import MAX_EXAMPLES, Item, LexicalIndex, LexicalSignals, prepare, training_items
from graphs.routing.small_talk import GREETINGS, SMALL_TALK, SMALL_TALK_NAME

MIN_EXAMPLE_WORDS = 3
"""A shorter example is only a hint and doesn't decide the route alone."""


@dataclass(frozen=True, slots=True)
class Prediction:
    """A text with its probabilities: of the agents, best first, of small talk, and of being ambiguous. `basis`: "words" or
    "words and meaning"."""

    text: str
    ranked: tuple[Scored, ...]
    small_talk: float
    ambiguous: float
    basis: str

    def score_at(self, rank: int) -> float:
        """Return the probability at a rank, 0 after the last."""
        return self.ranked[rank].score if rank < len(self.ranked) else 0.0


class CandidateSet:
    """The agents, and what competes with them: "ambiguous" and "small talk" (last). Predicts by words alone until
    `train_on_vectors` has been called. `glance` is the same set with vectors of words, if there are any."""

    def __init__(self, candidates: Sequence[Candidate], known: Fitted | None = None) -> None:
        self._fitted = known or fitted()
        self._frames, self._weights = self._fitted.frames, self._fitted.semantic
        self.glance: CandidateSet | None = None
        self.agents = tuple(c for c in candidates if c.name != SMALL_TALK_NAME)
        self.all_candidates = (*self.agents, AMBIGUOUS, small_talk_candidate(candidates))
        self.items: list[Item] = training_items(self.all_candidates)
        self.lexical = LexicalIndex(self.all_candidates, self.items)
        self._by_words = self._train(None)
        self._by_meaning: dict[bool, Classifier] | None = None
        self._vectors: Array | None = None
        self._mean: Array | None = None
        self._owners = np.array([item.owner for item in self.items])
        self._example_owners = dict.fromkeys(map(_plain_words, GREETINGS), SMALL_TALK_NAME) | {
            plain: c.name
            for c in (self.all_candidates[-1], *self.agents)
            for example in c.examples[-MAX_EXAMPLES:]
            if len((plain := _plain_words(example)).split()) >= MIN_EXAMPLE_WORDS
        }
        counts = np.bincount(self._owners, minlength=len(self.all_candidates))
        self._scarcity: list[float] = (1 / np.sqrt(np.maximum(counts, 1))).tolist()
        self._kinds, self._claims = self._frames_of_agents(None)

    def add_glance(self, vectors: Array) -> None:
        """Make `glance` of the vectors of words of `items`. What is known of their words is shared."""
        made = copy.copy(self)
        made._frames, made._weights = self._fitted.glance_frames, self._fitted.glance
        made.train_on_vectors(vectors)
        self.glance = made

    def find_example_owner(self, text: str) -> str | None:
        """Return the name of the agent (or small talk's) that has this text as an example, with any numbers; else None."""
        return self._example_owners.get(_plain_words(text))

    @property
    def has_vectors(self) -> bool:
        """Whether vectors can be used."""
        return self._by_meaning is not None

    def train_on_vectors(self, vectors: Array) -> None:
        """Train on the vectors of `items`, in their order, (items, dimensions)."""
        self._mean = mean = vectors.mean(axis=0)
        self._kinds, self._claims = self._frames_of_agents(vectors)
        centred = centre(vectors, mean)
        self._by_meaning = self._train(centred)
        self._vectors = centred

    def predict(
        self, text: str, meaning: Array | None = None, last_agent: str | None = None, *, whole: str | None = None
    ) -> Prediction:
        """Return the probabilities of a text; by words alone without its vector (`meaning`). `whole` is the text that it is a
        part of: whether it says what it is about, and continues what was said before, is seen there."""
        weights = self._weights if self._uses(meaning) else self._fitted.lexical
        found = probabilities(self.features(text, meaning, last_agent, whole=whole), weights)
        scored = (Scored(c.name, p) for c, p in zip(self.agents, found, strict=False))
        ranked = tuple(sorted(scored, key=lambda item: -item.score))
        basis = "words and meaning" if self._uses(meaning) else "words"
        return Prediction(text, ranked, found[-1], found[-2], basis)

    def features(
        self, text: str, meaning: Array | None = None, last_agent: str | None = None, *, whole: str | None = None
    ) -> list[Features]:
        """Return the features for `scoring.py`, for each of `all_candidates`."""
        signals = self.lexical.compute_signals(text)
        scores, nearest = self._scores(signals, meaning)
        return features(
            Evidence(
                scores=scores,
                signals=signals,
                nearest=nearest,
                scarcity=self._scarcity,
                kinds=self._kinds,
                frame=self._with_claims(
                    self._frames.probabilities(text, meaning if self._uses(meaning) else None), scores
                ),
                words=max(1, len((whole or text).split())),
                vague=is_ambiguous(whole or text),
                afterthought=is_afterthought(whole or text),
                last=next((at for at, agent in enumerate(self.agents) if agent.name == last_agent), None),
            )
        )

    def _with_claims(self, frame: list[float], scores: Sequence[float]) -> list[float]:
        """Return the frame of a text where an agent may be for what everybody else's agents are not: weather, say."""
        claim = max(
            (own * math.sqrt(min(1.0, max(0.0, score))) for own, score in zip(self._claims, scores, strict=False)),
            default=0.0,
        )
        moved = frame[NOBODY] * claim
        return [share + moved * ((at == LIVE) - (at == NOBODY)) for at, share in enumerate(frame)]

    def _uses(self, meaning: Array | None) -> bool:
        return meaning is not None and self.has_vectors

    def _scores(self, signals: LexicalSignals, meaning: Array | None) -> tuple[list[float], list[float] | None]:
        """Return each candidate's score by its classifier, and the cosine with its nearest text."""
        if meaning is None or self._by_meaning is None or self._vectors is None or self._mean is None:
            return self._by_words[signals.folded].score(signals.vector, None), None
        cosines = self._vectors @ centre(meaning, self._mean)
        return self._by_meaning[signals.folded].score(signals.vector, cosines), self._nearest_cosines(cosines)

    def _frames_of_agents(self, vectors: Array | None) -> tuple[list[list[float]], list[float]]:
        """Return, for each agent, which frames it answers: live, documents, picture; and how much it claims of what is nobody's
        elsewhere: nothing, unless its own texts are mostly of that frame. The texts of an agent that say it best are its
        description and its examples."""
        kinds, claims = list[list[float]](), list[float]()
        for owner in range(len(self.agents)):
            own = [
                self._frames.probabilities(item.text, None if vectors is None else vectors[at])
                for at, item in enumerate(self.items)
                if item.owner == owner and len(item.text.split()) >= MIN_EXAMPLE_WORDS
            ]
            mean = np.mean(own, axis=0) if own else np.array([1.0, 0.0, 0.0, 0.0, 0.0])
            answers = mean[: PICTURE + 1]
            kinds.append((answers / max(float(answers.sum()), 1e-9)).tolist())
            claims.append(max(0.0, 2 * float(mean[NOBODY]) - 1))
        return kinds, claims

    def _nearest_cosines(self, cosines: Array) -> list[float]:
        """Return the cosine with the nearest text of each of `all_candidates`."""
        nearest = np.full(len(self.all_candidates), 0.0, np.float32)
        np.maximum.at(nearest, self._owners, cosines)
        return nearest.tolist()

    def _train(self, vectors: Array | None) -> dict[bool, Classifier]:
        size = len(self.all_candidates)
        return {f: train(self.lexical, self.items, size, vectors, folded=f) for f in (True, False)}


def _plain_words(text: str) -> str:
    return " ".join(re.findall(r"\w+", prepare(text)))


def small_talk_candidate(candidates: Sequence[Candidate]) -> Candidate:
    """Return small talk with its learned examples: those of the candidates without a name."""
    learned = tuple(example for c in candidates if c.name == SMALL_TALK_NAME for example in c.examples)
    return Candidate(SMALL_TALK_NAME, SMALL_TALK.description, (*learned, *SMALL_TALK.examples), SMALL_TALK.keywords)
