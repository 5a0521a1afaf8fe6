"""How often the router finds the right agent without a model, and how long it takes: `tests/routing` says what is counted."""

from graphs.embeddings.registry import open_embedder, routing_embedder, routing_glance
from graphs.routing.router import Router
from tests.bench.plan import Plan
from tests.bench.reporting.measurement import Line, Measurement
from tests.bench.reporting.percentiles import percentile, spread
from tests.bench.testbed import Testbed
from tests.routing.labelled import read_agents, read_half, with_learned_examples
from tests.routing.measurement import measure
from tests.routing.others import OthersHalf
from tests.routing.others_measurement import measure_others

NEED_RIGHT, NEED_MS = 95.0, 15.0
OTHERS_NEED = {
    **{"right": 85.0, "sure": 65.0, "right of sure": 97.0, "with an ideal model": 95.0},
    **{"misleading": 75.0, "several": 75.0, "follow_up": 85.0},
}


async def measure_routing(bed: Testbed, plan: Plan) -> Measurement:
    """The held-out half of the labelled set against the demo's agents: their rows alone, and with the other half
    learned, as by feedback. In this process, beside a headrace that rests."""
    found = Measurement(name="routing", title="Which agent a question is for")
    agents, held_out = read_agents(), read_half("held_out")
    plans = {"rows alone": agents, "with learned examples": with_learned_examples(agents, read_half("fitting"))}
    for name, candidates in plans.items():
        measured = await measure(
            Router(routing_embedder(open_embedder()), glance=routing_glance()), held_out, candidates
        )
        found.runs.append({name: spread(measured.milliseconds)})
        found.lines += [
            Line(what=f"right, {name}", figure=100 * measured.share(), unit="%", need=NEED_RIGHT, sense="at least"),
            Line(what=f"time, {name}, p95", figure=percentile(measured.milliseconds, 0.95), unit="ms", need=NEED_MS),
        ]
    halves: tuple[OthersHalf, OthersHalf] = ("seen", "unseen")
    for half in halves:
        found.lines += await _measure_others(half)
    return found


async def _measure_others(half: OthersHalf) -> list[Line]:
    """The utterances of others: the half that may be looked at, and the one that is scored once per release, in totals."""
    results = await measure_others(Router(routing_embedder(open_embedder()), glance=routing_glance()), half)
    if not results.milliseconds:
        return []
    figures = {what: results.share(what) for what in ("right", "sure", "right of sure", "with an ideal model")}
    figures |= {kind: results.share("right", kind) for kind in results.kinds if kind != "all"}
    lines = [
        Line(what=f"others, {half}: {what}", figure=100 * share, unit="%", need=OTHERS_NEED.get(what), sense="at least")
        for what, share in figures.items()
    ]
    error = Line(what=f"others, {half}: expected calibration error", figure=100 * results.calibration_error(), unit="%")
    p95 = percentile(results.milliseconds, 0.95)
    return [*lines, error, Line(what=f"others, {half}: time, p95", figure=p95, unit="ms", need=NEED_MS)]
