"""What headrace adds to the first token and to every other one, for one client and for a hundred."""

from collections.abc import Sequence
from typing import Any

from tests.bench.load.client import Exchange, send_concurrently, send_sequentially
from tests.bench.load.stream_reading import first_tokens_ms, response_errors, token_delays_ms
from tests.bench.load.targets import Target
from tests.bench.plan import Plan
from tests.bench.profiling.job_rows import database_now, waits
from tests.bench.reporting.measurement import Line, Measurement
from tests.bench.reporting.percentiles import median, percentile, spread
from tests.bench.testbed import Testbed

SHORT = "text-5"
PACED = "stamped-100-at-50"
PACED_S = 2.0  # how long such a chat takes
RAMP_S = 4.0
WARM_UP = 30


async def measure_first_token(bed: Testbed, plan: Plan) -> Measurement:
    """One client, short answers one after another: time to first token, through headrace less direct."""
    found = Measurement(name="first-token", title="Added time to first token, 1 client")
    key = bed.tenant("single", max_running=5000)
    targets = (bed.direct, bed.native(key), bed.openai(key))
    for target in targets:
        await _singles(found, target, min(WARM_UP, plan.singles))
    for _ in range(plan.runs):
        run = {}
        for target in targets:
            run[target.kind] = first_tokens_ms(target, await _singles(found, target, plan.singles))
        found.runs.append(run)
    for kind, path in (("native", "POST /api/chat"), ("openai", "POST /v1/chat/completions")):
        found.lines += added(found.runs, path, "direct", kind, needs={"p50": 5.0, "p99": 15.0})
    found.runs = _spreads(found.runs)
    return found


async def measure_streams(bed: Testbed, plan: Plan) -> Measurement:
    """Streams of 50 tokens a second, 1 and many at a time; each client begins its next chat when one has ended.

    The many are spread evenly, so that chats begin all the time. Chats begun in the first `RAMP_S` seconds of a run are
    kept apart as `ramp`: there the pools still grow.
    """
    found = Measurement(name="streams", title=f"{plan.clients} streams of 50 tokens/s, new chats all the time")
    target = bed.native(bed.tenant("streams", max_running=5000))
    for number in range(plan.runs):
        run: dict[str, list[float]] = {}
        for asked, for_s in ((bed.direct, RAMP_S + 1.0), (target, RAMP_S + plan.paced_s)):
            meter, since = bed.meter(), database_now(bed.database_url)
            request = asked.request(PACED)
            many = await send_concurrently(asked.port, request, clients=plan.clients, over_s=PACED_S, for_s=for_s)
            if asked is target:
                found.usage[f"run {number + 1}"] = meter.read()
                found.notes.append(waits(bed.database_url, since)[0])
            found.failed(response_errors(asked, many, PACED), len(many), f"{asked.kind}, {plan.clients} clients")
            ramp_until_ns = min(one.sent_ns for one in many) + RAMP_S * 1e9
            steady = [one for one in many if one.sent_ns > ramp_until_ns]
            run[f"{asked.kind} first"] = first_tokens_ms(asked, steady)
            run[f"{asked.kind} ramp"] = first_tokens_ms(asked, [one for one in many if one.sent_ns <= ramp_until_ns])
            run[f"{asked.kind} tokens"] = _delays(steady)
            alone = await send_sequentially(asked.port, lambda _, request=request: request, 1)
            found.failed(response_errors(asked, alone, PACED), len(alone), f"{asked.kind}, 1 client")
            run[f"{asked.kind} alone"] = _delays(alone)
        found.runs.append(run)
    found.lines += added(found.runs, "time to first token", "direct first", "native first", {"p50": 15.0, "p99": 40.0})
    found.lines += added(found.runs, "the same in the first seconds", "direct ramp", "native ramp")
    found.lines += added(found.runs, f"latency per token, {plan.clients} streams", "direct tokens", "native tokens")
    found.lines += added(found.runs, "latency per token, 1 stream", "direct alone", "native alone")
    found.runs = _spreads(found.runs)
    return found


def added(
    runs: Sequence[dict[str, list[float]]], what: str, direct: str, through: str, needs: dict[str, float] | None = None
) -> list[Line]:
    """Return a line each for p50 and p99: the difference of the percentiles, medians over the runs. Milliseconds."""
    lines = []
    for name, share in (("p50", 0.5), ("p99", 0.99)):
        without = [percentile(run[direct], share) for run in runs]
        with_it = [percentile(run[through], share) for run in runs]
        more = [b - a for a, b in zip(without, with_it, strict=True)]
        lines.append(
            Line(
                what=f"{what}, {name}",
                figure=median(more),
                unit="ms added",
                direct=median(without),
                through=median(with_it),
                need=(needs or {}).get(name),
            )
        )
    return lines


async def _singles(found: Measurement, target: Target, count: int) -> list[Exchange]:
    request = target.request(SHORT)
    exchanges = await send_sequentially(target.port, lambda _: request, count)
    found.failed(response_errors(target, exchanges, SHORT), count, f"{target.kind}, 1 client")
    return exchanges


def _delays(exchanges: Sequence[Exchange]) -> list[float]:
    return [ms for exchange in exchanges for ms in token_delays_ms(exchange)]


def _spreads(runs: Sequence[dict[str, list[float]]]) -> list[dict[str, Any]]:
    return [{name: spread(samples) for name, samples in run.items()} for run in runs]
