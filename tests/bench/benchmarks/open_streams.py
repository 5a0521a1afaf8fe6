"""Many slow streams open at the same time, through one API process and two chat workers."""

from collections.abc import Sequence

from tests.bench.load.client import Exchange, send_concurrently
from tests.bench.load.stream_reading import first_tokens_ms, response_errors, token_delays_ms
from tests.bench.plan import Plan
from tests.bench.reporting.measurement import Line, Measurement
from tests.bench.reporting.percentiles import percentile, spread
from tests.bench.testbed import Testbed

CONCURRENCY = 1200  # jobs of each of the two workers
SETTINGS = {"HEADRACE_CHAT_CONCURRENCY": str(CONCURRENCY)}
ROLES = ("api", "chat", "chat2", "scheduler")
NEED = 2000


async def measure_open_streams(bed: Testbed, plan: Plan) -> Measurement:
    """Streams of one token a second, begun evenly, all of them open together for `hold_s` after the last began.

    Latency per token is from the stand-in's stamp to the client, nothing subtracted.
    """
    found = Measurement(name="open-streams", title="Open streams at 1 token/s, one API process, two chat workers")
    target = bed.native(bed.tenant("open", max_running=5000))
    await send_concurrently(target.port, target.request("text-5"), clients=20)
    for count in plan.open_streams:
        ramp_s = count / plan.ramp_per_s
        model = f"stamped-{int(ramp_s + plan.hold_s)}-at-1"
        meter = bed.meter()
        streams = await send_concurrently(target.port, target.request(model), clients=count, over_s=ramp_s)
        used = found.usage[f"{count} streams"] = meter.read()
        said = response_errors(target, streams, model)
        found.failed(said, count, f"{count} streams")
        delays = [ms for one in streams for ms in token_delays_ms(one)]
        first = first_tokens_ms(target, streams)
        together = most_open(streams)
        found.runs.append({"streams": count, "open": together, "tokens": spread(delays), "first": spread(first)})
        need = NEED if count >= NEED else None
        right = count - len(said)
        found.lines += [
            Line(what=f"{count} begun: complete", figure=right, unit="streams", need=need, sense="at least"),
            Line(
                what=f"{count} begun: most open at once", figure=together, unit="streams", need=need, sense="at least"
            ),
            Line(what=f"{count} open: latency per token, p50", figure=percentile(delays, 0.5), unit="ms"),
            Line(what=f"{count} open: latency per token, p99", figure=percentile(delays, 0.99), unit="ms"),
            Line(what=f"{count} open: time to first token, p50", figure=percentile(first, 0.5), unit="ms"),
            Line(what=f"{count} open: time to first token, p99", figure=percentile(first, 0.99), unit="ms"),
        ]
        memory = ", ".join(f"{name} {mb:.0f}" for name, mb in used.memory_mb.items() if name != "load client")
        found.notes.append(f"memory after {count} streams, MB: {memory}")
    return found


def most_open(exchanges: Sequence[Exchange]) -> int:
    """Return how many were open at the same time, from the first byte of the answer to its end."""
    moves = [(one.packets[0][0], 1) for one in exchanges if one.packets]
    moves += [(one.ended_ns, -1) for one in exchanges if one.packets]
    most = now = 0
    for _, move in sorted(moves):
        now += move
        most = max(most, now)
    return most
