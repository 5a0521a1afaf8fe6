"""headrace as it runs in production, for tests, chaos and benchmarks: real processes over real stores.

    async with System(database_url, redis_url, model_url=..., folder=tmp_path) as system:
        system.kill("chat"); system.start("chat"); ...

Each process writes its log to `folder`. Processes are started as the Procfile does, or forked from one that has imported
them (`tests/fork_server.py`); nothing is imported from them here.
"""

import asyncio
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import aiohttp

from tests.fork_server import ROOT, ForkedProcess, ForkServers, base_environment
from tests.secret import SECRET_KEY
from tests.waiting import PATIENCE_S, pauses

START_PATIENCE_S = 600.0
"""A process that starts needs seconds of CPU, which a busy machine gives it late; one that ended is noticed at once."""

COMMANDS = {
    "api": ("api", "serve"),
    "chat": ("workers", "chat"),
    "default": ("workers", "default"),
    "ingestion": ("workers", "ingestion"),
    "scheduler": ("workers", "scheduler"),
    "flower": ("workers", "flower"),
}


def free_port() -> int:
    """Return a port that is free now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class System:
    """The processes of one headrace; names are roles, or a role and a number (`chat2`, `api2`)."""

    code: Path
    """Where the code is of which processes are started next; another version's only where there are no fork servers."""
    fork_servers: ForkServers | None = None
    """Set for all systems while pytest runs. With None, as in chaos and benchmarks, each process starts from nothing."""

    variant: Callable[[str], Mapping[str, str]] = staticmethod(lambda database_url: {})
    """What processes are told of other stores than one Postgres and one Redis (`tests/variants.py`)."""

    def __init__(
        self,
        database_url: str,
        redis_url: str,
        *,
        folder: Path,
        model_url: str | None = None,
        roles: tuple[str, ...] = ("api", "chat", "scheduler"),
        settings: Mapping[str, str] | None = None,
    ) -> None:
        self.folder, self.roles = folder, roles
        self.code = ROOT
        self.processes: dict[str, subprocess.Popen[bytes] | ForkedProcess] = {}
        self.ports: dict[str, int] = {}
        self.env = {
            **base_environment(),
            "HEADRACE_DATABASE_URL": database_url,
            "HEADRACE_REDIS_URL": redis_url,
            "HEADRACE_SECRET_KEYS": SECRET_KEY,
            "HEADRACE_EGRESS_ALLOW": "127.0.0.1",
            "HEADRACE_LEASE_S": "6",
            "HEADRACE_UNANSWERED_S": "3",
            "HEADRACE_GRACE_S": "5",
            "HEADRACE_STORAGE": str(folder / "files"),
            "OPENAI_BASE_URL": model_url or "",
            **self.variant(database_url),
            **(settings or {}),
        }

    @property
    def url(self) -> str:
        """The address of the first API process."""
        return self.url_of("api")

    def url_of(self, name: str) -> str:
        """The address of one API process."""
        return f"http://127.0.0.1:{self.ports[name]}"

    async def __aenter__(self) -> "System":
        try:
            for role in self.roles:
                self.start(role)
            await asyncio.gather(*(self.ready(role) for role in self.roles))
        except BaseException:
            self.stop_all()
            raise
        return self

    async def __aexit__(self, *exc: object) -> None:
        await asyncio.to_thread(self.stop_all)

    def start(self, name: str) -> subprocess.Popen[bytes] | ForkedProcess:
        """Start (again) the process `name`; an API keeps its port."""
        role = name.rstrip("0123456789")
        env = {**self.env, "PYTHONPATH": str(self.code)}
        if role in ("api", "flower"):
            env["HEADRACE_PORT" if role == "api" else "HEADRACE_FLOWER_PORT"] = str(
                self.ports.setdefault(name, free_port())
            )
        with (self.folder / f"{name}.log").open("ab") as log:
            if self.fork_servers is not None:
                process = self.fork_servers.start(COMMANDS[role], env, log)
            else:
                command = [sys.executable, "-m", *COMMANDS[role]]
                process = subprocess.Popen(
                    command, cwd=self.code, env=env, stdout=log, stderr=log, stdin=subprocess.DEVNULL
                )
        self.processes[name] = process
        return process

    async def ready(self, name: str) -> None:
        """Wait until the process works: an API answers, a worker listens to its queue."""
        for pause_s in pauses(START_PATIENCE_S):
            if await self._is_ready(name):
                return
            if self.processes[name].poll() is not None:
                raise AssertionError(f"{name} ended at its start:\n{self.log(name)[-3000:]}")
            await asyncio.sleep(pause_s)
        raise AssertionError(f"{name} was not ready within {START_PATIENCE_S:g} s:\n{self.log(name)[-3000:]}")

    async def _is_ready(self, name: str) -> bool:
        if name.startswith(("chat", "default", "ingestion", "scheduler")):
            return "_ready" in self.log(name, since_start=True)
        path = "/health/ready" if name.startswith("api") else "/healthcheck"
        try:
            async with (
                aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=10)) as http,
                http.get(f"{self.url_of(name)}{path}") as answer,
            ):
                return answer.status == 200
        except (aiohttp.ClientError, TimeoutError):
            return False

    def log(self, name: str, *, since_start: bool = False) -> str:
        """What the process has logged; `since_start` leaves out what earlier ones of this name did."""
        text = (self.folder / f"{name}.log").read_text(errors="replace")
        if not since_start:
            return text
        marker = f'"pid": {self.processes[name].pid}'
        return "\n".join(line for line in text.splitlines() if marker in line)

    def kill(self, name: str, number: int = signal.SIGKILL) -> None:
        """Send a signal and, for SIGKILL, wait until the process is gone."""
        process = self.processes[name]
        process.send_signal(number)
        if number == signal.SIGKILL:
            process.wait()

    async def stop(self, name: str, timeout_s: float = PATIENCE_S) -> int:
        """Stop one process as a deployment does, and return its exit status."""
        self.kill(name, signal.SIGTERM)
        return await asyncio.to_thread(self.processes[name].wait, timeout_s)

    def stop_all(self) -> None:
        """Stop everything that runs."""
        running = [process for process in self.processes.values() if process.poll() is None]
        for process in running:
            process.send_signal(signal.SIGCONT)
            process.terminate()
        for process in running:
            try:
                process.wait(PATIENCE_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


class ModelProcess:
    """The OpenAI model stand-in (`tests/counterparts`) in a process of its own. Use as `with`."""

    def __init__(self, folder: Path, host: str = "127.0.0.1") -> None:
        self.host, self.port = host, free_port()
        self.url = f"http://{host}:{self.port}"
        self.base_url = f"{self.url}/v1"
        self._log = folder / "model.log"

    def __enter__(self) -> "ModelProcess":
        command = [sys.executable, "-m", "tests.counterparts.openai.server", "--port", str(self.port)]
        command += ["--host", self.host]
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=log)
        assert self._process.stdout is not None
        assert self._process.stdout.readline(), self._log.read_text()
        return self

    def __exit__(self, *exc: object) -> None:
        self._process.kill()
        self._process.wait()
        assert self._process.stdout is not None
        self._process.stdout.close()

    async def records(self, saying: str) -> list[dict[str, Any]]:
        """What became of the requests whose prompt holds `saying`, oldest first; times are `time.monotonic_ns`."""
        async with aiohttp.ClientSession() as http, http.get(f"{self.url}/_records") as answer:
            records = await answer.json()
        return [r for r in records if saying in str((r["body"] or {}).get("messages"))]
