"""What an answer by the model alone costs through `auto`, in a tenant with agents, against a plain chat in one without."""

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass

import psycopg
from psycopg.types.json import Jsonb

from schema.ids import new_id
from tests.bench.load.client import send_sequentially
from tests.bench.load.stream_reading import response_errors
from tests.bench.load.targets import Target
from tests.bench.plan import Plan
from tests.bench.reporting.measurement import Line, Measurement
from tests.bench.reporting.percentiles import median, percentile
from tests.bench.testbed import Testbed

MODEL = "text-100"
COUNTERS_S = 11.0  # a connection that is idle tells its counters after ten seconds
NEED_RATIO, NEED_COMMITS = 1.3, 1.5
AGENTS = {
    "Debt": ("What customers owe: debts, invoices, due dates.", ["What does customer 4711 owe?", "Which are overdue?"]),
    "Stock": (
        "What is in the warehouse: items, quantities.",
        ["How many pumps are in stock?", "Where is batch L-200?"],
    ),
    "Leave": (
        "Holidays, sick leave and working hours.",
        ["How many days of leave do I have?", "How do I report sick?"],
    ),
    "Orders": ("Orders and deliveries.", ["Where is order 5512?", "When will my delivery arrive?"]),
    "Fleet": ("Trucks and drivers.", ["Which truck is free tomorrow?", "When is the next inspection of truck 7?"]),
}
QUESTIONS = (
    "Tell me a joke about {} cats.",
    "Write a short poem about {} rivers.",
    "Translate 'good morning {}' into French.",
    "Explain photosynthesis in {} words.",
)
"""None is for an agent, and none comes twice: a vector that is known already would cost nothing."""


@dataclass(frozen=True)
class Block:
    """A block of chats: the time of each, and for one of them the CPU of all processes, in ms."""

    took_ms: list[float]
    cpu_ms: float


async def measure_routed_answers(bed: Testbed, plan: Plan) -> Measurement:
    """Blocks of plain chats and of routed ones take turns; one client, answers of 100 tokens."""
    found = Measurement(name="auto", title="An answer by the model alone, through auto against a plain chat")
    targets = {"plain": bed.native(bed.tenant("plain")), "auto": bed.native(_tenant_with_agents(bed))}
    blocks: dict[str, list[Block]] = {name: [] for name in targets}
    count = max(5, plan.singles // 3)
    for name, target in targets.items():
        await _block(bed, found, name, target, count, 0)
    for number in range(2 * plan.runs):
        for name, target in targets.items():
            blocks[name].append(await _block(bed, found, name, target, count, number + 1))
    p50 = {name: percentile([ms for block in ran for ms in block.took_ms], 0.5) for name, ran in blocks.items()}
    cpu = {name: median([block.cpu_ms for block in ran]) for name, ran in blocks.items()}
    for what, of in (("time, p50, ms", p50), ("CPU of all processes, ms", cpu)):
        ratio = of["auto"] / of["plain"]
        found.lines.append(
            Line(what=what, figure=ratio, unit="×", direct=of["plain"], through=of["auto"], need=NEED_RATIO)
        )
    commits = await _commits_each(bed, found, targets, count)
    more = commits["auto"] - commits["plain"]
    found.lines.append(
        Line(
            what="commits",
            figure=more,
            unit="more",
            direct=commits["plain"],
            through=commits["auto"],
            need=NEED_COMMITS,
        )
    )
    found.notes.append("'direct' is the plain chat here, 'headrace' the routed one")
    return found


async def _block(bed: Testbed, found: Measurement, name: str, target: Target, count: int, number: int) -> Block:
    agent = "auto" if name == "auto" else None

    def request(k: int) -> bytes:
        question = QUESTIONS[k % len(QUESTIONS)].format(1000 * number + k)
        return target.request(MODEL, question, agent=agent)

    meter = bed.meter()
    exchanges = await send_sequentially(target.port, request, count)
    cpu_s = sum(meter.cpu_s(without=("model stand-in", "load client")).values())
    found.failed(response_errors(target, exchanges, MODEL), count, name)
    return Block([one.took_ms for one in exchanges], 1e3 * cpu_s / count)


async def _commits_each(
    bed: Testbed, found: Measurement, targets: Mapping[str, Target], count: int
) -> dict[str, float]:
    """Return how many transactions, reading ones too, each target's chats take, less those of nobody's."""

    async def counted() -> tuple[int, float]:
        await asyncio.sleep(COUNTERS_S)
        return _commits(bed), time.monotonic()

    first = await counted()
    before = await counted()
    idle = (before[0] - first[0]) / (before[1] - first[1])
    commits: dict[str, float] = {}
    for number, (name, target) in enumerate(targets.items()):
        await _block(bed, found, name, target, count, 100 + number)
        after = await counted()
        commits[name] = (after[0] - before[0] - idle * (after[1] - before[1])) / count
        before = after
    return commits


def _commits(bed: Testbed) -> int:
    with psycopg.connect(bed.database_url) as db:
        row = db.execute("SELECT xact_commit FROM pg_stat_database WHERE datname = current_database()").fetchone()
    return row[0] if row else 0


def _tenant_with_agents(bed: Testbed) -> str:
    key = bed.tenant("routed")
    with psycopg.connect(bed.database_url) as db:
        row = db.execute("SELECT id FROM tenants WHERE slug LIKE 'routed-%' ORDER BY created_at DESC").fetchone()
        assert row is not None
        for name, (about, examples) in AGENTS.items():
            db.execute(
                """INSERT INTO agents (tenant_id, id, name, description, examples, prompt, models, graph, tools)
                  VALUES (%s, %s, %s, %s, %s, 'You help.', '[]', 'react', '[]')""",
                (row[0], new_id(), name, about, Jsonb(examples)),
            )
    return key
