"""`python -m tests.routing [words]`: how often the router is right, and how long it takes. `… fit`: new weights. `… crosswise`:
the half of others that may be looked at, each business by a router that has learned nothing of it (`crosswise.py`).

`words` runs without an embedder; `fitting` cross-validates the fitting half and lists its mistakes. Those of the held-out half
are never listed, so that it stays a fair measure.
"""

import asyncio
import platform
import resource
import sys
import time
from collections.abc import Sequence

from graphs.embeddings.registry import open_embedder, routing_embedder, routing_glance
from graphs.routing.contract import Candidate
from graphs.routing.frames import FILE, WORD_VECTOR_FILE
from graphs.routing.router import Router
from tests.routing.crosswise import print_crosswise
from tests.routing.fitting import fit, write
from tests.routing.labelled import Labelled, read_agents, read_half, read_utterances, with_learned_examples
from tests.routing.measurement import RoutingResults, measure, measure_crosswise

LANGUAGES, STYLES = ("en", "vi", "other"), ("plain", "typo", "bare", "mixed")


async def main(arguments: Sequence[str]) -> None:
    """Measure the router, or fit its weights."""
    if "fit" in arguments:
        found = await fit()
        write(found.frames, FILE)
        write(found.glance_frames, WORD_VECTOR_FILE)
        print(found.lines)
        return
    if "crosswise" in arguments:
        await print_crosswise()
        return
    embedder = None if "words" in arguments else routing_embedder(open_embedder())
    if "fitting" in arguments:
        results = await measure_crosswise(
            Router(embedder, glance=None if embedder is None else routing_glance()), read_agents()
        )
        print_table("fitting half, crosswise", results)
        print_wrong(results)
        return
    held_out, demo, unseen = read_half("held_out"), read_agents(), read_agents("unseen")
    plans: dict[str, tuple[Sequence[Candidate], Sequence[Labelled]]] = {
        "held-out half, rows and what was learned from the fitting half": (
            with_learned_examples(demo, read_half("fitting")),
            held_out,
        ),
        "held-out half, rows alone": (demo, held_out),
        "agents that no fit has seen (3 examples each)": (unseen, read_utterances("unseen")),
        "the demo's agents and those, held-out half and theirs": (
            (*with_learned_examples(demo, read_half("fitting")), *unseen),
            (*held_out, *read_utterances("unseen")),
        ),
    }
    for name, (agents, labelled) in plans.items():
        started = time.perf_counter()
        router = Router(embedder, glance=None if embedder is None else routing_glance())
        await router.prepare(agents)
        print(f"\n{len(agents)} candidates ready after {time.perf_counter() - started:.2f} s")
        print_table(name, await measure(router, labelled, agents))
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    print(f"\n{platform.machine()}, Python {platform.python_version()}, at most {peak_mb} MB")


def print_table(name: str, results: RoutingResults) -> None:
    """Print accuracy by language, kind and style, confusions, and times."""
    times = sorted(results.milliseconds)
    print(f"{name}\n{'':12}{'asked':>7}{'right':>7}{'share':>8}{'with an ideal model':>22}")
    kinds = sorted(set(results.counts) - {"all", *LANGUAGES, *STYLES})
    for key in ("all", *LANGUAGES, *STYLES, *kinds):
        if count := results.counts[key]:
            ideal = results.with_model[key] / count
            print(f"{key:12}{count:7}{results.right[key]:7}{results.share(key):8.1%}{ideal:22.1%}")
    print("wanted > got: " + ", ".join(f"{w} > {g} {n}" for (w, g), n in results.confusions.most_common() if w != g))
    print(f"language right {results.languages_right / len(times):.1%}, needs a model {results.needs_model}")
    print(f"p50 {times[len(times) // 2]:.1f} ms, p95 {times[int(len(times) * 0.95)]:.1f} ms, most {times[-1]:.1f} ms")


def print_wrong(results: RoutingResults) -> None:
    """Print every mistake with the expected route."""
    for label, route in results.wrong:
        best = " ".join(f"{one.agent}={one.score:.2f}" for one in route.best)
        got = [i.agent for i in route.intents], "model" if route.needs_model else "", "asks" if route.clarify else ""
        print(f"{label.kind:9} {label.text!r} wanted {label.agents} {label.clarify}; got {got} ({route.reason}) {best}")


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1:]))
