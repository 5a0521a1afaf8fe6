"""Doorbells: the Celery messages that tell a worker that a job waits.

They are written to Redis directly, because `send_task` blocks the event loop (for 0.35 ms, for 250 ms with 100 callers,
for 0.6 s when Redis is down), while an awaited write takes 0.1 ms. They carry only ids: lost, duplicate or late ones
change nothing.

`send_task` would write JSON in base64 in JSON, and Celery would decode the inner one twice. A doorbell is one JSON value: its
body is a part of it and not text ("application/data": kombu passes it on as it is), and names its `args`, from which Celery
sees that nothing is left to decode. Both are formats that Celery and kombu read; a test has Celery read it.

With HEADRACE_BROKER_URL they are published to RabbitMQ instead, as Celery's own messages are.
"""

import os
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import msgspec

from schema.job_kinds import KINDS, Kind
from workers.amqp.publisher import AmqpPublisher, BrokerUnavailable, Message
from workers.redis.client import RedisClient, RedisUnavailable
from workers.redis.connection import ReplyError

MAX_QUEUED = 4096  # doorbells in a queue; older ones are stale, since their jobs were dispatched again

ORIGIN = f"headrace{os.getpid()}@{socket.gethostname()}"


@dataclass(frozen=True)
class Doorbell:
    """Which job waits, and which dispatch this is; `inbox` is the channel of the process that submitted it."""

    tenant_id: UUID
    job_id: UUID
    kind: Kind
    dispatch_seq: int
    inbox: str | None


Bells = RedisClient | AmqpPublisher
"""Where doorbells are rung: Redis, or the RabbitMQ of HEADRACE_BROKER_URL."""


async def ring(bells: Bells, doorbells: Sequence[Doorbell]) -> bool:
    """Push doorbells to the queues of their kinds, in order; return False if the broker did not accept them."""
    if isinstance(bells, AmqpPublisher):
        return await _ring_amqp(bells, doorbells)
    return await _ring_redis(bells, doorbells)


async def _ring_amqp(publisher: AmqpPublisher, doorbells: Sequence[Doorbell]) -> bool:
    try:
        await publisher.publish([amqp_message(doorbell) for doorbell in doorbells])
    except BrokerUnavailable:
        return False
    return True


async def _ring_redis(redis: RedisClient, doorbells: Sequence[Doorbell]) -> bool:
    by_queue: dict[str, list[bytes]] = {}
    for doorbell in doorbells:
        by_queue.setdefault(KINDS[doorbell.kind].queue, []).append(envelope(doorbell))
    commands = [
        command
        for queue, messages in by_queue.items()
        for command in (("LPUSH", queue, *messages), ("LTRIM", queue, 0, MAX_QUEUED - 1))
    ]
    try:
        replies = await redis.send(commands)
    except RedisUnavailable:
        return False
    return not any(isinstance(reply, ReplyError) for reply in replies)


def envelope(doorbell: Doorbell) -> bytes:
    """Return the message as Celery's Redis transport stores it. Flower shows the job's id, and where to read it."""
    kind, task_id = KINDS[doorbell.kind], str(doorbell.job_id)
    message: dict[str, Any] = {
        "body": {"args": _arguments(doorbell), "kwargs": {}},
        "content-type": "application/data",
        "content-encoding": "binary",
        "headers": _headers(doorbell),
        "properties": {
            "correlation_id": task_id,
            "delivery_mode": 2,
            "delivery_info": {"exchange": "", "routing_key": kind.queue},
            "priority": 0,
            "delivery_tag": f"{task_id}.{doorbell.dispatch_seq}",
        },
    }
    return msgspec.json.encode(message)


def amqp_message(doorbell: Doorbell) -> Message:
    """Return the message as RabbitMQ takes it: its headers and properties are the protocol's, its body is Celery's."""
    queue, task_id = KINDS[doorbell.kind].queue, str(doorbell.job_id)
    return Message(queue, task_id, msgspec.json.encode([_arguments(doorbell), {}, NOTHING_FOLLOWS]), _headers(doorbell))


NOTHING_FOLLOWS = {"callbacks": None, "errbacks": None, "chain": None, "chord": None}


def _arguments(doorbell: Doorbell) -> list[str | int | None]:
    return [str(doorbell.tenant_id), str(doorbell.job_id), doorbell.dispatch_seq, doorbell.inbox]


def _headers(doorbell: Doorbell) -> dict[str, Any]:
    task_id = str(doorbell.job_id)
    return {
        "lang": "py",
        "task": KINDS[doorbell.kind].task,
        "id": task_id,
        "root_id": task_id,
        "argsrepr": f"/api/jobs/{task_id}",
        "kwargsrepr": "{}",
        "origin": ORIGIN,
        "ignore_result": True,
    }
