"""From signals to probabilities: two conditional logistic models, by words alone and with embeddings.

All agents share the same few weights, which so know nothing about particular agents; the last two candidates (ambiguous and
small talk) have a few of their own. They were fitted on the fitting half of `tests/routing/data`;
`python -m tests.routing fit` prints them again.
"""

import math
from collections.abc import Sequence

from graphs.routing.signals import LexicalSignals
from graphs.routing.weights import LEXICAL_WEIGHTS, SEMANTIC_WEIGHTS

Features = tuple[float, ...]


def features(
    scores: Sequence[float], signals: LexicalSignals, nearest: Sequence[float] | None, scarcity: Sequence[float]
) -> list[Features]:
    """Return each candidate's features: its classifier's score, keywords, codes, how few texts it has (`scarcity`), and, with
    embeddings, the cosine with its nearest text (`nearest`)."""
    vague, nobody = len(scores) - 2, len(scores) - 1
    best_score = max(scores[:vague], default=0.0)
    found: list[Features] = []
    for index, score in enumerate(scores):
        is_nobody = float(index == nobody)
        common = (score, signals.keyword[index], signals.code[index], scarcity[index])
        special = (float(index == vague), is_nobody, is_nobody * score, is_nobody * best_score)
        if nearest is None:
            found.append((*common, *special))
        else:
            best_nearest = max(nearest[:vague], default=0.0)
            found.append((*common, *special, nearest[index], is_nobody * nearest[index], is_nobody * best_nearest))
    return found


def probabilities(found: Sequence[Features], *, meaning: bool) -> list[float]:
    """Return the probabilities, which add up to 1."""
    weights = SEMANTIC_WEIGHTS if meaning else LEXICAL_WEIGHTS
    totals = [sum(w * f for w, f in zip(weights, row, strict=True)) for row in found]
    exponentials = [math.exp(total - max(totals)) for total in totals]
    return [row / sum(exponentials) for row in exponentials]
