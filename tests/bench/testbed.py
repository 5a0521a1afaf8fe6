"""What is measured and against what: stores with real fsync, the model stand-in, and headrace's own processes."""

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import psycopg

from schema.identity.api_keys import new_api_key
from schema.installation.bootstrap import ensure_api_key, ensure_tenant
from tests.bench.load.targets import Target
from tests.bench.profiling.process_usage import Meter
from tests.system import ROOT, System

PRODUCTION_SETTINGS = {"HEADRACE_LEASE_S": "30", "HEADRACE_UNANSWERED_S": "10", "HEADRACE_GRACE_S": "1"}
"""The tests' system has shorter times; a benchmark runs with those that users have. Only the end is hurried: what the
flood left behind need not be waited for."""
ROLES = ("api", "chat", "scheduler")


@dataclass(frozen=True)
class Testbed:
    """A running headrace. `pids` of the stores by name, where they are ours."""

    system: System
    database_url: str
    model_port: int
    model_pid: int
    pids: Mapping[str, int] = field(default_factory=dict)

    @property
    def direct(self) -> Target:
        """The model stand-in itself."""
        return Target("direct", self.model_port)

    def native(self, key: str) -> Target:
        """`POST /api/chat` as the tenant of `key`."""
        return Target("native", self.system.ports["api"], key)

    def openai(self, key: str) -> Target:
        """`POST /v1/chat/completions` as the tenant of `key`."""
        return Target("openai", self.system.ports["api"], key)

    def tenant(self, slug: str, **limits: int) -> str:
        """Make a tenant and return a key to it."""
        return make_tenant(self.database_url, slug, **limits)

    def meter(self) -> Meter:
        """Measure all processes from now on, the load client (this process) among them."""
        own = {name: process.pid for name, process in self.system.processes.items()}
        loners = {**own, "model stand-in": self.model_pid, "load client": os.getpid()}
        return Meter(loners, self.pids)


def make_tenant(database_url: str, slug: str, **limits: int) -> str:
    """Make a tenant with a name of its own; `limits` are max_running and max_queued. Returns a key to it."""
    key = new_api_key()
    slug = f"{slug}-{time.monotonic_ns()}"
    with psycopg.connect(database_url) as db:
        ensure_api_key(db, ensure_tenant(db, slug, slug, **limits), key, name="bench")
    return key


@asynccontextmanager
async def running_testbed(
    database_url: str,
    redis_url: str,
    *,
    folder: Path,
    pids: Mapping[str, int] | None = None,
    roles: tuple[str, ...] = ROLES,
    settings: Mapping[str, str] | None = None,
) -> AsyncIterator[Testbed]:
    """Start the stand-in and headrace over stores that run; stop both at the end. Logs go to `folder`."""
    model = _start_model()
    try:
        url = (await asyncio.to_thread(model.stdout.readline)).decode().strip()
        port = urlsplit(url).port
        assert port, f"the model stand-in said {url!r} instead of its address"
        async with System(
            database_url,
            redis_url,
            folder=folder,
            model_url=f"{url}/v1",
            roles=roles,
            settings={**PRODUCTION_SETTINGS, "OPENAI_API_KEY": "bench", **(settings or {})},
        ) as system:
            yield Testbed(system, database_url, port, model.pid, pids or {})
    finally:
        model.terminate()
        model.wait()
        if model.stdout is not None:
            model.stdout.close()


def _start_model() -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "tests.counterparts.openai.server", "--port", "0"]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL)


def fsync_ms(folder: Path, count: int = 30) -> float:
    """Return what one small write with fsync takes on the disk of `folder`: the floor of every commit. Milliseconds."""
    data, took = b"x" * 4096, []
    with (folder / "fsync-probe").open("wb", buffering=0) as file:
        for _ in range(count):
            file.write(data)
            began = time.monotonic()
            os.fdatasync(file.fileno())
            took.append((time.monotonic() - began) * 1e3)
    return sorted(took)[count // 2]
