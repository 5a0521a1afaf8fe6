"""A running headrace with a worker for benchmarks, over models that do what their names say and record what they were asked."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.conftest import TestTenant
from tests.counterparts.openai.server import OpenAIServer
from tests.journeys.client import Client, ReceivedEvent
from tests.system import System
from tests.waiting import PATIENCE_S
from tests.workers.jobs import rows

FAST, SLOW = "openai/text-8", "openai/text-20-at-50"


class Bench:
    """A running headrace with a worker for benchmarks, and a tenant that asks for them."""

    def __init__(self, system: System, models: OpenAIServer, url: str) -> None:
        self.system, self.models, self.url = system, models, url

    async def submit(self, client: Client, **body: Any) -> str:
        """Submit a benchmark; return its id."""
        status, said = await client.post("/api/benchmark/llm", body)
        assert 202 == status, said
        return said["job_id"]

    def calls(self, saying: str) -> list[str]:
        """The models that were called with this prompt, in order."""
        return [
            record.model for record in self.models.records if saying in str((record.body or {}).get("messages", ""))
        ]

    def stored(self, benchmark_id: str) -> list[dict[str, Any]]:
        """What is stored of the measured calls."""
        sql = "SELECT * FROM benchmark_iterations WHERE benchmark_id = %s AND place >= 0 ORDER BY place"
        return [dict(row) for row in rows(self.url, sql, benchmark_id)]

    async def ended(self, client: Client, benchmark_id: str) -> list[ReceivedEvent]:
        """Follow a benchmark to its end; return all its events."""
        async with asyncio.timeout(PATIENCE_S), await client.follow(benchmark_id) as stream:
            return await stream.rest()


@pytest.fixture(scope="module")
async def bench(database_url: str, redis_url: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Bench]:
    async with OpenAIServer() as models:
        system = System(
            database_url,
            redis_url,
            folder=tmp_path_factory.mktemp("system"),
            model_url=models.base_url,
            roles=("api", "default", "scheduler"),
            settings={"HEADRACE_DEFAULT_MODEL": FAST, "HEADRACE_LEASE_S": "3"},
        )
        async with system:
            yield Bench(system, models, database_url)


@pytest.fixture
async def client(bench: Bench, tenant: TestTenant) -> AsyncIterator[Client]:
    async with Client(bench.system.url, tenant.headers) as opened:
        yield opened
