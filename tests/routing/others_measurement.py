"""Routes the utterances of others and counts, in totals: of the unseen half nothing else is ever printed."""

import time
from collections import Counter
from dataclasses import dataclass, field

from graphs.routing.contract import Route
from graphs.routing.router import Router
from tests.routing.others import OthersHalf, Utterance, read_others

BINS = 10
"""Of the expected calibration error."""


@dataclass
class OthersResults:
    """Counts by (what, kind), where the kind "all" is everything: asked, right, sure, right of sure, with an ideal model."""

    counts: Counter[tuple[str, str]] = field(default_factory=Counter)
    confidences: list[tuple[float, bool]] = field(default_factory=list)
    milliseconds: list[float] = field(default_factory=list)

    def share(self, what: str, kind: str = "all") -> float:
        """Return a share: of what is asked, or "right of sure" of what is sure."""
        whole = "sure" if what == "right of sure" else "asked"
        return self.counts[what, kind] / max(1, self.counts[whole, kind])

    @property
    def kinds(self) -> list[str]:
        """The kinds, "all" first."""
        return sorted({kind for _, kind in self.counts}, key=lambda kind: (kind != "all", kind))

    def calibration_error(self) -> float:
        """Return the mean distance between how sure the router says it is, and how often it is right (10 bins)."""
        bins: dict[int, list[tuple[float, bool]]] = {}
        for confidence, right in self.confidences:
            bins.setdefault(min(BINS - 1, int(confidence * BINS)), []).append((confidence, right))
        gaps = (abs(sum(c for c, _ in one) - sum(right for _, right in one)) for one in bins.values())
        return sum(gaps) / max(1, len(self.confidences))


async def measure_others(router: Router, half: OthersHalf, *, every: int = 1) -> OthersResults:
    """Route one half, or one line of so many of it, one by one, each business prepared first as in a worker that is already
    running."""
    results = OthersResults()
    for _, agents, utterances in read_others(half):
        await router.prepare(agents)
        for one in utterances[::every]:
            started = time.perf_counter()
            route = await router.route(one.text, agents, one.context)
            results.milliseconds.append((time.perf_counter() - started) * 1000)
            count(results, one, route)
    return results


def count(results: OthersResults, one: Utterance, route: Route) -> bool:
    """Count a route; return whether it is right."""
    got = tuple(intent.agent for intent in route.intents)
    asks = route.clarify is not None and (not route.needs_model or one.clarify != "no")
    right = one.clarify != "no" if asks else one.clarify != "wanted" and got in one.answers
    sure = route.clarify is None
    offered = {scored.agent for scored in route.best}
    ideal = right or (route.needs_model and any(len(a) < 2 and set(a) <= offered for a in one.answers))
    for kind in ("all", one.kind):
        results.counts["asked", kind] += 1
        results.counts["right", kind] += right
        results.counts["sure", kind] += sure
        results.counts["right of sure", kind] += right and sure
        results.counts["with an ideal model", kind] += ideal
    if not asks:
        results.confidences.append((route.confidence, right))
    return right
