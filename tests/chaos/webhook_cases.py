"""A case in which processes die while webhooks are delivered, to receivers of which some fail and one hangs."""

import asyncio
import contextlib
from typing import Any

import psycopg
import redis
from psycopg.rows import dict_row
from psycopg.types.json import Jsonb

from schema.ids import new_id
from tests.chaos.table import case
from tests.chaos.world import Load, World
from tests.conftest import TestTenant
from tests.counterparts.webhook_receiver import WebhookReceiver
from tests.secret import VAULT
from tests.sentinels import connect
from tests.waiting import PATIENCE_S, wait_for
from workers.webhooks.secrets import EndpointSecrets, seal_secrets
from workers.webhooks.signing import NotVerified, new_secret, verify

GOOD = 8
RECEIVERS = (*(f"/good/{number}" for number in range(GOOD)), "/flaky", "/hang")
"""A tenth fail, and one hangs."""
DELIVERERS = ("default", "default2")
LEFT = """
SELECT count(*) AS left FROM webhook_deliveries d JOIN webhook_endpoints e ON e.tenant_id = d.tenant_id AND e.id = d.endpoint_id
WHERE d.tenant_id = %s AND d.state <> 'delivered' AND e.url NOT LIKE '%%/hang'
"""
# The tries, too: those that fail by chance would use up the schedule in a minute.
HURRY = """
UPDATE webhook_deliveries d SET next_at = now(), tries = least(tries, 3) FROM webhook_endpoints e
WHERE d.tenant_id = %s AND d.state = 'pending' AND e.tenant_id = d.tenant_id AND e.id = d.endpoint_id AND e.url LIKE '%%/flaky'
"""


@case(30, "webhooks, and whoever delivers them", quick=True)
async def webhooks(world: World, load: Load, scale: float) -> list[str]:
    """500 jobs are 5,000 deliveries. Each job is told to each receiver at least once, under one id, and to nobody before its
    end; the one that hangs delays nobody."""
    async with WebhookReceiver() as receiver, AsyncDb(world) as db:
        secret = await _have_endpoints(db, load.tenant, receiver)
        for name in DELIVERERS:
            await world.add(name)
            world.keep(name)
        submitting = asyncio.ensure_future(world.submit(load, max(10, int(500 * scale))))
        try:
            await _break(world, receiver, max(3, int(20 * scale)))
        finally:
            await submitting
        await world.all_ready()
        await _until_delivered(db, load, receiver)
        held = receiver.most_open["/hang"]
        findings = _judge(load, receiver, secret)
        for name in DELIVERERS:
            await world.remove(name)
    return findings + ([] if held >= 2 else [f"the receiver that hangs was called {held} times at once"])


class AsyncDb:
    """A connection of the tables' owner, for as long as a case lasts."""

    def __init__(self, world: World) -> None:
        self._url = world.stores.database_url

    async def __aenter__(self) -> psycopg.AsyncConnection[dict[str, Any]]:
        self._db = await psycopg.AsyncConnection.connect(self._url, autocommit=True, row_factory=dict_row)
        return self._db

    async def __aexit__(self, *exc: object) -> None:
        await self._db.close()


async def _have_endpoints(db: psycopg.AsyncConnection[Any], tenant: TestTenant, receiver: WebhookReceiver) -> str:
    secret = new_secret()
    for path in RECEIVERS:
        endpoint_id = new_id()
        sealed = seal_secrets(VAULT, EndpointSecrets(secret), tenant.id, endpoint_id)
        await db.execute(
            "INSERT INTO webhook_endpoints (tenant_id, id, url, events, key_id, sealed) VALUES (%s, %s, %s, %s, %s, %s)",
            (tenant.id, endpoint_id, receiver.url(path), Jsonb(["job.*"]), sealed.key_id, sealed.sealed),
        )
    return secret


async def _break(world: World, receiver: WebhookReceiver, rounds: int) -> None:
    """Kill whoever delivers again and again, now and then an API process or the scheduler; and wipe Redis."""
    await wait_for(lambda: len(receiver.messages) > 10, "messages come")
    for n in range(rounds):
        world.kill(DELIVERERS[n % 2])
        if n % 3 == 1:
            world.kill(world.rng.choice(("api", "api2", "scheduler")))
        if n % 5 == 2:
            world.faults += 1
            with contextlib.suppress(redis.RedisError), connect(world.stores.redis_url) as wire:
                wire.flushall()
        await world.pause(0.5, 1.5)


async def _until_delivered(db: psycopg.AsyncConnection[Any], load: Load, receiver: WebhookReceiver) -> None:
    """Let the time pass for those that fail, until all but the one that hangs have everything, or nothing comes any more."""
    clock = asyncio.get_running_loop().time
    last, before = clock(), -1
    while clock() < last + PATIENCE_S:
        row = await (await db.execute(LEFT, (load.tenant.id,))).fetchone()
        assert row is not None
        every = len({message.json["data"]["job_id"] for message in receiver.messages}) >= len(load.keys)
        if not row["left"] and every:
            return
        if row["left"] != before:
            last, before = clock(), row["left"]
        await db.execute(HURRY, (load.tenant.id,))
        await asyncio.sleep(0.5)


def _judge(load: Load, receiver: WebhookReceiver, secret: str) -> list[str]:
    accepted = {str(job_id) for job_id in load.keys.values()}
    ids: dict[str, set[str]] = {}
    told: dict[str, set[str]] = {path: set() for path in RECEIVERS}
    findings = set[str]()
    for message in receiver.messages:
        data = message.json["data"]
        try:
            verify(secret, message.headers, message.body, now=message.at)
        except NotVerified as error:
            findings.add(f"a message is not authentic: {error}")
        ids.setdefault(data["job_id"], set()).add(message.id)
        if message.path.startswith("/good") or message.path in told:
            told[message.path].add(data["job_id"])
        if data["state"] not in ("succeeded", "failed", "cancelled"):
            findings.add(f"a job that is {data['state']} was told")
    for path in RECEIVERS[:-1]:
        if missing := accepted - told[path]:
            findings.add(f"{path} was not told of {len(missing)} jobs, such as {min(missing)}")
    if strangers := ids.keys() - accepted:
        findings.add(f"{len(strangers)} jobs were told that nobody submitted")
    if twice := [job_id for job_id, found in ids.items() if len(found) > 1]:
        findings.add(f"{len(twice)} jobs were told under several ids, such as {twice[0]}")
    return sorted(findings)
