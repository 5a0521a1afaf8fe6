"""Many tenants with many users each, who read and think between their questions: how many a machine carries, how long they wait
for an answer, and what a chat costs. Real processes, real HTTP, a key for each user; the stand-in is a fast model."""

import asyncio
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import psycopg

from schema.identity.api_keys import new_api_key
from schema.installation.bootstrap import ensure_api_key, ensure_tenant
from tests.bench.benchmarks.ingestion import ingested, write_file
from tests.bench.load.client import Exchange, HttpConnection
from tests.bench.load.stream_reading import first_tokens_ms, response_errors
from tests.bench.load.targets import Target
from tests.bench.plan import Plan
from tests.bench.reporting.measurement import Line, Measurement
from tests.bench.reporting.percentiles import percentile, spread
from tests.bench.testbed import Testbed

TENANTS = 100
MODEL = "text-100-at-100"
"""A fast model: 100 tokens in a second."""
LOAD = ("model stand-in", "load client")
NEED_MS, NEED_RETRIEVAL_MS = 2500, 4000
COLLECTION = "reports"
THINK_S = 60.0
"""How long users think on average: half as long to half as long again."""
DOCUMENTS = 2
QUESTION = "When does the mill pay its invoices?"


@dataclass
class User:
    """Somebody with a key of their own, who asks the same question again and again."""

    target: Target
    asked: list[Exchange] = field(default_factory=list)


async def measure_tenants(bed: Testbed, plan: Plan) -> Measurement:
    """As many users as the plan says, in turn. Its `hurry` makes all think so much shorter, which is the load of so many times
    the users."""
    found = Measurement(name="tenants", title=f"Users of {TENANTS} tenants who think for {THINK_S:g} s between chats")
    users = await asyncio.to_thread(_make_users, bed, max(plan.users) // plan.hurry)
    for count in plan.users:
        await _measure(found, bed, plan, users[: count // plan.hurry], collections=())
    few = users[: plan.users[0] // plan.hurry]
    await _ingest(bed, few[:TENANTS])
    await _measure(found, bed, plan, few, collections=(COLLECTION,))
    found.notes.append(
        f"each simulated user thinks for {THINK_S / plan.hurry:g} s, and so stands for {plan.hurry} of them"
        if plan.hurry > 1
        else "nothing is reduced"
    )
    return found


async def _measure(
    found: Measurement, bed: Testbed, plan: Plan, users: Sequence[User], *, collections: Sequence[str]
) -> None:
    think_s = THINK_S / plan.hurry
    for user in users:
        user.asked.clear()
    meter, began = bed.meter(), time.monotonic()
    until = began + plan.thoughts * think_s
    await asyncio.gather(*(_live(user, n, until, think_s, collections) for n, user in enumerate(users)))
    took_s, cpu_s = time.monotonic() - began, meter.cpu_s(without=LOAD)
    chats = [one for user in users for one in user.asked]
    count, kind = len(users) * plan.hurry, "with retrieval" if collections else "without retrieval"
    found.usage[f"{count} {kind}"] = meter.read()
    target = users[0].target
    said = response_errors(target, chats, MODEL)
    found.failed(said, len(chats), f"{count} users, {kind}")
    took = [one.took_ms for one in chats]
    first = first_tokens_ms(target, chats)
    found.runs.append({"users": count, "kind": kind, "chats": len(chats), "took": spread(took), "first": spread(first),
                       "cpu_ms": {name: 1000 * used / len(chats) for name, used in cpu_s.items()}})  # fmt: skip
    name = f"{count:,} users, {kind}" if collections else f"{count:,} users"
    found.lines += [
        Line(what=f"{name}: chats a second", figure=len(chats) / took_s, unit="chats/s"),
        Line(what=f"{name}: whole answer, p95", figure=percentile(took, 0.95), unit="ms",
             need=NEED_RETRIEVAL_MS if collections else NEED_MS),
        Line(what=f"{name}: first token, p95", figure=percentile(first, 0.95), unit="ms"),
        Line(what=f"{name}: CPU per chat", figure=1000 * sum(cpu_s.values()) / len(chats), unit="ms"),
    ]  # fmt: skip


async def _ingest(bed: Testbed, users: Sequence[User]) -> None:
    """Give each tenant some documents."""
    files = [write_file(number) for number in range(DOCUMENTS)]
    for user in users:
        await ingested(bed, user.target.key, files, collection=COLLECTION)


async def _live(user: User, number: int, until: float, think_s: float, collections: Sequence[str]) -> None:
    """Think, ask, read, think again."""
    chance = random.Random(number)
    request = user.target.request(MODEL, QUESTION, collections=collections)
    link = HttpConnection(user.target.port)
    await asyncio.sleep(chance.uniform(0, think_s))
    while time.monotonic() < until:
        user.asked.append(await link.ask(request))
        await asyncio.sleep(think_s * chance.uniform(0.5, 1.5))
    link.close()


def _make_users(bed: Testbed, count: int) -> list[User]:
    """Make the tenants, and their users' keys in turn."""
    users = list[User]()
    with psycopg.connect(bed.database_url) as db:
        run = time.monotonic_ns()
        tenants = [ensure_tenant(db, f"users-{run}-{n}", f"Users {n}") for n in range(TENANTS)]
        for number in range(count):
            key = new_api_key()
            ensure_api_key(db, tenants[number % TENANTS], key, name=f"user {number}")
            users.append(User(bed.native(key)))
    return users
