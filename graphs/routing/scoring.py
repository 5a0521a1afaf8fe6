"""From signals to probabilities: conditional logistic models, by words alone, at a glance and with embeddings (`weights.py`).

All agents share the same few weights, which so know nothing about particular agents; the last two candidates (ambiguous and
small talk) have a few of their own. They were fitted on the halves of `tests/routing/data` that may be looked at;
`python -m tests.routing fit` writes them again. The frame counts beside the topic, and multiplied with it: a text full of an
agent's words that asks for what everybody knows is nobody's.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from graphs.routing.frames import DOCUMENTS, NOBODY, PICTURE, VAGUE
from graphs.routing.signals import LexicalSignals
from graphs.routing.weights import CALIBRATION

Features = tuple[float, ...]
AGENT_FEATURES, VAGUE_FEATURES, NOBODY_FEATURES = 13, 6, 7
FLOOR = 0.02
"""Added to a probability before its logarithm."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """What is known of a text, for each of the candidates: the classifier's `scores`, `nearest` the cosine with the nearest of
    the candidate's texts (None without vectors), `scarcity` how few texts it has, `kinds` the frames that it answers (None for
    the last two). `frame` is the text's (`frames.py`); `last` is the place of the agent that answered before."""

    scores: Sequence[float]
    signals: LexicalSignals
    nearest: Sequence[float] | None
    scarcity: Sequence[float]
    kinds: Sequence[Sequence[float]]
    frame: Sequence[float]
    words: int
    vague: bool
    afterthought: bool
    last: int | None = None


def features(found: Evidence) -> list[Features]:
    """Return each candidate's features."""
    size = len(found.scores)
    return [_agent_features(found, at) for at in range(size - 2)] + [_vague_features(found), _nobody_features(found)]


def _agent_features(found: Evidence, at: int) -> Features:
    score, nearest = found.scores[at], found.nearest[at] if found.nearest else 0.0
    keyword = found.signals.keyword[at]
    fits = sum(p * kind for p, kind in zip(found.frame, found.kinds[at], strict=False))
    is_last = float(at == found.last)
    about = (score, keyword, found.signals.code[at], found.scarcity[at], _log(fits), nearest)
    fitting = (score * fits, nearest * fits, keyword * fits)
    goes_on = (is_last, is_last / found.words, is_last * found.frame[VAGUE], is_last * found.afterthought)
    return (*about, *fitting, *goes_on, *[0.0] * (VAGUE_FEATURES + NOBODY_FEATURES))


def _vague_features(found: Evidence) -> Features:
    share = found.frame[VAGUE]
    own = (1.0, _log(share), share, float(found.vague), float(found.last is not None), found.scores[-2])
    return (*[0.0] * AGENT_FEATURES, *own, *[0.0] * NOBODY_FEATURES)


def _nobody_features(found: Evidence) -> Features:
    share = found.frame[NOBODY]
    nearest = max(found.nearest[:-2], default=0.0) if found.nearest else 0.0
    best = max(found.scores[:-2], default=0.0)
    return (
        *[0.0] * (AGENT_FEATURES + VAGUE_FEATURES),
        *(1.0, _log(share), share, found.scores[-1], nearest, best, _unanswered(found)),
    )


def _unanswered(found: Evidence) -> float:
    """Return how far a text asks for documents or a picture, where no agent answers these."""
    return sum(
        found.frame[at] * (1 - max((kind[at] for kind in found.kinds), default=0.0)) for at in (DOCUMENTS, PICTURE)
    )


def _log(share: float) -> float:
    return math.log(share + FLOOR)


def confidence(probability: float) -> float:
    """Return how often a decision of this probability is right where nothing like it was learned."""
    slope, shift = CALIBRATION
    odds = math.log(max(probability, 1e-6) / max(1 - probability, 1e-6))
    return 1 / (1 + math.exp(-(slope * odds + shift)))


def probabilities(found: Sequence[Features], weights: Sequence[float]) -> list[float]:
    """Return the probabilities, which add up to 1."""
    totals = [sum(w * f for w, f in zip(weights, row, strict=True)) for row in found]
    exponentials = [math.exp(total - max(totals)) for total in totals]
    return [row / sum(exponentials) for row in exponentials]
