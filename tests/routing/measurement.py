"""Routes a half of the labelled set and counts what is right, without a model and with an ideal one, and the time.

Right without a model: the agents of the route, which of an unsure one are its best guess, are the label's in their order; or
something is asked and the label allows it. With an ideal model, every `needs_model` route is right if its choices include the
right agent or if it should be plain chat.
"""

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from graphs.routing.contract import Candidate, Context, Route
from graphs.routing.router import Router
from tests.routing.labelled import FOLDS, Labelled, fold_of, read_half, with_learned_examples


@dataclass
class RoutingResults:
    """Results by kind, language and style."""

    counts: Counter[str] = field(default_factory=Counter)
    right: Counter[str] = field(default_factory=Counter)
    with_model: Counter[str] = field(default_factory=Counter)
    confusions: Counter[tuple[str, str]] = field(default_factory=Counter)
    languages_right: int = 0
    needs_model: int = 0
    milliseconds: list[float] = field(default_factory=list)
    wrong: list[tuple[Labelled, Route]] = field(default_factory=list)

    def share(self, key: str = "all") -> float:
        """The share that is right without a model."""
        return self.right[key] / max(1, self.counts[key])


def is_right(label: Labelled, route: Route) -> bool:
    """Whether a route, or its best guess, is the label's, or asks a question that the label allows."""
    if route.clarify and (label.clarify != "no" or not route.needs_model):
        return label.clarify != "no"
    return label.clarify != "wanted" and agents_of(route) == label.agents


def is_right_with_model(label: Labelled, route: Route) -> bool:
    """The same, if an ideal model were asked."""
    offered = {one.agent for one in route.best}
    return is_right(label, route) or (route.needs_model and len(label.agents) <= 1 and set(label.agents) <= offered)


def agents_of(route: Route) -> tuple[str, ...]:
    """The agents, in order."""
    return tuple(intent.agent for intent in route.intents)


async def measure(
    router: Router, labelled: Sequence[Labelled], agents: Sequence[Candidate], results: RoutingResults | None = None
) -> RoutingResults:
    """Route the utterances one by one; the candidates are prepared first, as in a worker that is already running."""
    results = results or RoutingResults()
    await router.prepare(agents)
    await router.route("warm up the threads of the library please", agents)
    for label in labelled:
        started = time.perf_counter()
        route = await router.route(label.text, agents, Context(label.last_agent))
        results.milliseconds.append((time.perf_counter() - started) * 1000)
        _count(results, label, route)
    return results


async def measure_crosswise(router: Router, agents: Sequence[Candidate]) -> RoutingResults:
    """Cross-validate the fitting half: route each fold with the other folds as learned examples."""
    half, results = read_half("fitting"), RoutingResults()
    for number in range(FOLDS):
        others = [one for one in half if fold_of(one) != number]
        fifth = [one for one in half if fold_of(one) == number]
        await measure(router, fifth, with_learned_examples(agents, others), results)
    return results


def _count(results: RoutingResults, label: Labelled, route: Route) -> None:
    right = is_right(label, route)
    for key in ("all", label.kind, label.language, label.style):
        results.counts[key] += 1
        results.right[key] += right
        results.with_model[key] += is_right_with_model(label, route)
    results.confusions[
        _outcome(label.agents, label.clarify == "wanted"), _outcome(agents_of(route), bool(route.clarify))
    ] += 1
    results.needs_model += route.needs_model
    results.languages_right += route.language == label.language
    if not right:
        results.wrong.append((label, route))


def _outcome(agents: tuple[str, ...], asks: bool) -> str:
    return "a question" if asks else " + ".join(name.removeprefix("Agent") for name in agents) or "chat"
