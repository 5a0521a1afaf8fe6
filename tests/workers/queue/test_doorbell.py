"""The doorbell is a message that Celery reads as its own."""

import json
import socket
from typing import Any
from unittest.mock import MagicMock

import pytest
import redis
from celery import Celery
from celery.worker.strategy import default

from schema.ids import new_id
from schema.job_kinds import KINDS
from workers.celery.app import build_app
from workers.celery.consumer import QuietConsumer
from workers.celery.pool import AsyncPool, _Slot
from workers.queue.doorbell import MAX_QUEUED, Doorbell, envelope, ring
from workers.queue.job_core import JobCore

TASK = KINDS["chat"].task


def doorbell() -> Doorbell:
    return Doorbell(new_id(), new_id(), "chat", 3, "headrace:inbox:a")


def read_by_celery(app: Celery) -> Any:
    """The next message of the queue, as the request that a worker makes of it."""
    consumer = MagicMock(hostname="h", event_dispatcher=None, disable_rate_limits=True)
    consumer.controller.state.revoked = set()
    with app.connection_for_read() as connection:
        message = connection.default_channel.basic_get("chat")
        assert message is not None
        default(app.tasks[TASK], app, consumer)(message, None, MagicMock(), MagicMock(), ())
        message.ack()
    return consumer.on_task_request.call_args[0][0]


@pytest.fixture
def app(redis_url: str) -> Any:
    with redis.Redis.from_url(redis_url) as client:
        client.delete("chat")
    with build_app(redis_url) as app:
        yield app


async def test_celery_reads_it_as_what_it_sends_itself(core: JobCore, app: Celery) -> None:
    bell = doorbell()
    args = [str(bell.tenant_id), str(bell.job_id), bell.dispatch_seq, bell.inbox]
    with app.connection_for_write() as connection:
        told = {"task_id": str(bell.job_id), "queue": "chat", "ignore_result": True, "argsrepr": "-"}
        app.send_task(TASK, args, connection=connection, **told)
    theirs = read_by_celery(app)
    assert await ring(core.redis, [bell])
    ours = read_by_celery(app)
    same = ("id", "name", "args", "kwargs", "kwargsrepr", "root_id", "parent_id", "eta", "expires")
    assert {name: getattr(theirs, name) for name in same} == {name: getattr(ours, name) for name in same}
    assert theirs.delivery_info == ours.delivery_info
    assert (theirs.ignore_result, f"/api/jobs/{bell.job_id}") == (ours.ignore_result, ours.argsrepr)


async def test_nothing_of_it_is_left_to_decode(core: JobCore, app: Celery) -> None:
    bell = doorbell()
    assert await ring(core.redis, [bell])
    request = read_by_celery(app)
    assert (None, dict) == (request.content_type, type(request.message.body))
    put_back = request.message.serializable()  # by a worker that stops
    assert json.loads(envelope(bell))["body"] == json.loads(json.dumps(put_back))["body"]


def test_it_carries_ids_and_nothing_else() -> None:
    bell = doorbell()
    body = json.loads(envelope(bell))["body"]
    assert {"args": [str(bell.tenant_id), str(bell.job_id), 3, "headrace:inbox:a"], "kwargs": {}} == body


async def test_a_queue_holds_a_bounded_number(core: JobCore, redis_url: str) -> None:
    bells = [doorbell() for _ in range(MAX_QUEUED + 10)]
    assert await ring(core.redis, bells)
    with redis.Redis.from_url(redis_url) as client:
        oldest = json.loads(client.rpop("chat"))
        assert MAX_QUEUED - 1 == client.llen("chat")
        client.delete("chat")
    assert str(bells[10].job_id) == oldest["headers"]["id"]


def consumer_of(pool: AsyncPool, *, held: int) -> Any:
    """A consumer that is not connected, whose pool works at so many messages."""
    pool._slots = {_Slot(pool, print, (), {}) for _ in range(held)}
    consumer = QuietConsumer.__new__(QuietConsumer)
    consumer.pool, consumer.hub = pool, MagicMock()
    return consumer


@pytest.mark.parametrize(("held", "woken"), [(1, False), (2, True)])
def test_the_consumer_is_woken_by_the_end_of_a_task_only_if_it_may_wait_for_a_slot(held: int, woken: bool) -> None:
    consumer, acknowledge = consumer_of(AsyncPool(4), held=held), MagicMock()
    consumer.call_soon_ack(acknowledge, "logger")
    assert (woken, not woken) == (consumer.hub.call_soon.called, acknowledge.called)


def test_an_acknowledgement_over_a_lost_connection_fails_no_task() -> None:
    acknowledge = MagicMock(side_effect=AttributeError("'NoneType' object has no attribute 'client'"))
    consumer_of(AsyncPool(4), held=0).call_soon_ack(acknowledge)
    assert acknowledge.called


def test_a_broker_that_is_out_of_reach_is_given_up_within_a_grace(app: Celery) -> None:
    """A worker that is told to stop says goodbye to it, and by itself Linux would try that for a quarter of an hour."""
    with app.connection_for_write() as connection:
        sock = connection.default_channel.client.connection_pool.get_connection()._sock
        assert 15_000 == sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT)
