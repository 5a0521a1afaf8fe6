"""The deliverer: claims what is due, sends it, records how that ended. One runs in each worker of the queue `default`; any
number may run.

A delivery is claimed under a lease before it is sent, and ended after. A process that dies in between leaves it `sending`; it
is sent again with the same `webhook-id` as soon as somebody sees that the process is gone, or when the lease is over. At most
two deliveries of a receiver (`outbox.PER_LANE`) and PER_TENANT of a tenant are on their way at once, over all deliverers, and
receivers that were slow lately share half of the places: one that hangs takes 15 s of its own places, and nothing of anybody
else's.

When Redis is away, the poll finds what is due; when Postgres is, nothing is sent.
"""

import asyncio
import random
import time
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from itertools import groupby
from uuid import UUID

import structlog

from schema import redis_names
from schema.errors import HeadraceError, Unavailable
from schema.metrics.catalog import WEBHOOK_ATTEMPTS, WEBHOOK_DURATION
from schema.postgres.connections import Pool, system_tx, tenant_tx
from schema.queries.webhooks import outbox
from schema.queries.webhooks.outbox import AttemptOutcome, ClaimedDelivery, OutboxMessage
from schema.tracing.spans import trace_headers
from schema.vault import Vault
from tools.egress import TenantEgress
from workers.queue.leases import has_died
from workers.redis.address import RedisAddress
from workers.redis.client import RedisClient
from workers.stream.changes import Changes
from workers.stream.pubsub import Subscriber
from workers.webhooks.delivery_span import delivery_span, note_answer
from workers.webhooks.holds import note_hold
from workers.webhooks.payload import build_body, message_name
from workers.webhooks.schedule import MAX_FAILING_DAYS, hold_s, next_delay_s
from workers.webhooks.secrets import EndpointSecrets, open_secrets, seal_secrets
from workers.webhooks.send import MAX_READ_BYTES, SEND_S, Answer, send
from workers.webhooks.signing import new_secret, signed_headers

log = structlog.get_logger()

SLOTS = outbox.MOST
"""Messages that one process has on their way."""
PER_TENANT = 20
SLOW_S = 5.0
SLOW_FOR_S = 60.0
"""A receiver that took longer counts as slow for a while."""
LEASE_S = 40.0  # longer than a send and what is recorded of it
POLL_S = 1.0
LOST_S = 5.0  # how often deliveries of lost processes are looked for
RECORD_S = 15.0  # for how long recording is tried while Postgres is away
CLOSE_S = 3.0


class Deliverer:
    """Delivers until it is closed. Use as `async with`."""

    def __init__(
        self,
        pool: Pool,
        system_pool: Pool,
        egress: TenantEgress,
        vault: Vault,
        address: RedisAddress,
        *,
        owner: str,
        uniform: Callable[[float, float], float] = random.uniform,
    ) -> None:
        self._pool, self._system_pool, self._egress, self._vault = pool, system_pool, egress, vault
        self._owner, self._uniform = owner, uniform
        self._sending: set[asyncio.Task[None]] = set()
        self._kicked = asyncio.Event()
        self._closing = False
        self._slow: dict[str, float] = {}
        self._held: dict[str, float] = {}
        self._looked_at = 0.0
        self._subscriber = Subscriber(address, lambda *_: self._kicked.set())
        self._redis = RedisClient(address)
        self._changes = Changes(self._redis)
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> "Deliverer":
        self._subscriber.start()
        self._stack.push_async_callback(self._redis.close)
        self._stack.push_async_callback(self._subscriber.close)
        await self._subscriber.subscribe(redis_names.WEBHOOKS)
        task = asyncio.get_running_loop().create_task(self._run(), name="deliverer")
        self._stack.push_async_callback(self._stop, task)
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self._stack.aclose()

    async def _stop(self, task: "asyncio.Task[None]") -> None:
        """Take nothing more, let what is on its way arrive for a moment, and give back the rest."""
        self._closing = True
        self._kicked.set()
        # It ends by itself. Cancelled in the middle of a claim, psycopg may wait for an answer that has come already.
        await _end({task})
        await _end(set(self._sending))
        try:
            async with system_tx(self._system_pool) as db:
                await outbox.release_own(db, self._owner)
        except HeadraceError:
            log.warning("deliveries_not_given_back")

    async def _run(self) -> None:
        while not self._closing:
            took_s = 0.0
            try:
                began = time.monotonic()
                await self._release_lost()
                if self._kicked.is_set() or await self._has_deliveries():
                    self._kicked.clear()
                    await self._claim()
                    took_s = time.monotonic() - began
            except HeadraceError as error:
                log.warning("webhooks_postponed", code=error.code)
            except Exception:
                log.exception("webhooks_failed")
            # With thousands of receivers a claim takes long, and must leave room for other work.
            await asyncio.sleep(took_s)
            try:
                async with asyncio.timeout(POLL_S):
                    await self._kicked.wait()
            except TimeoutError:
                continue

    async def _has_deliveries(self) -> bool:
        async with system_tx(self._system_pool) as db:
            return await outbox.has_deliveries(db)

    async def _release_lost(self) -> None:
        now = time.monotonic()
        if now < self._looked_at + LOST_S:
            return
        self._looked_at = now
        async with system_tx(self._system_pool) as db:
            dead = [owner for owner in await outbox.list_lease_owners(db) if has_died(owner)]
            lost = await outbox.release_lost(db, dead=dead)
        if lost:
            log.warning("deliveries_lost", deliveries=lost, owners=dead)
            self._kicked.set()

    async def _claim(self) -> None:
        """Claim as many as there is room for, and begin to send them."""
        room, now = SLOTS - len(self._sending), time.monotonic()
        if room <= 0:
            return
        for lanes in (self._slow, self._held):
            for lane in [lane for lane, until in lanes.items() if until < now]:
                del lanes[lane]
        slow_sending = sum(task.get_name() in self._slow for task in self._sending)
        async with system_tx(self._system_pool) as db:
            claimed = await outbox.claim_deliveries(
                db,
                owner=self._owner,
                lease_s=LEASE_S,
                room=room,
                slow_room=max(0, SLOTS // 2 - slow_sending),
                per_tenant=PER_TENANT,
                slow=list(self._slow),
                held=list(self._held),
            )
        claimed.sort(key=lambda one: one.tenant_id)
        for tenant_id, group in groupby(claimed, key=lambda one: one.tenant_id):
            await self._begin(tenant_id, list(group))

    async def _begin(self, tenant_id: UUID, claimed: Sequence[ClaimedDelivery]) -> None:
        async with tenant_tx(self._pool, tenant_id) as db:
            messages = {
                message.id: message for message in await outbox.read_messages(db, tenant_id, [c.id for c in claimed])
            }
        self._changes.note(tenant_id, "deliveries", *(one.id for one in claimed))
        for one in claimed:
            if message := messages.get(one.id):  # deleted in between, or not
                task = asyncio.get_running_loop().create_task(self._deliver(one, message), name=one.lane_name)
                self._sending.add(task)
                task.add_done_callback(self._on_done)

    def _on_done(self, task: "asyncio.Task[None]") -> None:
        self._sending.discard(task)
        self._kicked.set()  # its lane has a place

    async def _deliver(self, claimed: ClaimedDelivery, message: OutboxMessage) -> None:
        """Send one message and record it. An error here leaves it to its lease."""
        try:
            if not message.enabled:
                async with tenant_tx(self._pool, claimed.tenant_id) as db:
                    await outbox.pause_delivery(db, claimed)
                return
            with delivery_span(claimed, message) as span:
                answer = await self._send(claimed, message)
                note_answer(span, answer)
            await self._record(claimed, message, answer)
        except HeadraceError as error:
            log.warning("delivery_not_recorded", delivery_id=str(claimed.id), code=error.code)
        except Exception:
            log.exception("delivery_broken", delivery_id=str(claimed.id))

    async def _send(self, claimed: ClaimedDelivery, message: OutboxMessage) -> Answer:
        began, tenant_id = datetime.now(UTC), claimed.tenant_id
        try:
            secrets = await self._open_secrets(tenant_id, message)
            client = await self._egress.client(tenant_id, "webhooks", timeout_s=SEND_S, max_bytes=MAX_READ_BYTES)
        except Unavailable:
            raise
        except HeadraceError as error:
            return Answer(started_at=began, duration_s=0, error=error.code, detail=error.message)
        body = build_body(message)
        signed = signed_headers(secrets.signing(began), message_name(message.event_id), int(began.timestamp()), body)
        headers = {
            **trace_headers(),
            **secrets.headers,
            "content-type": "application/json",
            "user-agent": "headrace-webhooks/1.0",
            **signed,
        }
        return await send(client, message.target, headers, body)

    async def _open_secrets(self, tenant_id: UUID, message: OutboxMessage) -> EndpointSecrets:
        owner_id = message.endpoint_id or tenant_id
        if message.secrets is not None:
            return open_secrets(self._vault, message.secrets, tenant_id, owner_id)
        sealed = seal_secrets(self._vault, EndpointSecrets(new_secret()), tenant_id, tenant_id)
        async with tenant_tx(self._pool, tenant_id) as db:
            await outbox.add_callback_secret(db, tenant_id, sealed)
            (stored,) = await outbox.read_messages(db, tenant_id, [message.id])
        assert stored.secrets is not None, "it was just added, by somebody"
        return open_secrets(self._vault, stored.secrets, tenant_id, tenant_id)

    async def _record(self, claimed: ClaimedDelivery, message: OutboxMessage, answer: Answer) -> None:
        gone = answer.status == 410
        delay_s = None if gone else next_delay_s(claimed.tries, self._uniform, answer.retry_after_s)
        state = "delivered" if answer.is_success else "exhausted" if delay_s is None else "pending"
        await self._note_lane(claimed, answer)
        counted_as = "delivered" if answer.is_success else "failed"
        WEBHOOK_ATTEMPTS.of(counted_as).inc()
        WEBHOOK_DURATION.of(counted_as).observe(answer.duration_s)
        outcome = AttemptOutcome(
            state=state,
            delay_s=delay_s or 0.0,
            started_at=answer.started_at,
            duration_ms=round(answer.duration_s * 1000),
            status=answer.status,
            error=answer.error,
            detail=answer.detail,
            response=answer.response,
        )
        ended = await self._end(claimed, message.endpoint_id, outcome)
        event = "webhook_delivered" if answer.is_success else "webhook_not_delivered"
        self._changes.note(claimed.tenant_id, "deliveries", claimed.id)
        facts = {"delivery_id": str(claimed.id), "attempt": claimed.attempt, "status": answer.status}
        log.info(event, **facts, ms=outcome.duration_ms, error=answer.error, state=state if ended else "lost")
        if ended and not answer.is_success and message.endpoint_id is not None:
            await self._note_failure(claimed.tenant_id, message.endpoint_id, gone=gone)

    async def _end(self, claimed: ClaimedDelivery, endpoint_id: UUID | None, outcome: AttemptOutcome) -> bool:
        """Record the end of an attempt, with retries while Postgres is away: what has arrived should not be sent again."""
        until = time.monotonic() + RECORD_S
        while True:
            try:
                return await outbox.end_attempt(self._pool, claimed, endpoint_id, outcome)
            except Unavailable:
                if time.monotonic() > until:
                    raise
                await asyncio.sleep(0.5)

    async def _note_failure(self, tenant_id: UUID, endpoint_id: UUID, *, gone: bool) -> None:
        async with tenant_tx(self._pool, tenant_id) as db:
            reason = await outbox.note_failure(db, tenant_id, endpoint_id, gone=gone, max_failing_days=MAX_FAILING_DAYS)
        if reason is not None:
            log.warning("webhook_disabled", endpoint_id=str(endpoint_id), tenant_id=str(tenant_id), reason=reason)

    async def _note_lane(self, claimed: ClaimedDelivery, answer: Answer) -> None:
        lane, now = claimed.lane_name, time.monotonic()
        if answer.duration_s >= SLOW_S:
            self._slow[lane] = now + SLOW_FOR_S
        else:
            self._slow.pop(lane, None)
        if held_s := hold_s(answer.status, answer.retry_after_s):
            self._held[lane] = now + held_s
            await note_hold(self._redis, claimed.tenant_id, claimed.lane, answer, held_s)


async def _end(tasks: "set[asyncio.Task[None]]") -> None:
    """Wait for tasks for a moment, cancel those that are left, and wait for these no longer than that."""
    for _ in range(2):
        if tasks:
            _, tasks = await asyncio.wait(tasks, timeout=CLOSE_S)
        for task in tasks:
            task.cancel()
