"""Webhooks through kill -9 of whoever takes part, and without Redis: each end at least once, with one id, and nothing else."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Iterator
from uuid import UUID

import pytest
from standardwebhooks.webhooks import Webhook

from api.local.stores.local_stores import Stores
from tests.conftest import TestTenant, make_tenant
from tests.counterparts.webhook_receiver import Message, WebhookReceiver
from tests.journeys.client import Client
from tests.sentinels import connect
from tests.system import ROOT, System, free_port
from tests.waiting import PATIENCE_S, wait_for
from tests.workers.jobs import rows

Fragile = tuple[Stores, System]


@pytest.fixture(scope="module")
def with_deliverer(fragile: Fragile) -> Iterator[System]:
    """The system with a worker that delivers."""
    _, system = fragile
    system.start("default")
    yield system
    system.kill("default")
    del system.processes["default"]


@pytest.fixture
async def deliverer(with_deliverer: System) -> AsyncIterator[System]:
    """It; whoever was killed runs again after each test."""
    await with_deliverer.ready("default")
    yield with_deliverer
    for name in ("default", *with_deliverer.roles):
        await back(with_deliverer, name)


async def back(system: System, name: str) -> None:
    """Start a process again if it has died."""
    if system.processes[name].poll() is not None:
        system.start(name)
        await system.ready(name)


@pytest.fixture
def tenant(fragile: Fragile) -> TestTenant:
    return make_tenant(fragile[0].database_url, role="owner")


async def have_endpoint(client: Client, receiver: WebhookReceiver, *events: str) -> tuple[str, str]:
    status, made = await client.post("/api/webhooks", {"url": receiver.url(), "events": list(events)})
    assert status == 201, made
    return made["id"], made["secret"]


def by_job(messages: list[Message]) -> dict[str, set[str]]:
    """The ids under which each job was told."""
    told: dict[str, set[str]] = {}
    for message in messages:
        told.setdefault(message.json["data"]["job_id"], set()).add(message.id)
    return told


async def test_a_deliverer_killed_after_the_send_and_before_the_commit_sends_the_same_again(
    deliverer: System, tenant: TestTenant
) -> None:
    async with Client(deliverer.url, tenant.headers) as client, WebhookReceiver() as receiver:
        _, secret = await have_endpoint(client, receiver, "job.*")
        receiver.hold = asyncio.Event()
        job_id = (await client.submit("text-5"))["job_id"]
        (first,) = await receiver.until(1)
        deliverer.kill("default")
        receiver.hold.set()
        deliverer.start("default")
        first, second = await receiver.until(2)
        found = "/api/webhooks/deliveries?state=delivered"

        async def delivered() -> bool:
            return bool((await client.get(found))["items"])

        await wait_for(delivered, "it is delivered")
    assert first.id == second.id
    assert first.body == second.body
    assert {job_id: {first.id}} == by_job(receiver.messages)
    for message in (first, second):
        Webhook(secret).verify(message.body, message.headers)


async def test_everybody_may_die_and_each_end_is_told(fragile: Fragile, deliverer: System, tenant: TestTenant) -> None:
    stores, system = fragile
    async with Client(system.url, tenant.headers) as client, WebhookReceiver() as receiver:
        _, secret = await have_endpoint(client, receiver, "job.*")
        running = (await client.submit("text-6000-at-1"))["job_id"]
        jobs = [(await client.submit("text-20-at-40"))["job_id"] for _ in range(10)]
        for victim in ("default", "chat", "scheduler", "api"):
            system.kill(victim)
            await back(system, victim)
            with connect(stores.redis_url) as wire:
                wire.flushall()
            jobs += [(await client.submit("text-20-at-40"))["job_id"] for _ in range(5)]
        await wait_for(lambda: set(jobs) <= by_job(receiver.messages).keys(), "all are told")
        told = by_job(receiver.messages)
        assert set(jobs) == told.keys()
        assert {1} == {len(ids) for ids in told.values()}
        for message in receiver.messages:
            Webhook(secret).verify(message.body, message.headers)
        assert "running" == await client.cancel(running)
        await wait_for(lambda: running in by_job(receiver.messages), "the cancelled one is told")
    stored = rows(stores.database_url, "SELECT job_id FROM webhook_deliveries WHERE tenant_id = %s", tenant.id)
    assert {UUID(job_id) for job_id in (*jobs, running)} == {row["job_id"] for row in stored}
    assert len(jobs) + 1 == len(stored)


async def test_both_secrets_verify_while_one_is_rotated(deliverer: System, tenant: TestTenant) -> None:
    async with Client(deliverer.url, tenant.headers) as client, WebhookReceiver() as receiver:
        endpoint_id, before = await have_endpoint(client, receiver, "job.succeeded")
        _, rotated = await client.post(f"/api/webhooks/{endpoint_id}/rotate-secret")
        await client.ended((await client.submit("text-5"))["job_id"])
        (message,) = await receiver.until(1)
    for secret in (before, rotated["secret"]):
        Webhook(secret).verify(message.body, message.headers)


async def test_listening_on_the_command_line_makes_an_endpoint_and_deletes_it(
    deliverer: System, tenant: TestTenant
) -> None:
    port = free_port()
    command = [sys.executable, "-m", "api", "webhooks", "listen", "--json", "--count", "1", "--port", str(port)]
    env = deliverer.env | {"HEADRACE_URL": deliverer.url, "HEADRACE_API_KEY": tenant.key}
    async with Client(deliverer.url, tenant.headers) as client:
        process = await asyncio.create_subprocess_exec(*command, cwd=ROOT, env=env, stdout=asyncio.subprocess.PIPE)

        async def listening() -> bool:
            return bool((await client.get("/api/webhooks"))["items"])

        await wait_for(listening, "it listens")
        job_id = (await client.submit("text-5"))["job_id"]
        out, _ = await asyncio.wait_for(process.communicate(), PATIENCE_S)
        left = (await client.get("/api/webhooks"))["items"]
    said = json.loads(out)
    assert (0, True, "job.succeeded", job_id) == (
        process.returncode,
        said["verified"],
        said["type"],
        said["data"]["job_id"],
    )
    assert [] == left


async def test_a_callback_by_header_through_openais_route(deliverer: System, tenant: TestTenant) -> None:
    async with Client(deliverer.url, tenant.headers) as client, WebhookReceiver() as receiver:
        _, made = await client.post("/api/webhooks/secret/rotate")
        body = {"model": "openai/text-5", "messages": [{"role": "user", "content": "hi"}]}
        headers = {"X_Headrace_Callback_URL": receiver.url("/cb"), "X_Headrace_Callback_Events": "job.succeeded"}
        status, _ = await client.post("/v1/chat/completions", body, **headers)
        assert 200 == status
        (message,) = await receiver.until(1)
    Webhook(made["secret"]).verify(message.body, message.headers)
    assert "job.succeeded" == message.json["type"]


async def test_a_deliverer_that_is_stopped_gives_back_what_it_was_sending(
    fragile: Fragile, deliverer: System, tenant: TestTenant
) -> None:
    sql = "SELECT state, tries, lease_owner FROM webhook_deliveries WHERE tenant_id = %s"
    async with Client(deliverer.url, tenant.headers) as client, WebhookReceiver() as receiver:
        await have_endpoint(client, receiver, "job.*")
        receiver.hold = asyncio.Event()
        await client.submit("text-5")
        await receiver.until(1)
        await deliverer.stop("default")
        stopped = rows(fragile[0].database_url, sql, tenant.id)
        deliverer.start("default")
        first, second = await receiver.until(2)
        receiver.hold.set()
    assert [("pending", 0, None)] == [tuple(row.values()) for row in stopped]
    assert first.id == second.id
