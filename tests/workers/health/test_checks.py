"""Each check of the watchdog is made to fail: by real stores, rows and reports of processes."""

import asyncio
import os
import subprocess
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import psycopg
import pytest
import redis as redis_package

from graphs.agents.contract import AgentSpec
from graphs.providers.calls.log import CALLS, noted_embedding
from graphs.providers.calls.metrics import measured_call
from graphs.providers.contract import ModelRequest
from graphs.providers.errors import ProviderOverloaded, ProviderRefused
from graphs.providers.settings import ProviderSettings
from schema import redis_names
from schema.metrics.figures import FIGURES
from schema.model_catalog.catalog import Catalog, Model
from schema.postgres.connections import pool_for
from schema.vault import PLATFORM
from tests.conftest import TestTenant
from tests.counterparts.ollama_server import OllamaServer
from tests.secret import VAULT
from tests.workers.health.test_backlog import add_job
from tests.workers.jobs import change, rows, worker_context
from tests.workers.webhooks.hooks import have_endpoint
from workers.agents.models import Models
from workers.context import WorkerContext
from workers.figures import write_figures
from workers.health import stores
from workers.health.checks import Finding, NoData, NoWorkers, PartDown, describe_failure
from workers.health.processes import ProcessChecks
from workers.health.reports import ProcessReport, QueueReport
from workers.health.settings import HealthSettings
from workers.health.stores import find_disk, find_memory
from workers.queue.job_core import JobCore
from workers.queue.leases import owner_name
from workers.scheduler import Scheduler
from workers.settings import WorkerSettings
from workers.storage.disk import DiskStorage
from workers.storage.settings import StorageSettings

CALL = ModelRequest(model="m", messages=())
OPENAI = ProviderSettings.from_env({"OPENAI_API_KEY": "sk-1", "OPENAI_BASE_URL": "http://127.0.0.1:1/v1"})


@pytest.fixture
async def scheduler(database_url: str, redis_url: str, tmp_path: Path) -> AsyncIterator[Scheduler]:
    """A scheduler that does nothing by itself, over an empty Redis."""
    CALLS.forget()
    with redis_package.Redis.from_url(redis_url) as store:
        store.flushdb()
    storage = StorageSettings(folder=tmp_path / "files")
    settings = WorkerSettings(database_url, redis_url, vault=VAULT, providers=OPENAI, storage=storage)
    async with Scheduler(settings) as opened:
        yield opened


@pytest.fixture
def redis(redis_url: str) -> Iterator[redis_package.Redis]:
    with redis_package.Redis.from_url(redis_url) as client:
        yield client


def moment(*, ago_s: float) -> datetime:
    return datetime.now(UTC) - timedelta(seconds=ago_s)


async def find(scheduler: Scheduler, part: str) -> Finding:
    return await scheduler.parts[part].check() or Finding()


async def why_down(scheduler: Scheduler, part: str) -> str:
    try:
        found = await scheduler.parts[part].check()
    except PartDown as down:
        return describe_failure(down)
    raise AssertionError(f"{part} works: {found}")


def report(redis: redis_package.Redis, queue: str | None = "chat", *, ago_s: float = 0.0, **changes: Any) -> str:
    """Say something of a process as it would itself; return its name."""
    own = None if queue is None else QueueReport(queue, 10, 0, changes.pop("silent_s", 0.0))
    owner = changes.pop("owner", f"{queue or 'api'}@elsewhere-00000000/{changes.pop('pid', 1)}/1")
    seconds, micros = redis.time()  # type: ignore[misc]
    about = {"role": queue or "api", "at": seconds + micros / 1e6 - ago_s, "ahead_s": 0.0, "lag_s": 0.0} | changes
    redis.hset(redis_names.PROCESSES, owner, msgspec.json.encode(ProcessReport(owner=owner, queue=own, **about)))
    return owner


async def test_with_a_worker_all_parts_work_and_say_what_they_found(
    scheduler: Scheduler, database_url: str, redis_url: str
) -> None:
    async with worker_context(database_url, redis_url):
        await scheduler.backlog.measure()

        async def found(part: str) -> tuple[str | None, set[str]]:
            try:
                finding = await find(scheduler, part)
            except NoData:
                return None, set()
            return finding.trouble, set(finding.detail)

        findings = {part: await found(part) for part in scheduler.parts}
    pressing = {"disk", "memory"}  # this machine's own
    assert {} == {part: trouble for part, (trouble, _) in findings.items() if trouble and part not in pressing}
    details = {part: figures for part, (_, figures) in findings.items()}
    assert {"connections", "longest_transaction_s", "oldest_xid_age", "inactive_slots"} <= details["postgres"]
    assert {"memory_bytes", "evicted_keys"} <= details["redis"]
    assert {"processes", "chat", "chat_running"} <= details["workers"]
    assert {"chat_lag_ms", "scheduler_lag_ms"} <= details["event_loops"]
    assert {"chat_waiting", "chat_oldest_s", "chat_growth_per_minute"} <= details["queues"]
    assert {"postgres_ahead_ms", "chat_ahead_ms"} <= details["clocks"]
    assert {"free_bytes"} <= details["disk"]
    assert "provider/openai" in findings


async def test_a_postgres_that_is_held_up_is_degraded(
    scheduler: Scheduler, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stores, "LONG_TRANSACTION_S", 0.0)
    with psycopg.connect(database_url) as db:
        db.execute("SELECT 1")
        assert "hinders the vacuum" in ((await find(scheduler, "postgres")).trouble or "")
    with psycopg.connect(database_url, autocommit=True) as db:
        db.execute("SELECT pg_create_physical_replication_slot('left_behind', true)")
        try:
            found = await find(scheduler, "postgres")
            monkeypatch.setattr(stores, "RETAINED_WAL", -1)
            monkeypatch.setattr(stores, "LONG_TRANSACTION_S", 1e9)
            assert "A replication slot keeps" in ((await find(scheduler, "postgres")).trouble or "")
        finally:
            db.execute("SELECT pg_drop_replication_slot('left_behind')")
    assert 1 == found.detail["inactive_slots"]
    monkeypatch.setattr(stores, "FULL", 0.0)
    assert "connections are taken" in ((await find(scheduler, "postgres")).trouble or "")


async def test_a_redis_that_is_nearly_full_or_evicts_is_degraded(
    scheduler: Scheduler, redis: redis_package.Redis
) -> None:
    policy = str(redis.config_get("maxmemory-policy")["maxmemory-policy"])  # type: ignore[index]
    await find(scheduler, "redis")
    try:
        redis.config_set("maxmemory", int(redis.info("memory")["used_memory"] * 1.05))  # type: ignore[index]
        assert "of its memory is in use" in ((await find(scheduler, "redis")).trouble or "")
        redis.config_set("maxmemory-policy", "allkeys-lru")
        for number in range(200):
            redis.set(f"filler:{number}", b"x" * 10_000)
        assert "It evicts keys" in ((await find(scheduler, "redis")).trouble or "")
    finally:
        redis.config_set("maxmemory", 0)
        redis.config_set("maxmemory-policy", policy)


async def test_a_storage_that_gives_back_something_else_is_down(
    scheduler: Scheduler, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def wrong(*_: object) -> AsyncIterator[bytes]:
        yield b"something else"

    monkeypatch.setattr(DiskStorage, "read", wrong)
    assert "What is read from it is not what was stored." == await why_down(scheduler, "storage")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of one megabyte."""
    folder = tmp_path / "small"
    folder.mkdir()
    if os.getuid() or subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "none", folder], check=False).returncode:
        pytest.skip("file systems can't be mounted here")
    yield folder
    subprocess.run(["umount", folder], check=True)


async def test_a_disk_that_fills_up_is_degraded_and_then_down(scheduler: Scheduler, small_disk: Path) -> None:
    settings = scheduler.settings.health
    assert (await find_disk(small_disk / "not" / "there", settings)).trouble is None
    (small_disk / "file").write_bytes(bytes(960 * 1024))
    assert "of the disk is in use" in ((await find_disk(small_disk, settings)).trouble or "")
    with pytest.raises(OSError, match="No space left"):
        (small_disk / "file").write_bytes(bytes(2 * 1024 * 1024))
    with pytest.raises(PartDown):
        await find_disk(small_disk, settings)


async def test_memory_above_the_setting_is_pressure(scheduler: Scheduler) -> None:
    settings = scheduler.settings.health
    assert "of the memory is in use" in ((await find_memory(replace(settings, memory_percent=0.1))).trouble or "")
    assert (await find_memory(replace(settings, memory_percent=100.1))).trouble is None


async def test_workers_that_are_silent_dead_or_deaf_are_told_apart(
    core: JobCore, scheduler: Scheduler, redis: redis_package.Redis, database_url: str, tenant: TestTenant
) -> None:
    with pytest.raises(NoData):
        await find(scheduler, "workers")  # they may be starting
    async with pool_for(database_url, "headrace_system", max_size=1) as pool:
        checks = ProcessChecks(core.redis, pool, HealthSettings(), after_s=10, starting_s=0)
        with pytest.raises(NoWorkers):
            await checks.find_workers()
    report(redis)
    silent = report(redis, ago_s=20, pid=2)
    dead = report(redis, ago_s=20, owner=owner_name("chat").rpartition("/")[0] + "/gone")
    found = await find(scheduler, "workers")
    assert ("A worker has said nothing for seconds (chat).", 1) == (found.trouble, found.detail["silent"])
    assert 20 <= found.lasted_s < 80
    assert not redis.hexists(redis_names.PROCESSES, dead), "it was seen to be dead, and another serves its queue"
    redis.hdel(redis_names.PROCESSES, silent)
    report(redis, "ingestion", ago_s=3600)
    assert "No worker serves the queue ingestion." == await why_down(scheduler, "workers")
    redis.delete(redis_names.PROCESSES)
    report(redis, silent_s=30)
    assert "A worker hears no doorbells" not in ((await find(scheduler, "workers")).trouble or "")
    add_job(database_url, tenant, "chat", "dispatched", ago_s=30, dispatched_at=moment(ago_s=20), dispatch_seq=1)
    assert "A worker hears no doorbells (chat)." == (await find(scheduler, "workers")).trouble
    redis.delete(redis_names.PROCESSES)
    report(redis, "default")
    assert "No worker serves the queue chat." == await why_down(scheduler, "workers")
    change(database_url, "DELETE FROM jobs")


async def test_a_loop_that_stands_still_is_late(scheduler: Scheduler, database_url: str, redis_url: str) -> None:
    async with worker_context(database_url, redis_url):
        assert (await find(scheduler, "event_loops")).trouble is None
        await asyncio.sleep(0.1)
        time.sleep(2.5)  # noqa: ASYNC251 -- the loop is blocked on purpose

        async def late() -> bool:
            return "An event loop is late" in ((await find(scheduler, "event_loops")).trouble or "")

        async with asyncio.timeout(60):
            while not await late():
                await asyncio.sleep(0.05)


async def test_clocks_that_are_apart_are_named(scheduler: Scheduler, redis: redis_package.Redis) -> None:
    report(redis, ahead_s=-7.0)
    assert "Clocks differ by 7 s: that of chat and Redis'." == (await find(scheduler, "clocks")).trouble


async def test_jobs_that_wait_for_workers_are_late_and_those_that_wait_for_their_cap_are_not(
    scheduler: Scheduler, database_url: str, tenant: TestTenant
) -> None:
    add_job(database_url, tenant, "chat", "queued", ago_s=900)
    await scheduler.backlog.measure()
    found = await find(scheduler, "queues")
    assert (None, 1) == (found.trouble, found.detail["chat_waiting"])
    assert 800 < found.detail["chat_oldest_s"]
    add_job(database_url, tenant, "chat", "dispatched", ago_s=95, dispatched_at=moment(ago_s=5), dispatch_seq=10)
    assert "chat jobs have waited for a worker for 95 s." == (await find(scheduler, "queues")).trouble
    change(database_url, "DELETE FROM jobs")


async def test_webhooks_that_nobody_delivers_and_receivers_that_fail(
    core: JobCore, scheduler: Scheduler, redis: redis_package.Redis, database_url: str, tenant: TestTenant
) -> None:
    for _ in range(2):
        await have_endpoint(core, tenant, "http://127.0.0.1:9/hook", events=["*"])
    assert (None, 2) == ((found := await find(scheduler, "webhooks")).trouble, found.detail["endpoints"])
    change(database_url, "UPDATE webhook_endpoints SET failing_since = now() - interval '2 minutes'")
    assert "2 of 2 endpoints keep failing." == (await find(scheduler, "webhooks")).trouble
    change(database_url, "SELECT set_config('headrace.tenant_id', %s, true)", str(tenant.id))
    change(
        database_url,
        "INSERT INTO webhook_deliveries (tenant_id, id, event_id, callback, lane, type, sequence, data, next_at) VALUES "
        "(%s, uuidv7(), uuidv7(), '{}', 'x', 'job.succeeded', 1, '{}', now() - interval '40 s')",
        tenant.id,
    )
    assert "Webhooks are due, and no worker delivers them." == await why_down(scheduler, "webhooks")
    report(redis, "default")
    assert "2 of 2 endpoints keep failing." == (await find(scheduler, "webhooks")).trouble
    for table in ("webhook_deliveries", "webhook_endpoints"):
        change(database_url, f"DELETE FROM {table}")


async def test_reads_that_take_long_are_pressure(scheduler: Scheduler, core: JobCore, database_url: str) -> None:
    FIGURES.take()
    with pytest.raises(NoData):
        await find(scheduler, "responses")
    for seconds in (0.1, 2.5):
        for _ in range(30):
            FIGURES.note_route("GET", "/api/jobs", seconds, failed=False)
            FIGURES.note_route("POST", "/api/chat", 40.0, failed=False)
    await write_figures(core.pool)
    found = await find(scheduler, "responses")
    assert (60, True) == (found.detail["reads"], (found.trouble or "").startswith("Reads take 2."))
    change(database_url, "DELETE FROM performance_counts")


TWO = ProviderSettings.from_env({"OPENAI_API_KEY": "sk-1", "ANTHROPIC_API_KEY": "sk-2"})


async def chain(worker: WorkerContext) -> list[str]:
    """The models of an agent that has two, as a job tries them."""
    configuration: Any = SimpleNamespace(may_use_model=lambda _: True)
    named = ("openai/gpt-4o", "anthropic/claude-3-5-haiku")
    known = [Model(name=name, tools=True, images=True, context_tokens=9000) for name in named]
    models = Models(
        worker.agents.models, PLATFORM, configuration, [], catalog=Catalog(known), default=named[0], asked_for=False
    )
    return [one.full_name for one in await models.chain(AgentSpec(name="a", models=named))]


async def fail_calls(number: int, *, own_key: bool = False, error: Exception | None = None) -> None:
    for _ in range(number):
        with pytest.raises(type(error or ProviderOverloaded(""))), measured_call("openai", CALL, own_key=own_key):
            raise error or ProviderOverloaded("x")


async def test_a_vendor_that_fails_is_taken_out_and_put_back_when_a_call_succeeds(
    scheduler: Scheduler, database_url: str, redis_url: str
) -> None:
    change(database_url, "DELETE FROM audit_log WHERE tenant_id = %s", PLATFORM)
    async with worker_context(database_url, redis_url, providers=TWO) as worker:
        reporter, breakers = worker.reporter, worker.agents.models.breakers
        assert ["openai/gpt-4o", "anthropic/claude-3-5-haiku"] == await chain(worker)
        with pytest.raises(NoData):
            await find(scheduler, "provider/openai")
        await fail_calls(9, own_key=True)
        await fail_calls(9, error=ProviderRefused("the request is wrong"))
        await reporter.report()
        with pytest.raises(NoData):
            await find(scheduler, "provider/openai")
        await fail_calls(5)
        for _ in range(5):
            call = breakers.acquire("/openai")
            assert call is not None
            call.failed(ProviderOverloaded("x"))
        await reporter.report()
        assert "The last 5 calls failed (provider_overloaded)." == await why_down(scheduler, "provider/openai")
        await scheduler.service_watch.check_all()
        await reporter.report()
        assert {"openai"} == worker.agents.models.avoided()
        assert ["anthropic/claude-3-5-haiku", "openai/gpt-4o"] == await chain(worker)
        assert "open" == breakers.state("/openai")
        with measured_call("openai", CALL, own_key=False):
            pass
        await reporter.report()
        await scheduler.service_watch.check_all()
        await reporter.report()
        assert ["openai/gpt-4o", "anthropic/claude-3-5-haiku"] == await chain(worker)
        assert "closed" == breakers.state("/openai")
        found = await find(scheduler, "provider/openai")
    assert "5 of 6 calls in a minute failed (provider_overloaded)." == found.trouble
    audit = rows(database_url, "SELECT action, target, actor FROM audit_log WHERE tenant_id = %s ORDER BY at", PLATFORM)
    assert [
        ("provider.taken_out", "provider:openai", "system"),
        ("provider.put_back", "provider:openai", "system"),
    ] == [(entry["action"], entry["target"], entry["actor"]) for entry in audit]


async def test_ollama_is_asked_for_its_list(database_url: str, redis_url: str, tmp_path: Path) -> None:
    async with OllamaServer() as server:
        providers = ProviderSettings.from_env({"OLLAMA_HOST": server.url})
        storage = StorageSettings(folder=tmp_path)
        settings = WorkerSettings(database_url, redis_url, vault=VAULT, providers=providers, storage=storage)
        async with Scheduler(settings) as scheduler:
            assert (await find(scheduler, "provider/ollama")).trouble is None
            await server.stop()
            assert "It doesn't list its models" in await why_down(scheduler, "provider/ollama")


async def test_an_embedder_that_fails_is_down(scheduler: Scheduler, redis: redis_package.Redis) -> None:
    report(redis)
    assert (await find(scheduler, "embedder")).trouble is None
    for _ in range(3):
        with pytest.raises(OSError, match="damaged"), noted_embedding():
            raise OSError("the weights are damaged")
    report(redis, calls=CALLS.recent())
    assert "The last 3 calls failed (embedder_failed)." == await why_down(scheduler, "embedder")


async def test_a_lost_subscription_is_renewed(
    scheduler: Scheduler, redis: redis_package.Redis, database_url: str
) -> None:
    change(database_url, "DELETE FROM audit_log WHERE tenant_id = %s", PLATFORM)
    scheduler.hub._subscriber.unsubscribe(
        scheduler.hub.inbox
    )  # Redis forgets it, and the process believes to be subscribed
    async with asyncio.timeout(60):
        while scheduler.hub.inbox.encode() in redis.pubsub_channels():
            await asyncio.sleep(0.02)
    scheduler.hub._subscriber._channels[scheduler.hub.inbox] = asyncio.Event()
    for _ in range(2):
        assert "This process does not receive what is published to it." == await why_down(scheduler, "redis")
    async with asyncio.timeout(60):
        while scheduler.hub.inbox.encode() not in redis.pubsub_channels():
            await asyncio.sleep(0.02)
    assert (await find(scheduler, "redis")).trouble is None
    assert ["subscription.renewed"] == [
        row["action"] for row in rows(database_url, "SELECT action FROM audit_log WHERE tenant_id = %s", PLATFORM)
    ]
