"""The half of others' utterances that may be looked at, each business by a router that was fitted without it.

What is sure from a threshold on is measured for several thresholds, and for the one that the other businesses choose: the
lowest at which `WANTED` of what they are sure of is right.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from sklearn.linear_model import LogisticRegression

from graphs.embeddings.registry import open_embedder, routing_embedder
from graphs.embeddings.word_vectors import WordVectors
from graphs.routing.router import Router, Thresholds
from graphs.routing.weights import CALIBRATION
from tests.routing.fitting import fit, open_views
from tests.routing.others import read_others
from tests.routing.others_measurement import OthersResults, count

WANTED = 0.97
LADDER = (0.8, 0.85, 0.88, 0.9, 0.91, 0.92, 0.93, 0.94, 0.95, 0.96)


@dataclass(frozen=True)
class Judged:
    """A route: of which business, how confident, right, whether the router called it sure by its own thresholds."""

    business: str
    confidence: float
    right: bool


async def measure_crosswise_others(thresholds: Thresholds | None = None) -> tuple[OthersResults, list[Judged]]:
    """Route each business with what was fitted without it."""
    embedder = routing_embedder(open_embedder())
    views, words = open_views(), WordVectors()
    results, judged = OthersResults(), list[Judged]()
    for name, agents, utterances in read_others("seen"):
        known = (await fit(name, views)).fitted
        router = Router(embedder, thresholds, glance=words, known=known)
        await router.prepare(agents)
        for one in utterances:
            route = await router.route(one.text, agents, one.context)
            judged.append(Judged(name, route.confidence, count(results, one, route)))
    return results, judged


def sure_from(judged: Sequence[Judged], threshold: float) -> tuple[float, float]:
    """Return the share that is sure from a threshold on, and how much of it is right."""
    sure = [one.right for one in judged if one.confidence >= threshold]
    return len(sure) / max(1, len(judged)), sum(sure) / max(1, len(sure))


def chosen_threshold(judged: Sequence[Judged]) -> float:
    """Return the lowest of LADDER at which WANTED of what is sure is right; the highest if there is none."""
    return next((step for step in LADDER if sure_from(judged, step)[1] >= WANTED), LADDER[-1])


async def print_crosswise() -> None:
    """Print shares by kind and by business, the ladder of thresholds, and the calibration error."""
    results, judged = await measure_crosswise_others()
    for kind in results.kinds:
        shares = "".join(
            f"{results.share(what, kind):9.1%}" for what in ("right", "sure", "right of sure", "with an ideal model")
        )
        print(f"{kind:14}{results.counts['asked', kind]:5}{shares}")
    for step in LADDER:
        print("from {:.2f} on: sure {:.1%}, of these right {:.1%}".format(step, *sure_from(judged, step)))
    chosen = [
        one
        for name in {one.business for one in judged}
        for threshold in (chosen_threshold([other for other in judged if other.business != name]),)
        for one in judged
        if one.business == name and one.confidence >= threshold
    ]
    right = sum(one.right for one in chosen) / max(1, len(chosen))
    print(f"by the others' threshold: sure {len(chosen) / len(judged):.1%}, of these right {right:.1%}")
    print(f"expected calibration error {results.calibration_error():.1%}")
    print("CALIBRATION = ({:.2f}, {:.2f})".format(*fit_calibration(judged)))


def fit_calibration(judged: Sequence[Judged]) -> tuple[float, float]:
    """Return the slope and the shift of CALIBRATION that these give."""
    slope, shift = CALIBRATION
    odds = [[(math.log(max(one.confidence, 1e-6) / max(1 - one.confidence, 1e-6)) - shift) / slope] for one in judged]
    model = LogisticRegression(C=100).fit(odds, [one.right for one in judged])
    return float(model.coef_[0][0]), float(model.intercept_[0])
