"""RabbitMQ carries the doorbells in place of Redis: the real server, killed in the middle, over TLS, short of patience."""

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import aiohttp
import pytest
import redis

from api.local.stores.local_stores import Stores
from schema.ids import new_id
from schema.job_kinds import QUEUES
from tests.conftest import TestTenant
from tests.counterparts.behaviours import text
from tests.journeys.client import Client, assert_complete
from tests.journeys.conftest import running
from tests.rabbitmq import INSTALLED, MISSING, RabbitMQ
from tests.system import ROOT, ModelProcess, System, free_port
from tests.waiting import wait_for
from tests.workers.certificates.authority import Authority
from workers.amqp.address import QUEUE_ARGUMENTS
from workers.amqp.publisher import AmqpPublisher, BrokerUnavailable
from workers.celery.app import build_app
from workers.queue.doorbell import Doorbell, amqp_message

pytestmark = pytest.mark.skipif(not INSTALLED, reason=MISSING)

IMPATIENT = {"consumer_timeout": 5000, "channel_tick_interval": 1000}
"""RabbitMQ closes the channel of a consumer that acknowledges nothing for so long; as delivered, half an hour."""


@pytest.fixture(scope="module")
def rabbit(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RabbitMQ]:
    with RabbitMQ(tmp_path_factory.mktemp("rabbitmq"), variables=IMPATIENT) as started:
        yield started


@pytest.fixture(scope="module")
def system(
    stores: Stores, shared_url: str, provider: ModelProcess, rabbit: RabbitMQ, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[System]:
    folder, settings = tmp_path_factory.mktemp("over-rabbitmq"), {"HEADRACE_BROKER_URL": rabbit.url}
    with running(
        System(shared_url, stores.redis_url, folder=folder, model_url=provider.base_url, settings=settings)
    ) as started:
        yield started


@pytest.fixture
async def client(system: System, tenant: TestTenant) -> AsyncIterator[Client]:
    async with Client(system.url, tenant.headers) as opened:
        yield opened


@pytest.fixture
async def publisher(rabbit: RabbitMQ) -> AsyncIterator[AmqpPublisher]:
    opened = AmqpPublisher(rabbit.url)
    yield opened
    await opened.close()


def pids_of(system: System) -> dict[str, int]:
    return {name: process.pid for name, process in system.processes.items() if process.poll() is None}


async def test_doorbells_go_over_rabbitmq_and_none_over_redis(stores: Stores, system: System, client: Client) -> None:
    with redis.Redis.from_url(stores.redis_url) as db:
        before = db.llen("chat")
        for _ in range(5):
            assert text(5) == assert_complete(await (await client.ask("text-5")).rest())
        assert before == db.llen("chat")


async def test_a_killed_rabbitmq_costs_no_job_and_no_process(rabbit: RabbitMQ, system: System, client: Client) -> None:
    pids = pids_of(system)
    stream = await client.ask("text-100-at-25")
    await stream.until("message.delta", 10)
    rabbit.kill()
    accepted = [await client.submit("text-5") for _ in range(5)]  # they wait in Postgres

    assert text(100) == assert_complete(await stream.rest())
    rabbit.start()
    for job in accepted:
        ended = await client.ended(job["job_id"])
        assert ("succeeded", 1) == (ended["state"], len(ended["attempts"]))
    assert pids == pids_of(system)


async def test_a_job_that_outlasts_rabbitmqs_patience_runs_once(system: System, client: Client) -> None:
    """Its doorbell isn't acknowledged in time, so the channel is closed and the doorbell comes again: a stale one."""
    pids = pids_of(system)
    stream = await client.ask("text-300-at-25")
    events = await stream.rest()

    assert text(300) == assert_complete(events)
    job = await client.job(stream.job_id)
    assert ("succeeded", 1) == (job["state"], len(job["attempts"]))
    assert "PRECONDITION_FAILED" in system.log("chat"), "the channel was not closed, so nothing was tried"
    assert text(5) == assert_complete(await (await client.ask("text-5")).rest())
    assert pids == pids_of(system)


async def test_a_queue_holds_a_bounded_number_and_drops_the_oldest(publisher: AmqpPublisher, system: System) -> None:
    """Nobody consumes the queue `default` here."""
    most = QUEUE_ARGUMENTS["x-max-length"]
    bells = [Doorbell(new_id(), new_id(), "pipeline", 1, None) for _ in range(256)]
    for _ in range(most // len(bells) + 2):
        await publisher.publish([amqp_message(bell) for bell in bells])
    counts = await publisher.count_waiting()
    assert (set(QUEUES), most) == (set(counts), counts["default"])


async def test_who_rings_is_told_when_rabbitmq_has_not_taken_it(rabbit: RabbitMQ, publisher: AmqpPublisher) -> None:
    message = amqp_message(Doorbell(new_id(), new_id(), "ingestion", 1, None))
    await publisher.publish([message])
    await asyncio.to_thread(rabbit.kill)
    with pytest.raises(BrokerUnavailable):
        await publisher.publish([message])
    with pytest.raises(BrokerUnavailable):
        await publisher.publish([message])
    await asyncio.to_thread(rabbit.start)

    async def is_taken() -> bool:
        try:
            await publisher.publish([message])
        except BrokerUnavailable:
            return False
        return True

    await wait_for(is_taken, "the same publisher works again")


async def test_the_watchdog_the_doctor_and_flower_know_it(
    rabbit: RabbitMQ, system: System, client: Client, stores: Stores, shared_url: str
) -> None:
    async def is_watched() -> bool:
        return (await client.get("/health"))["parts"].get("broker", {}).get("status") in ("up", "degraded")

    await wait_for(is_watched, "the watchdog has found RabbitMQ working")
    env = {**os.environ, **system.env, "HEADRACE_BROKER_URL": rabbit.url}
    done = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-m", "api", "doctor", "--production"],
        cwd=ROOT, env=env, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert f"127.0.0.1:{rabbit.port} accepts connections" in done.stdout, done.stdout + done.stderr
    assert "version RabbitMQ" in done.stdout
    system.start("flower")
    await system.ready("flower")
    async with aiohttp.ClientSession(system.url_of("flower")) as http:

        async def is_shown() -> bool:
            await client.ended((await client.submit("text-5"))["job_id"])
            async with http.get("/workers?json=1") as answer:
                workers = (await answer.json(content_type=None))["data"]
            return any(worker["status"] and worker["hostname"].startswith("chat-") for worker in workers)

        await wait_for(is_shown, "Flower shows the worker")
    await system.stop("flower")
    del system.processes["flower"]


async def test_over_tls_both_sides_check_the_certificate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    authority, port = Authority(), free_port()
    certificate, key = authority.issue("localhost")
    texts = {"cacertfile": authority.chain, "certfile": certificate, "keyfile": key}
    lines = [f"listeners.ssl.1 = 127.0.0.1:{port}"]
    for option, content in texts.items():
        (tmp_path / option).write_text(content)
        lines.append(f"ssl_options.{option} = {tmp_path / option}")
    with RabbitMQ(tmp_path / "rabbitmq", more="\n".join(lines)) as rabbit:
        url = rabbit.url.replace("amqp://", "amqps://").replace(f"127.0.0.1:{rabbit.port}", f"localhost:{port}")
        message = amqp_message(Doorbell(new_id(), new_id(), "chat", 1, None))
        for trusts in (False, True):
            if trusts:
                monkeypatch.setenv("SSL_CERT_FILE", authority.trusted(tmp_path))
            publisher = AmqpPublisher(url)
            outcomes = [await _outcome(publisher.publish([message])), await asyncio.to_thread(_connects, url)]
            await publisher.close()
            assert [trusts, trusts] == outcomes


async def _outcome(publishing) -> bool:
    try:
        await publishing
    except BrokerUnavailable:
        return False
    return True


def _connects(url: str) -> bool:
    with build_app("redis://127.0.0.1/0", url, tasks=False) as app, app.connection_for_read() as connection:
        try:
            connection.connect()
        except OSError:
            return False
        return connection.connected
