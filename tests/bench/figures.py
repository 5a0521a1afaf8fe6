"""The figures that there are, in the order in which they are measured, and the headrace that each is measured on."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

from tests.bench.benchmarks import open_streams
from tests.bench.benchmarks.agents import measure_agents
from tests.bench.benchmarks.benchmarks import measure_benchmarks
from tests.bench.benchmarks.console import measure_console
from tests.bench.benchmarks.embeddings import measure_embeddings
from tests.bench.benchmarks.fairness import measure_fairness
from tests.bench.benchmarks.growth import measure_growth
from tests.bench.benchmarks.ingestion import measure_ingestion
from tests.bench.benchmarks.joins import measure_joined_streams, measure_rejoin
from tests.bench.benchmarks.latency import measure_first_token, measure_streams
from tests.bench.benchmarks.memory import measure_memory
from tests.bench.benchmarks.observability import measure_observability
from tests.bench.benchmarks.quality import measure_quality
from tests.bench.benchmarks.routed_answers import measure_routed_answers
from tests.bench.benchmarks.routing import measure_routing
from tests.bench.benchmarks.search import measure_search
from tests.bench.benchmarks.tenants import measure_tenants
from tests.bench.benchmarks.throughput import measure_chats, measure_saturation
from tests.bench.benchmarks.turns import measure_turns
from tests.bench.plan import Plan
from tests.bench.reporting.measurement import Measurement
from tests.bench.testbed import ROLES, Testbed

Measure = Callable[[Testbed, Plan], Awaitable[Measurement]]


@dataclass(frozen=True)
class Setup:
    """Processes with their settings; figures of one setup share it. What is not set is as delivered."""

    name: str
    measures: Mapping[str, Measure]
    roles: tuple[str, ...] = ROLES
    settings: Mapping[str, str] = field(default_factory=dict)


SETUPS = (
    Setup(
        "as delivered",
        {
            "first-token": measure_first_token,
            "streams": measure_streams,
            "chats": measure_chats,
            "saturation": measure_saturation,
            "agents": measure_agents,
            "auto": measure_routed_answers,
            "routing": measure_routing,
            "retrieval": measure_quality,
            "search": measure_search,
            "console": measure_console,
        },
    ),
    Setup(
        "two workers",
        {
            "rejoin": measure_rejoin,
            "joined-streams": measure_joined_streams,
            "open-streams": open_streams.measure_open_streams,
        },
        roles=open_streams.ROLES,
        settings=open_streams.SETTINGS,
    ),
    Setup(
        "with ingestion",
        {"embeddings": measure_embeddings, "ingestion": measure_ingestion},
        roles=(*ROLES, "ingestion"),
    ),
    Setup("with users", {"tenants": measure_tenants}, roles=("api", "chat", "chat2", "scheduler", "ingestion")),
    Setup(
        "with a worker for benchmarks",
        {"benchmarks": measure_benchmarks},
        roles=("api", "default", "scheduler"),
    ),
    Setup(
        "stores alone",
        {
            "growth": measure_growth,
            "turns": measure_turns,
            "memory": measure_memory,
            "observability": measure_observability,
        },
        roles=(),
    ),
    Setup("as delivered, anew", {"fairness": measure_fairness}),  # last: the flood's jobs stay behind
)

NAMES = [name for setup in SETUPS for name in setup.measures]
