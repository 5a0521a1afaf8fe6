"""How much goes through when the model is no limit: chats a second, tokens a second."""

from collections.abc import Sequence

from tests.bench.load.client import Exchange, send_concurrently
from tests.bench.load.stream_reading import response_errors, token_arrivals_ns
from tests.bench.load.targets import Target
from tests.bench.plan import Plan
from tests.bench.reporting.measurement import Line, Measurement
from tests.bench.reporting.percentiles import median
from tests.bench.testbed import Testbed

CHAT = "text-100"
NEED_CLIENTS = 10
LOAD = ("model stand-in", "load client")
DIRECT_S = 0.5
ONE_BY_ONE = "stamped-300-at-100"
ONE_BY_ONE_CLIENTS = 250


async def measure_chats(bed: Testbed, plan: Plan) -> Measurement:
    """100-token chats that ended within a few seconds, each client asking again as soon as it has its answer."""
    found = Measurement(name="chats", title="100-token chats per second, model as fast as possible")
    target, costs = bed.native(bed.tenant("chats", max_running=5000)), list[float]()
    await _ask(found, target, clients=10, for_s=1.0)
    for _ in range(plan.runs):
        run = {}
        for clients in plan.flat_out_clients:
            what = _clients(clients)
            direct = await _ask(found, bed.direct, clients=clients, for_s=DIRECT_S)
            run[f"direct {clients}"] = per_second(direct, DIRECT_S)
            meter = bed.meter()
            chats = await _ask(found, target, clients=clients, for_s=plan.flat_out_s)
            run[f"native {clients}"] = per_second(chats, plan.flat_out_s)
            found.usage[what] = meter.read()
            if clients == NEED_CLIENTS:
                used_s = sum(meter.cpu_s(without=LOAD).values())
                costs.append(1000 * used_s / len(chats))
        found.runs.append(run)
    for clients in plan.flat_out_clients:
        direct, through = (median([run[f"{kind} {clients}"] for run in found.runs]) for kind in ("direct", "native"))
        need = 100.0 if clients == NEED_CLIENTS else None
        found.lines.append(
            Line(
                what=_clients(clients),
                figure=through,
                unit="chats/s",
                direct=direct,
                through=through,
                need=need,
                sense="at least",
            )
        )
    what = f"CPU per 100-token chat, {NEED_CLIENTS} clients, all processes but Flower"
    found.lines.append(Line(what=what, figure=median(costs), unit="ms", need=6.0))
    return found


def _clients(count: int) -> str:
    return "1 client" if count == 1 else f"{count} clients"


async def _ask(found: Measurement, target: Target, *, clients: int, for_s: float) -> list[Exchange]:
    """Ask again and again for `for_s` seconds, and wait for the last answers."""
    chats = await send_concurrently(target.port, target.request(CHAT), clients=clients, for_s=for_s)
    found.failed(response_errors(target, chats, CHAT), len(chats), f"{target.kind}, {clients} clients")
    return chats


def per_second(chats: Sequence[Exchange], for_s: float) -> float:
    """Return how many chats a second ended within `for_s` seconds."""
    until_ns = min(chat.sent_ns for chat in chats) + for_s * 1e9
    return sum(chat.ended_ns <= until_ns and not chat.error for chat in chats) / for_s


async def measure_saturation(bed: Testbed, plan: Plan) -> Measurement:
    """Long answers, all at once: tokens of the stand-in's text that arrived, from the first request to the last end.

    headrace joins what comes while a write is under way, so tokens are counted by the text, not by events.
    """
    found = Measurement(name="saturation", title=f"Tokens per second, {plan.answers} long answers at once")
    target = bed.native(bed.tenant("saturation", max_running=5000))
    model = f"long-{plan.answer_tokens}"
    for number in range(plan.runs):
        run = {}
        for asked in (bed.direct, target):
            meter = bed.meter()
            answers = await send_concurrently(asked.port, asked.request(model), clients=plan.answers)
            if asked is target:
                found.usage[f"run {number + 1}"] = meter.read()
            said = response_errors(asked, answers, model)
            found.failed(said, len(answers), asked.kind)
            took_ns = max(one.ended_ns for one in answers) - min(one.sent_ns for one in answers)
            run[asked.kind] = (len(answers) - len(said)) * plan.answer_tokens / took_ns * 1e9
        found.runs.append(run)
    direct, through = (median([run[kind] for run in found.runs]) for kind in ("direct", "native"))
    what = f"{plan.answers} streams of {plan.answer_tokens} tokens"
    found.lines.append(
        Line(what=what, figure=through, unit="tokens/s", direct=direct, through=through, need=20_000, sense="at least")
    )
    await _measure_one_by_one(found, bed, target)
    return found


async def _measure_one_by_one(found: Measurement, bed: Testbed, target: Target) -> None:
    """Add what arrives when each token is a write of its own, as real models make them, in the time when all stream."""
    each: dict[str, float] = {}
    for asked in (bed.direct, target):
        meter = bed.meter()
        streams = await send_concurrently(asked.port, asked.request(ONE_BY_ONE), clients=ONE_BY_ONE_CLIENTS, over_s=1.0)
        if asked is target:
            found.usage["one by one"] = meter.read()
        found.failed(response_errors(asked, streams, ONE_BY_ONE), len(streams), f"{asked.kind}, one by one")
        begin_ns = min(one.sent_ns for one in streams) + 1.5e9
        came = [came_ns for one in streams for came_ns in token_arrivals_ns(one)]
        each[asked.kind] = sum(begin_ns <= came_ns < begin_ns + 1.5e9 for came_ns in came) / 1.5
    what = f"{ONE_BY_ONE_CLIENTS} streams at 100 tokens/s, each its own write"
    found.lines.append(
        Line(what=what, figure=each["native"], unit="tokens/s", direct=each["direct"], through=each["native"])
    )
    found.runs.append({"one by one": each})
