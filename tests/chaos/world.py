"""What the cases happen in: headrace with real stores under load, its processes started again when they die."""

import asyncio
import contextlib
import random
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID, uuid4

import aiohttp

from api.local.stores.local_stores import Stores, open_stores
from schema.installation.migrate import migrate
from tests.chaos.accounts import give_limit
from tests.chaos.oracle import one_line_each, words_of
from tests.conftest import TestTenant, make_tenant
from tests.journeys.client import TERMINAL_EVENTS, Client, ReceivedEvent, assert_complete
from tests.journeys.conftest import keep_commits
from tests.system import ROOT, ModelProcess, System
from tests.variants import varied
from tests.waiting import wait_for
from workers.queue.doorbell import Doorbell, ring
from workers.queue.job_core import open_bells
from workers.redis.address import RedisAddress
from workers.redis.client import RedisClient

ROLES = ("api", "api2", "chat", "chat2", "scheduler")
SETTINGS = {"HEADRACE_MODEL_FIRST_TOKEN_S": "5", "HEADRACE_MODEL_BETWEEN_TOKENS_S": "12", "HEADRACE_SLOW_CLIENT_S": "2"}
SAYING = "Tell me, and say no word of it to the log."
CONCURRENCY = 12
RETRY_S = 0.1
ACCEPT_TIMEOUT_S = 600.0
SILENCE_S = 300.0
"""How long a reader waits for the next event."""
CONNECTION_ERRORS = (aiohttp.ClientError, TimeoutError, OSError)


@dataclass
class ReaderResult:
    """What a reader was told, over however many connections."""

    job_id: str
    events: list[ReceivedEvent]
    resumed: int
    model: str = ""
    came_at: list[float] = field(default_factory=list)
    """When each of the events came, on the loop's clock."""

    @property
    def ended(self) -> bool:
        """Whether its last event ends a job."""
        return bool(self.events) and self.events[-1].type in TERMINAL_EVENTS


@dataclass
class Load:
    """What was asked in one case: accepted job ids by idempotency key, and what the readers saw."""

    tenant: TestTenant
    keys: dict[str, UUID] = field(default_factory=dict)
    readers: list[ReaderResult] = field(default_factory=list)
    refused: int = 0
    guilty: set[UUID] = field(default_factory=set)
    accepted_s: list[float] = field(default_factory=list)


Asked = tuple[str, dict[str, Any], dict[str, str]]
"""A request that is accepted as a job: its path, body and headers."""
Ask = Callable[[str, str], Asked]
"""Asks a model something."""


def in_a_session(model: str, message: str) -> Asked:
    """A chat that runs in the background."""
    return "/api/chat", {"message": message, "model": model}, {"Prefer": "respond-async"}


class World:
    """A running headrace to break. `faults` counts what was broken in the present case; `notes` are what it measured."""

    def __init__(self, stores: Stores, system: System, model: ModelProcess, rng: random.Random) -> None:
        self.stores, self.system, self.model, self.rng = stores, system, model, rng
        self.faults = 0
        self.notes: list[str] = []
        self.apis: tuple[str, ...] = tuple(name for name in system.processes if name.startswith("api"))
        self.died: list[str] = []
        self.frozen: set[str] = set()
        self._wanted = set(system.processes)
        self._expected: set[int] = set()

    # -- breaking

    def kill(self, name: str, number: int = signal.SIGKILL) -> None:
        """Send a signal to a process that runs; the supervisor starts it again when it has ended."""
        self.faults += 1
        process = self.system.processes[name]
        if process.poll() is None:
            self._expected.add(process.pid)
            self.system.kill(name, number)

    async def add(self, name: str, **env: str) -> None:
        """Start one more process, with settings of its own, and wait until it works."""
        before = dict(self.system.env)
        self.system.env.update(env)
        self.system.start(name)
        self.system.env.clear()
        self.system.env.update(before)
        await self.system.ready(name)

    def keep(self, name: str) -> None:
        """Start a process again from now on whenever it has ended."""
        self._wanted.add(name)

    async def remove(self, name: str) -> None:
        """Stop a process for good."""
        self._wanted.discard(name)
        if self.system.processes[name].poll() is None:
            await self.system.stop(name)
        del self.system.processes[name]

    async def supervise(self) -> None:
        """Start again what has ended, as a supervisor does; remember what ended by itself."""
        while True:
            for name in tuple(self._wanted):
                process = self.system.processes[name]
                if process.poll() is not None:
                    if process.pid not in self._expected:
                        self.died.append(f"{name} ended by itself with status {process.returncode}")
                    self.system.start(name)
            await asyncio.sleep(0.05)

    async def pause(self, least_s: float, most_s: float) -> None:
        """Let the system work for a random while."""
        await asyncio.sleep(self.rng.uniform(least_s, most_s))

    async def back(self, name: str) -> None:
        """Wait until a process that may have been killed works again."""
        await wait_for(lambda: self.system.processes[name].poll() is None, f"{name} was started again")
        await self.system.ready(name)

    async def all_ready(self) -> None:
        """Wait until every process works."""
        await asyncio.gather(*(self.back(name) for name in tuple(self._wanted)))

    async def ring(self, doorbells: Sequence[Doorbell]) -> None:
        """Ring doorbells of our own making, where the workers listen."""
        if not doorbells:
            return
        async with contextlib.AsyncExitStack() as opened:
            client = RedisClient(RedisAddress.from_url(self.stores.redis_url))
            opened.push_async_callback(client.close)
            bells = open_bells(self.system.env.get("HEADRACE_BROKER_URL"), client, opened)
            assert await ring(bells, doorbells), "the broker took no doorbells"

    # -- using

    def begin(self, **limits: int) -> Load:
        """A fresh tenant and its load."""
        tenant = make_tenant(self.stores.database_url, **{"max_running": 100, "max_queued": 100_000, **limits})
        give_limit(self.stores.database_url, tenant.id)
        return Load(tenant)

    def secrets_of(self, load: Load) -> dict[str, str]:
        """What must not be in any log: who asks, what is asked, and the passwords of the stores."""
        urls = {"Postgres": self.stores.database_url, "Redis": self.stores.redis_url}
        passwords = {f"the password of {name}": urlsplit(url).password or url for name, url in urls.items()}
        return {"the tenant's key": load.tenant.key, "a prompt": SAYING, **passwords}

    def client(self, load: Load) -> Client:
        """A client at one of the API processes."""
        return self.client_of(self.rng.choice([name for name in self.apis if name not in self.frozen]), load)

    def client_of(self, name: str, load: Load) -> Client:
        """A client at one API process."""
        return Client(self.system.url_of(name), load.tenant.headers)

    async def submit(
        self, load: Load, jobs: int, model: str = "text-20", *, saying: str = SAYING, ask: "Ask" = in_a_session
    ) -> None:
        """Have jobs accepted, each with a key, asking again and elsewhere for as long as it takes."""
        left = iter(range(jobs))

        async def work() -> None:
            async with contextlib.AsyncExitStack() as stack:
                clients: dict[str, Client] = {}
                for _ in left:
                    for api in set(self.apis) - clients.keys():
                        client = self.client_of(api, load)
                        clients[api] = await stack.enter_async_context(client)
                    await self._accepted(load, clients, ask(f"openai/{model}", f"{saying} {uuid4().hex}"))

        await asyncio.gather(*(work() for _ in range(min(CONCURRENCY, jobs))))

    async def _accepted(self, load: Load, clients: dict[str, Client], asked: "Asked") -> None:
        key, (path, body, headers) = uuid4().hex, asked
        give_up = time.monotonic() + ACCEPT_TIMEOUT_S
        while time.monotonic() < give_up:
            began = time.monotonic()
            with contextlib.suppress(*CONNECTION_ERRORS):
                async with asyncio.timeout(10):
                    client = clients[self.rng.choice([api for api in self.apis if api in clients] or list(clients))]
                    status, said = await client.post(path, body, Idempotency_Key=key, **headers)
                if status == 202:
                    load.keys[key] = UUID(said["job_id"])
                    load.accepted_s.append(time.monotonic() - began)
                    return
                load.refused += 1
            await asyncio.sleep(RETRY_S)
        raise AssertionError(f"no API process accepted a job for {ACCEPT_TIMEOUT_S:g} s")

    async def read(self, load: Load, readers: int, model: str = "text-40-at-50", *, over_s: float = 0.0) -> None:
        """Submit jobs within `over_s` and follow each to its end over as many connections as it takes."""

        async def one() -> None:
            await self.pause(0, over_s)
            mine = Load(load.tenant)
            await self.submit(mine, 1, model)
            load.keys |= mine.keys
            load.refused += mine.refused
            (job_id,) = mine.keys.values()
            result = await self.follow(load, str(job_id))
            result.model = model
            load.readers.append(result)

        await asyncio.gather(*(one() for _ in range(readers)))

    async def follow(self, load: Load, job_id: str) -> ReaderResult:
        """Follow a job through any API process, resuming where a connection broke, until it ends or nothing has come for
        too long."""
        told = ReaderResult(job_id, [], -1)
        clock = asyncio.get_running_loop().time
        give_up = clock() + SILENCE_S
        while not told.ended and clock() < give_up:
            told.resumed += 1
            try:
                last = told.events[-1].seq if told.events else None
                async with (
                    asyncio.timeout_at(give_up) as silence,
                    self.client(load) as client,
                    await client.follow(job_id, last_event_id=last) as stream,
                ):
                    async for event in stream:
                        told.events.append(event)
                        told.came_at.append(clock())
                        give_up = clock() + SILENCE_S
                        silence.reschedule(give_up)
            except (*CONNECTION_ERRORS, AssertionError):
                await asyncio.sleep(RETRY_S)
        return told


def reader_errors(load: Load) -> list[str]:
    """What is wrong with what the readers of succeeded jobs saw."""
    wrong: list[tuple[str, str]] = []
    for told in load.readers:
        if not told.ended:
            wrong.append((told.job_id, f"its reader heard nothing more for {SILENCE_S:g} s"))
        if not told.ended or told.events[-1].type != "job.succeeded":
            continue
        events = told.events
        # Numbers may begin anew when Redis forgot everything and the worker died too; then all but event 1 comes again. That
        # may happen more than once, and what came last counts.
        again = [n for n, event in enumerate(events) if n and event.seq == 2 and events[n - 1].seq >= 2]
        if again:
            events = [events[0], *events[again[-1] :]]
        try:
            assert assert_complete(events) == words_of(told.model)
        except (AssertionError, ValueError):
            wrong.append((told.job_id, f"its reader saw not what {told.model} says, or not once"))
    return one_line_each(wrong)


def migrate_with(code: Path, database_url: str) -> None:
    """Bring the database to the schema of the version that lies there."""
    if code == ROOT:
        migrate(database_url)
        return
    program = "from schema.installation.migrate import migrate; migrate(input())"
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, cwd=code, input=database_url, text=True, capture_output=True, check=False)
    assert done.returncode == 0, f"the older version could not migrate:\n{done.stderr[-2000:]}"


@contextlib.asynccontextmanager
async def open_world(
    folder: Path,
    rng: random.Random,
    *,
    durable: bool = False,
    variant: str | None = None,
    code: Path = ROOT,
    **settings: str,
) -> AsyncIterator[World]:
    """Start stores, a model, and all processes; stop them at the end. `variant` names other stores (`tests/variants.py`), and
    `code` is where the processes' code is."""
    with (
        open_stores(folder / "stores", durable=durable) as single,
        varied(variant, single, folder) as made,
        ModelProcess(folder) as model,
    ):
        stores = made.stores
        migrate_with(code, stores.database_url)
        keep_commits(stores.database_url)
        system = System(
            stores.database_url,
            stores.redis_url,
            folder=folder,
            model_url=model.base_url,
            roles=ROLES,
            settings={**SETTINGS, **made.settings(stores.database_url), **settings},
        )
        system.code = code
        async with system:
            world = World(stores, system, model, rng)
            async with supervised(world):
                yield world


@contextlib.asynccontextmanager
async def supervised(world: World) -> AsyncIterator[None]:
    """Within, processes of a world that end are started again."""
    supervisor = asyncio.ensure_future(world.supervise())
    try:
        yield
    finally:
        supervisor.cancel()
        await asyncio.gather(supervisor, return_exceptions=True)
