"""Each check of the watchdog fails for real, in a running system, and recovers: it is told once, healed as said, and its return
is told once. Postgres and Redis: `test_watchdog.py`; certificates: `tests/workers/health/test_certificates.py`.

Some minutes in which little happens, so only with HEADRACE_TESTS=full; without, the checks are tested one by one
(`tests/workers/health`), and two outages in a running system.
"""

import asyncio
import contextlib
import os
import signal
import subprocess
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from api.local.stores.local_stores import Stores, open_stores
from schema.installation.migrate import migrate
from tests.chaos.proxy import Proxy
from tests.conftest import TestTenant, make_tenant
from tests.counterparts.webhook_receiver import WebhookReceiver
from tests.journeys.client import Client
from tests.journeys.conftest import running
from tests.journeys.operations.telling import Change, Telling, settings_of, watch_anew
from tests.system import ModelProcess, System
from tests.waiting import wait_for

pytestmark = pytest.mark.skipif(os.environ.get("HEADRACE_TESTS") != "full", reason="needs HEADRACE_TESTS=full")

LIBFAKETIME = Path("/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1")
PRESSING = {
    "HEADRACE_ALERT_DISK_PERCENT": "0.001",
    "HEADRACE_ALERT_MEMORY_PERCENT": "0.001",
    "HEADRACE_ALERT_RESPONSE_S": "0.000001",
}
FAILURES = 3


class Watched:
    """A system whose parts may be broken, with its stores and its vendor of models."""

    def __init__(self, stores: Stores, system: System, vendor: ModelProcess, small_disk: Path | None) -> None:
        self.system, self.vendor, self.small_disk = system, vendor, small_disk
        self.url, self.redis_url = stores.database_url, stores.redis_url

    def telling(self) -> Telling:
        return Telling(self.system, self.url)


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    folder = tmp_path_factory.mktemp("watched")
    with contextlib.ExitStack() as stack:
        small_disk = stack.enter_context(mounted(folder / "files"))
        stores = stack.enter_context(open_stores(tmp_path_factory.mktemp("watched-stores"), durable=False))
        migrate(stores.database_url)
        vendor = stack.enter_context(ModelProcess(folder))
        system = System(
            stores.database_url,
            stores.redis_url,
            folder=folder,
            model_url=vendor.base_url,
            roles=("api", "chat", "default", "scheduler"),
            settings={"HEADRACE_EMBEDDER": "openai/small", "HEADRACE_ALERT_WAIT_S": "4"},
        )
        yield Watched(stores, stack.enter_context(running(system)), vendor, small_disk)


@contextlib.contextmanager
def mounted(folder: Path) -> Iterator[Path | None]:
    """The folder as a file system of one megabyte; None where that is not allowed."""
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=1m", "none", str(folder)]
    if subprocess.run(command, check=False, capture_output=True).returncode:
        yield None
        return
    (folder / "ballast").write_bytes(bytes(100_000))  # an empty one has nothing in use
    yield folder
    subprocess.run(["umount", "--lazy", folder], check=True)


@pytest.fixture(autouse=True)
async def whole(watched: Watched) -> AsyncIterator[None]:
    """After each test those run that should, and nobody else."""
    yield
    system = watched.system
    for name in set(system.processes) - set(system.roles):
        system.kill(name)
        del system.processes[name]
    for name in system.roles:
        system.kill(name, signal.SIGCONT)
        if system.processes[name].poll() is not None:
            system.start(name)
            await system.ready(name)


@pytest.fixture
def tenant(watched: Watched) -> TestTenant:
    return make_tenant(watched.url, role="owner")


@pytest.fixture
async def client(watched: Watched, tenant: TestTenant) -> AsyncIterator[Client]:
    async with Client(watched.system.url, tenant.headers) as opened:
        yield opened


async def told(telling: Telling, part: str, *wanted: Change) -> None:
    """Wait until a part is up again; it must have been told to be this, once, before."""
    await telling.until(part, "up")
    assert [*wanted, ("up", None)] == telling.changes(part)


async def test_a_worker_without_ears_is_told_and_starts_again_and_so_are_jobs_that_wait(
    watched: Watched, client: Client
) -> None:
    """Its connection to the broker stays open and brings nothing."""
    system, url = watched.system, urlsplit(watched.redis_url)
    async with Proxy(url.port or 6379) as proxy:
        through = url._replace(netloc=f":{url.password}@127.0.0.1:{proxy.port}").geturl()
        await system.stop("chat")
        with settings_of(system, {"HEADRACE_REDIS_URL": through}):
            system.start("chat2")
        await system.ready("chat2")
        await client.ended((await client.submit("text-5"))["job_id"])
        telling = watched.telling()
        proxy.deafen = lambda data: b"BRPOP" in data
        jobs = [(await client.submit("text-5"))["job_id"] for _ in range(3)]
        await telling.until("workers", "degraded")
        await telling.until("queues", "degraded")
        await asyncio.to_thread(system.processes["chat2"].wait)
        assert "consumer_stalled" in system.log("chat2")
        system.start("chat")
        await system.ready("chat")
    assert ["succeeded"] * 3 == [(await client.ended(job))["state"] for job in jobs]
    await told(telling, "workers", ("degraded", "A worker hears no doorbells (chat)."))
    ((_, waited), _) = telling.changes("queues")
    assert (waited or "").startswith("chat jobs have waited for a worker for")
    await telling.until("queues", "up")
    await telling.until_done("worker.restarted", "chat@")
    await telling.until_done("jobs.requeued", "unanswered")


async def test_an_event_loop_that_is_held_up_is_told(watched: Watched) -> None:
    telling, worker = watched.telling(), watched.system.processes["default"]
    while not telling.changes("event_loops"):
        worker.send_signal(signal.SIGSTOP)
        await asyncio.sleep(3)  # how late its loop becomes, which is still not silence
        worker.send_signal(signal.SIGCONT)
        await asyncio.sleep(0.5)  # in which it reports
    await told(telling, "event_loops", ("degraded", "An event loop is late by more than 1 s (default)."))


@pytest.mark.skipif(not LIBFAKETIME.exists(), reason="libfaketime is not installed (Debian: apt-get install faketime)")
async def test_a_clock_that_is_bent_is_told(watched: Watched, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    system, clock = watched.system, tmp_path / "clock"
    clock.write_text("+0")
    faked = {"LD_PRELOAD": str(LIBFAKETIME), "FAKETIME_TIMESTAMP_FILE": str(clock), "FAKETIME_CACHE_DURATION": "1"}
    monkeypatch.setattr(system, "fork_servers", None)  # a library is preloaded when a process begins
    with settings_of(system, {**faked, "FAKETIME_DONT_FAKE_MONOTONIC": "1"}):
        system.start("default2")
    await system.ready("default2")
    telling = watched.telling()
    clock.write_text("+30")
    await telling.until("clocks", "degraded")
    clock.write_text("+0")
    await told(telling, "clocks", ("degraded", "Clocks differ by 30 s: that of default and Redis'."))


async def test_a_storage_that_fills_up_is_told(watched: Watched) -> None:
    if watched.small_disk is None:
        pytest.skip("needs the right to mount")
    telling, filler = watched.telling(), watched.small_disk / "filler"
    with contextlib.suppress(OSError):
        filler.write_bytes(bytes(2**21))
    for part in ("storage", "disk"):
        await telling.until(part, "down")
    filler.unlink()
    await told(telling, "storage", ("down", "It failed: No space left on device."))
    await told(telling, "disk", ("down", "The disk is full."))


async def test_pressure_above_the_settings_is_told_and_so_is_its_end(watched: Watched, client: Client) -> None:
    """By a scheduler for which everything is too much, and by the next one."""
    telling = watched.telling()
    await watch_anew(watched.system, watched.url, **PRESSING)
    for _ in range(25):
        await client.get("/api/jobs")
    for part in ("disk", "memory", "responses"):
        await telling.until(part, "degraded")
    await watch_anew(watched.system, watched.url)
    for part, words in (("disk", "of the disk"), ("memory", "of the memory"), ("responses", "Reads take")):
        await telling.until(part, "up")
        ((status, error), up) = telling.changes(part)
        assert ("degraded", True, ("up", None)) == (status, words in (error or ""), up)


async def test_a_vendor_that_fails_is_told_taken_out_and_put_back(watched: Watched, client: Client) -> None:
    telling = watched.telling()
    for _ in range(FAILURES):
        await client.ended((await client.submit("refuse-500"))["job_id"])
    await telling.until("provider/openai", "down")
    await telling.until_done("provider.taken_out", "provider:openai")

    async def works() -> bool:
        return "succeeded" == (await client.ended((await client.submit("text-5"))["job_id"]))["state"]

    await wait_for(works, "its breaker lets a call through")
    await telling.until_done("provider.put_back", "provider:openai")
    await telling.until("provider/openai", "up")
    states = [status for status, _ in telling.changes("provider/openai")]
    assert states in (["down", "up"], ["down", "degraded", "up"]), "half of the calls of its last minute have failed"


async def test_an_embedder_whose_vendor_is_away_is_told(watched: Watched, client: Client) -> None:
    async def embed() -> int:
        body = {"model": "openai/small", "input": "A text."}
        return (await client.post("/v1/embeddings", body))[0]

    assert 200 == await embed()
    telling = watched.telling()
    watched.vendor.__exit__()
    try:
        for _ in range(FAILURES):
            assert 200 != await embed()
        await telling.until("embedder", "down")
    finally:
        watched.vendor.__enter__()
    assert 200 == await embed()
    await telling.until("embedder", "up")
    (down, *_, _) = telling.changes("embedder")
    assert ("down", True) == (down[0], (down[1] or "").startswith("The last 3 calls failed"))


async def test_webhooks_that_nobody_delivers_or_takes_are_told(watched: Watched, client: Client) -> None:
    async with WebhookReceiver() as receiver:
        made = [
            (await client.post("/api/webhooks", {"url": receiver.url("/status/500"), "events": ["job.*"]}))[1]["id"]
            for _ in range(2)
        ]
        telling = watched.telling()
        await watched.system.stop("default")
        await client.ended((await client.submit("text-5"))["job_id"])
        await telling.until("webhooks", "down")
        watched.system.start("default")
        await told(telling, "webhooks", ("down", "Webhooks are due, and no worker delivers them."))
        telling = watched.telling()
        await telling.until("webhooks", "degraded")
        for endpoint in made:
            async with client.http.patch(f"/api/webhooks/{endpoint}", json={"url": receiver.url()}) as answer:
                assert 200 == answer.status
            assert 202 == (await client.post(f"/api/webhooks/{endpoint}/test"))[0]
        await told(telling, "webhooks", ("degraded", "2 of 2 endpoints keep failing."))
