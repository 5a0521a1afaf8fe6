"""What metrics and traces cost: the same chats through systems that differ in nothing else, in turns.

A turn is some seconds of chats, in the middle of which Prometheus would scrape, and a pause in which the spans of the turn are
sent: otherwise that would be paid in another system's turn. What a system reached is compared with what another did in the same
round, so a machine that is slow for a while is so for both.
"""

import asyncio
import random
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.parse import urlsplit, urlunsplit

import aiohttp
import psycopg

from schema.installation.migrate import migrate
from tests.bench.benchmarks.throughput import CHAT, per_second
from tests.bench.load.client import send_concurrently
from tests.bench.load.stream_reading import response_errors
from tests.bench.load.targets import Target
from tests.bench.plan import Plan
from tests.bench.profiling.process_usage import Meter
from tests.bench.reporting.measurement import Line, Measurement
from tests.bench.reporting.percentiles import median
from tests.bench.testbed import PRODUCTION_SETTINGS, Testbed, make_tenant
from tests.system import ROOT, System

CLIENTS = 10
WARM_UP_S = 2.0
ROUNDS = 5
SAMPLED_NEED = 97.0
OFF, METRICS, SAMPLED, ALL = "neither", "metrics", "metrics, a tenth of traces", "metrics, all traces"
COMPARED = ((METRICS, OFF), (SAMPLED, METRICS), (ALL, METRICS), (SAMPLED, OFF), (ALL, OFF))
"""What is compared with what; the second pair is what was asked for."""
TOKEN = "a-token-of-the-bench"
SEND_MS = 1000
"""How long spans wait to be sent together: less than by default (5000), which costs a little more and shortens the pause."""
PAUSE_S = 2.5
UNMEASURED = Path(__file__).parents[1] / "profiling" / "unmeasured"


def _settings(collector_url: str) -> dict[str, dict[str, str]]:
    traced = {"OTEL_EXPORTER_OTLP_ENDPOINT": collector_url, "OTEL_BSP_SCHEDULE_DELAY": str(SEND_MS)}
    ratio = {"OTEL_TRACES_SAMPLER": "parentbased_traceidratio", "OTEL_TRACES_SAMPLER_ARG": "0.1"}
    return {OFF: {"PYTHONPATH": f"{UNMEASURED}:{ROOT}"}, METRICS: {}, SAMPLED: traced | ratio, ALL: traced}


@dataclass(frozen=True)
class Turn:
    """Chats that ended a second, and the CPU that headrace's own processes took for each, with that of the pause, in ms. Where
    other work makes the first jump, the second says more."""

    per_s: float
    cpu_ms: float


async def measure_observability(bed: Testbed, plan: Plan) -> Measurement:
    """100-token chats of 10 clients; the systems take turns in a new order each round, so that none has the quiet moments."""
    found = Measurement(name="observability", title="What metrics and traces cost, 100-token chats, 10 clients")
    rounds: list[dict[str, Turn]] = []
    async with _systems(bed) as systems:
        for one in systems.values():
            await _turn(found, *one, for_s=WARM_UP_S)
        for _ in range(ROUNDS * plan.runs):
            order = random.sample(list(systems), len(systems))
            rounds.append({name: await _turn(found, *systems[name], for_s=2 * plan.flat_out_s) for name in order})
    found.runs = [{name: [turn.per_s, turn.cpu_ms] for name, turn in one.items()} for one in rounds]
    found.lines += [_compare(rounds, name, base) for name, base in COMPARED]
    for name in systems:
        per_s, cost_ms = (median([getattr(one[name], figure) for one in rounds]) for figure in ("per_s", "cpu_ms"))
        found.lines.append(Line(what=f"chats/s: {name}", figure=per_s, unit="chats/s"))
        found.lines.append(Line(what=f"CPU per chat: {name}", figure=cost_ms, unit="ms"))
    for name, base in COMPARED:
        shares = sorted(100 * one[name].per_s / one[base].per_s for one in rounds)
        found.notes.append(f"{name}, of {base}: {shares[0]:.0f} to {shares[-1]:.0f} % in {len(shares)} rounds")
    return found


def _compare(rounds: list[dict[str, Turn]], name: str, base: str) -> Line:
    """Chats a second of one system as a share of another's, in the median round."""
    return Line(
        what=f"chats/s: {name}, of {base}",
        figure=median([100 * one[name].per_s / one[base].per_s for one in rounds]),
        unit="%",
        need=SAMPLED_NEED if (name, base) == (SAMPLED, METRICS) else None,
        sense="at least",
    )


async def _turn(found: Measurement, system: System, target: Target, *, for_s: float) -> Turn:
    meter = Meter({name: process.pid for name, process in system.processes.items()}, {})
    scrape = asyncio.create_task(_scrape(system, after_s=for_s / 2))
    chats = await send_concurrently(target.port, target.request(CHAT), clients=CLIENTS, for_s=for_s)
    await scrape
    await asyncio.sleep(PAUSE_S)  # spans are sent
    cpu_s = sum(meter.cpu_s().values())
    found.failed(response_errors(target, chats, CHAT), len(chats), target.kind)
    return Turn(per_second(chats, for_s), 1000 * cpu_s / len(chats))


async def _scrape(system: System, *, after_s: float) -> None:
    await asyncio.sleep(after_s)  # into the middle of the turn
    headers = {"Authorization": f"Bearer {TOKEN}"}
    async with aiohttp.ClientSession(headers=headers) as http, http.get(f"{system.url}/metrics/prometheus") as answer:
        assert 200 == answer.status, answer.status
        await answer.read()


@asynccontextmanager
async def _systems(bed: Testbed) -> AsyncIterator[Mapping[str, tuple[System, Target]]]:
    """Start a system for each setting, with a database and a Redis of its own in the same stores."""
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="headrace-observability-")))
        systems: dict[str, tuple[System, Target]] = {}
        for number, (name, settings) in enumerate(_settings(stack.enter_context(_Collector()).url).items(), 1):
            where = folder / str(number)
            where.mkdir()
            url = await asyncio.to_thread(_new_database, bed.database_url, f"observed_{number}")
            system = System(
                url,
                urlunsplit(urlsplit(bed.system.env["HEADRACE_REDIS_URL"])._replace(path=f"/{number}")),
                folder=where,
                model_url=f"http://127.0.0.1:{bed.model_port}/v1",
                settings={
                    **PRODUCTION_SETTINGS,
                    "OPENAI_API_KEY": "bench",
                    "HEADRACE_METRICS_TOKEN": TOKEN,
                    **settings,
                },
            )
            await stack.enter_async_context(system)
            systems[name] = (system, Target("native", system.ports["api"], make_tenant(url, "o", max_running=5000)))
        yield systems


def _new_database(database_url: str, name: str) -> str:
    with psycopg.connect(database_url, autocommit=True) as db:
        db.execute(f"DROP DATABASE IF EXISTS {name}")
        db.execute(f"CREATE DATABASE {name}")
    url = urlunsplit(urlsplit(database_url)._replace(path=f"/{name}"))
    migrate(url)
    return url


class _Collector:
    """A collector that takes everything and looks at nothing, in a process of its own. Use as `with`."""

    def __enter__(self) -> "_Collector":
        command = [sys.executable, "-m", "tests.counterparts.otlp_collector", "--unread"]
        self._process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        self.url = self._process.stdout.readline().strip().partition("=")[2]
        assert self.url, "the collector did not say where it is"
        return self

    def __exit__(self, *exc: object) -> None:
        self._process.terminate()
        self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()
