"""The whole system on one machine: stores, migrations, every process of the Procfile, ready to serve.

`up` shows it to a person, `demo` uses it and stops it. Not for production, where each process is started by itself.
"""

import asyncio
import contextlib
import http.client
import json
import os
import sys
import time
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from api.local.demo.agents import ensure_demo_agents
from api.local.disk_space import naming_a_full_disk
from api.local.errors import LocalError
from api.local.home import Home, is_free, read_json, write_private
from api.local.keys import admin_key, demo_key, ensure_admin_key, secret_key_settings
from api.local.ports import StackPorts
from api.local.processes import is_alive
from api.local.stack_settings import ROOT, StackSettings, without_own_exports
from api.local.stores.local_stores import LOCK_WAIT_S, Stores, open_stores
from api.local.stores.postgres import DATABASE, USER, EmbeddedPostgres
from api.local.stores.supervision import supervised_stores
from api.local.supervisor import Output, ProcfileEntry, Supervisor, read_procfile
from api.local.webhook_ports import WEBHOOK_PORTS
from tools.egress.policy import SETTING as EGRESS_SETTING

if TYPE_CHECKING:  # it imports psycopg, and `env` should answer at once
    from schema.postgres.logins import Role

READY_LIMIT_S = 120.0
GRACE, GRACE_S = "HEADRACE_GRACE_S", 25.0
LEASE_S = 30.0
LAST_WORDS_S = 8.0  # after their grace processes hand back their jobs, and tell those who wait
NOT_WAITED_FOR = ("flower", "erp", "model")  # their trouble is in the log


@dataclass(frozen=True)
class RunningStack:
    """Where a stack answers, as `.headrace/state.json` tells other commands too."""

    pid: int
    url: str
    flower_url: str
    key: str = field(repr=False)
    admin_key: str | None = field(default=None, repr=False)


def find_running(home: Path) -> RunningStack | None:
    """The stack that works on this folder now, if it is up."""
    match read_json(home / "state.json"):
        case {"pid": int(pid), "url": str(url), "flower_url": str(flower_url)}:
            if is_alive(pid) and Home(home).is_locked():
                return RunningStack(pid, url, flower_url, key=demo_key(home), admin_key=admin_key(home))
    return None


def running_database_url(settings: StackSettings) -> str:
    """The database to work on while a stack runs: the one that was named, else the stack's embedded one.

    Raises LocalError when there is neither. Nothing is started and no file is touched: both are the running stack's.
    """
    if settings.database_url:
        return settings.database_url
    if find_running(settings.home) is None:
        raise LocalError(
            "headrace is not running here. Start it with ./headrace up in another terminal, or set HEADRACE_DATABASE_URL."
        )
    home = Home(settings.home)
    port = read_json(home.path / "ports.json").get(EmbeddedPostgres.name)
    if port is None or is_free(port):
        raise LocalError(
            "The stack running here does not use the embedded Postgres. Set HEADRACE_DATABASE_URL as it was for that stack."
        )
    return f"postgresql://{USER}:{home.secret('postgres.password')}@127.0.0.1:{port}/{DATABASE}"


def refuse_second(home: Path) -> None:
    """Raise LocalError if a stack works on this folder now."""
    if running := find_running(home):
        raise LocalError(
            f"headrace is already running at {running.url} (process {running.pid}, data in {home}). "
            'Use it with eval "$(./headrace env)", or stop it first.'
        )


@contextlib.contextmanager
def prepared_stores(settings: StackSettings) -> Iterator[Stores]:
    """Stores that answer, with today's schema, an admin and the demo tenant in them. Raises LocalError if one runs already."""
    refuse_second(settings.home)
    with (
        naming_a_full_disk(settings.home),
        open_stores(
            settings.home, database_url=settings.database_url, redis_url=settings.redis_url, wait_s=LOCK_WAIT_S
        ) as prepared,
    ):
        embedded = prepared.postgres is not None
        prepare_schema(prepared.database_url, demo_key(settings.home), settings.role_urls, embedded=embedded)
        ensure_admin_key(settings.home, prepared.database_url)
        yield prepared


def prepare_schema(
    database_url: str, key: str | None, role_urls: "Mapping[Role, str]", *, embedded: bool = False
) -> bool:
    """Migrate, prepare the users of the processes, and make sure that `key` opens the demo tenant; return whether the schema
    changed."""
    import psycopg

    from schema.installation.bootstrap import ensure_demo_tenant
    from schema.installation.migrate import migrate

    try:
        changed = migrate(database_url, role_urls, in_child=True)
        if key:
            ensure_demo_tenant(database_url, key)
    except psycopg.OperationalError as error:
        which = "embedded Postgres" if embedded else "Postgres at HEADRACE_DATABASE_URL"
        raise LocalError(f"Can't use the {which}: {str(error).strip()}") from error
    return changed


@contextlib.asynccontextmanager
async def running_stack(
    settings: StackSettings,
    where: Stores,
    ports: StackPorts,
    *,
    output: Output,
    environ: Mapping[str, str],
    stop: asyncio.Event,
    stop_now: asyncio.Event,
    grace_s: float = GRACE_S,
    procfile: Path = ROOT / "Procfile",
    with_erp: bool = True,
    beside: Sequence[ProcfileEntry] = (),
) -> AsyncIterator[tuple[RunningStack, Supervisor]]:
    """Every process of the Procfile, with the API ready to serve, the demo's ERP (`with_erp`) and what else is to run `beside`
    them; all are stopped at the end.

    `stop`, when it is set before the API is ready, ends the waiting. `grace_s`: how long running jobs and open streams may go
    on when all is stopped; `stop_now` cuts it short.

    Raises LocalError when the API doesn't become ready, naming the process that is to blame.
    """
    running = RunningStack(
        pid=os.getpid(),
        url=f"http://{reachable(settings.host)}:{ports.api}",
        flower_url=f"http://{reachable(settings.flower_host)}:{ports.flower}",
        key=demo_key(settings.home),
        admin_key=admin_key(settings.home),
    )
    env = child_environment(environ, settings, where, running, ports) | {GRACE: f"{grace_s:g}"}
    state = settings.home / "state.json"
    lines = [*read_procfile(procfile), *beside]
    if with_erp:
        lines.append(erp_process(ports.erp, running.url, env["HEADRACE_ISSUER"]))
    from api.local.silence import replace_silent  # it imports the client of Redis

    supervisor = Supervisor(lines, env=env, cwd=ROOT, output=output)
    watching: asyncio.Task[None] | None = None
    async with supervised_stores(where, output):
        try:
            await supervisor.start()
            await _wait_ready(settings.host, ports.api, supervisor, stop)
            _write_state(state, running)
            lease_s = float(environ.get("HEADRACE_LEASE_S") or LEASE_S)
            watching = asyncio.create_task(replace_silent(where.redis_url, lease_s, supervisor.replace), name="silence")
            yield running, supervisor
        finally:
            if watching is not None:
                watching.cancel()
            state.unlink(missing_ok=True)
            await supervisor.stop(grace_s=grace_s + LAST_WORDS_S, stop_now=stop_now)


def child_environment(
    environ: Mapping[str, str],
    settings: StackSettings,
    where: Stores,
    running: RunningStack,
    ports: StackPorts,
) -> dict[str, str]:
    """What the processes of the stack are told: our environment, where stores and keys are, the chosen ports, and that
    tools may call the demo's ERP, and webhooks this machine's receiver."""
    private = [f"127.0.0.1:{port}" for port in (ports.erp, *WEBHOOK_PORTS)]
    allowed = [environ.get(EGRESS_SETTING, ""), *private]
    return {
        **without_own_exports(environ),
        **secret_key_settings(environ, settings.home),
        "HEADRACE_URL": running.url,
        "HEADRACE_HOST": settings.host,
        "HEADRACE_PORT": str(ports.api),
        "HEADRACE_FLOWER_PORT": str(ports.flower),
        "HEADRACE_DATABASE_URL": where.database_url,
        "HEADRACE_REDIS_URL": where.redis_url,
        "HEADRACE_HOME": str(settings.home),
        "HEADRACE_ISSUER": environ.get("HEADRACE_ISSUER") or running.url,
        # One scrape of the API shows all processes; a port can be one process's only.
        "HEADRACE_METRICS_PORT": "",
        "HEADRACE_METRICS_TOKEN": environ.get("HEADRACE_METRICS_TOKEN") or Home(settings.home).secret("metrics.key"),
        EGRESS_SETTING: ",".join(entry for entry in allowed if entry),
        "PYTHONUNBUFFERED": "1",
    }


def prepare_demo(where: Stores, ports: StackPorts) -> None:
    """Make sure that the demo's agents are there, with tools that ask the demo's ERP."""
    ensure_demo_agents(where.database_url, f"http://127.0.0.1:{ports.erp}")


def erp_process(port: int, url: str, issuer: str) -> ProcfileEntry:
    """The demo's ERP: it answers those whose token is signed with this headrace's keys."""
    keys = f"{url}/.well-known/jwks.json"
    return ProcfileEntry(
        "erp",
        (sys.executable, "-m", "tools.erp", "--port", str(port), "--jwks", keys, "--issuer", issuer),
        serves_jobs=True,
    )


def http_status(host: str, port: int, path: str, timeout_s: float = 2.0) -> int:
    """The HTTP status of a GET, or 0 when nobody answers."""
    link = http.client.HTTPConnection(reachable(host), port, timeout=timeout_s)
    try:
        link.request("GET", path)
        return link.getresponse().status
    except (OSError, http.client.HTTPException):
        return 0
    finally:
        link.close()


def reachable(host: str) -> str:
    """The address to call a server at that listens on `host`."""
    return "127.0.0.1" if host in ("0.0.0.0", "::") else host  # noqa: S104 (compared, not bound)


async def _wait_ready(host: str, port: int, supervisor: Supervisor, stop: asyncio.Event) -> None:
    deadline = time.monotonic() + READY_LIMIT_S
    while not stop.is_set() and await asyncio.to_thread(http_status, host, port, "/health/ready") != 200:
        for name, printed in supervisor.refusing.items():
            if name in NOT_WAITED_FOR:
                continue
            raise LocalError(f"The process {name} refused its settings:\n{printed}")
        for name, said in supervisor.crash_looping.items():
            if name in NOT_WAITED_FOR:
                continue
            raise LocalError(f"The process {name} keeps exiting as soon as it starts. Its last output:\n{said}")
        if time.monotonic() > deadline:
            raise LocalError(f"The API was not ready after {READY_LIMIT_S:.0f} s; see its log above.")
        await asyncio.sleep(0.03)


def _write_state(file: Path, running: RunningStack) -> None:
    """For `env`, `chat` and a second `up`; the key is not in it, it has a file of its own."""
    state = {"pid": running.pid, "url": running.url, "flower_url": running.flower_url}
    write_private(file, json.dumps(state))
