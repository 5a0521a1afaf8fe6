"""The watchdog of a running system: what happens to processes and stores is noticed, told once, and so is its end."""

import signal
from collections.abc import AsyncIterator

import pytest

from api.local.stores.local_stores import Stores
from tests.conftest import make_tenant
from tests.counterparts.webhook_receiver import WebhookReceiver
from tests.journeys.client import Client
from tests.journeys.operations.scraping import admin_headers
from tests.journeys.operations.telling import Telling, watch_anew
from tests.system import System
from tests.workers.jobs import rows

Fragile = tuple[Stores, System]
TOLD = [("service.down", "down"), ("service.recovered", "up")]


async def test_a_worker_that_stands_still_is_told_once_and_so_is_its_return(
    system: System, client: Client, shared_url: str
) -> None:
    await watch_anew(system, shared_url)
    telling = Telling(system, shared_url)
    worker = system.processes["chat"]
    worker.send_signal(signal.SIGSTOP)
    try:
        await telling.until("workers", "down")
    finally:
        worker.send_signal(signal.SIGCONT)
    await telling.until("workers", "up")
    (down, up) = telling.changes("workers")
    assert down[1] in ("No worker is running.", "No worker serves the queue chat.")
    assert (("down", down[1]), ("up", None)) == (down, up)
    (part,) = rows(shared_url, "SELECT status, error, works_since FROM service_parts WHERE part = 'workers'")
    assert ("up", down[1], None) == (part["status"], part["error"], part["works_since"])
    history = rows(shared_url, "SELECT status FROM service_checks WHERE part = 'workers' ORDER BY at DESC LIMIT 2")
    assert ["up", "down"] == [row["status"] for row in history]
    async with await client.ask("text-5-at-60") as stream:
        await stream.rest()


@pytest.fixture
async def mended(fragile: Fragile) -> AsyncIterator[Fragile]:
    """A system with stores of its own that run again after the test, and a worker that delivers webhooks."""
    stores, system = fragile
    system.start("default")
    await system.ready("default")
    yield fragile
    assert stores.postgres is not None
    assert stores.valkey is not None
    stores.postgres.start()
    stores.valkey.start()
    system.kill("default")
    del system.processes["default"]


async def test_outages_of_the_stores_are_told_once_to_all_who_asked_and_so_are_their_ends(mended: Fragile) -> None:
    """Redis goes, and Postgres as it comes back: nothing but the log can be told of then."""
    stores, system = mended
    tenant = make_tenant(stores.database_url, role="owner")
    await watch_anew(system, stores.database_url)
    async with WebhookReceiver() as receiver, Client(system.url, tenant.headers) as client:
        hook = {"url": receiver.url(), "events": ["service.*"]}
        assert 201 == (await client.post("/api/webhooks", hook))[0]
        telling = Telling(system, stores.database_url, receiver)
        stores.valkey.kill()
        await telling.until("redis", "down")
        await telling.until_sent("redis", TOLD[0])
        stores.valkey.start()
        stores.postgres.kill()
        await telling.until("postgres", "down")
        assert [TOLD[0]] == telling.sent("redis") + telling.sent("postgres")
        stores.postgres.start()
        for store in ("redis", "postgres"):
            await telling.until(store, "up")
            await telling.until_sent(store, *TOLD)
            assert ["down", "up"] == [status for status, _ in telling.changes(store)]
            await telling.until_done("connections.renewed", store)
    async with Client(system.url, admin_headers(stores.database_url)) as admin:
        parts = (await admin.get("/health"))["parts"]
        history = (await admin.get("/api/admin/health/checks?part=postgres"))["items"]
        entries = (await admin.get("/api/admin/audit?action=connections.renewed"))["items"]
    for store in ("redis", "postgres"):
        assert ("up", True) == (parts[store]["status"], parts[store]["last_error_at"] < parts[store]["since"])
    assert {"postgres", "redis"} <= {entry["target"] for entry in entries}
    assert any(one["failed"] and one["error"] == parts["postgres"]["last_error"] for one in history)
