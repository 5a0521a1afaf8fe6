"""What metrics and traces cost: the same chats through systems that differ in nothing else, in turns."""

import asyncio
import random
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.parse import urlsplit, urlunsplit

import psycopg

from schema.installation.migrate import migrate
from tests.bench.benchmarks.throughput import CHAT
from tests.bench.load.client import Exchange, send_concurrently
from tests.bench.load.stream_reading import response_errors
from tests.bench.load.targets import Target
from tests.bench.plan import Plan
from tests.bench.profiling.process_usage import Meter
from tests.bench.reporting.measurement import Line, Measurement
from tests.bench.testbed import PRODUCTION_SETTINGS, Testbed, make_tenant
from tests.system import ROOT, System

CLIENTS = 10
WARM_UP_S = 2.0
ROUNDS = 5
SAMPLED_NEED = 97.0
OFF, METRICS, SAMPLED, ALL = "neither", "metrics", "metrics, a tenth of traces", "metrics, all traces"
UNMEASURED = Path(__file__).parents[1] / "profiling" / "unmeasured"


def _settings(collector_url: str) -> dict[str, dict[str, str]]:
    traced = {"OTEL_EXPORTER_OTLP_ENDPOINT": collector_url}
    ratio = {"OTEL_TRACES_SAMPLER": "parentbased_traceidratio", "OTEL_TRACES_SAMPLER_ARG": "0.1"}
    return {OFF: {"PYTHONPATH": f"{UNMEASURED}:{ROOT}"}, METRICS: {}, SAMPLED: traced | ratio, ALL: traced}


async def measure_observability(bed: Testbed, plan: Plan) -> Measurement:
    """100-token chats of 10 clients; the systems take turns in a new order each round, so that none has the quiet moments."""
    found = Measurement(name="observability", title="What metrics and traces cost, 100-token chats, 10 clients")
    rates: dict[str, list[float]] = {}
    used: dict[str, list[float]] = {}
    async with _systems(bed) as systems:
        for system, target in systems.values():
            await _ask(found, system, target, for_s=WARM_UP_S)
        for _ in range(ROUNDS * plan.runs):
            for name in random.sample(list(systems), len(systems)):
                chats, used_s = await _ask(found, *systems[name], for_s=2 * plan.flat_out_s)
                rates.setdefault(name, []).append(chats / (2 * plan.flat_out_s))
                used.setdefault(name, []).append(used_s)
        names = list(systems)
    found.runs = [{name: {"chats/s": rates[name], "CPU s": used[name]} for name in names}]
    base = sum(rates[OFF])
    found.lines += [
        Line(
            what=f"chats/s: {name}",
            figure=100 * sum(rates[name]) / base,
            unit="%",
            direct=base / len(rates[OFF]),
            through=sum(rates[name]) / len(rates[name]),
            need=SAMPLED_NEED if name == SAMPLED else None,
            sense="at least",
        )
        for name in names[1:]
    ]
    for name in names:
        cost_ms = 1000 * sum(used[name]) / (2 * plan.flat_out_s * sum(rates[name]))
        found.lines.append(Line(what=f"CPU per chat: {name}", figure=cost_ms, unit="ms"))
    found.notes.append(f"chats/s: `direct` is the same with {OFF} metrics nor traces, and % the share of that")
    return found


async def _ask(found: Measurement, system: System, target: Target, *, for_s: float) -> tuple[int, float]:
    """Return how many chats ended, and the seconds of CPU that headrace's own processes took for them."""
    meter = Meter({name: process.pid for name, process in system.processes.items()}, {})
    chats: list[Exchange] = await send_concurrently(target.port, target.request(CHAT), clients=CLIENTS, for_s=for_s)
    used_s = sum(meter.cpu_s().values())
    found.failed(response_errors(target, chats, CHAT), len(chats), target.kind)
    return len(chats), used_s


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
                settings={**PRODUCTION_SETTINGS, "OPENAI_API_KEY": "bench", **settings},
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
