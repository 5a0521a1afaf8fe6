"""How often the router finds the right agent without a model, and how long it takes: `tests/routing` says what is counted."""

from graphs.embeddings.registry import open_embedder, routing_embedder
from graphs.routing.router import Router
from tests.bench.plan import Plan
from tests.bench.reporting.measurement import Line, Measurement
from tests.bench.reporting.percentiles import percentile, spread
from tests.bench.testbed import Testbed
from tests.routing.labelled import read_agents, read_half, with_learned_examples
from tests.routing.measurement import measure

NEED_RIGHT, NEED_MS = 95.0, 15.0


async def measure_routing(bed: Testbed, plan: Plan) -> Measurement:
    """The held-out half of the labelled set against the demo's agents: their rows alone, and with the other half
    learned, as by feedback. In this process, beside a headrace that rests."""
    found = Measurement(name="routing", title="Which agent a question is for")
    agents, held_out = read_agents(), read_half("held_out")
    plans = {"rows alone": agents, "with learned examples": with_learned_examples(agents, read_half("fitting"))}
    for name, candidates in plans.items():
        measured = await measure(Router(routing_embedder(open_embedder())), held_out, candidates)
        found.runs.append({name: spread(measured.milliseconds)})
        found.lines += [
            Line(what=f"right, {name}", figure=100 * measured.share(), unit="%", need=NEED_RIGHT, sense="at least"),
            Line(what=f"time, {name}, p95", figure=percentile(measured.milliseconds, 0.95), unit="ms", need=NEED_MS),
        ]
    return found
