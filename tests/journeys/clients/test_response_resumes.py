"""Streams of `/v1/responses` that are joined late and resumed: what was told live, byte for byte, whatever process died.

A thousand of them, and a line that says how many differ:
`./headrace test --full -n 0 tests/journeys/clients/test_response_resumes.py`
"""

import asyncio
import contextlib
import json
import os
import random
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest

from tests.conftest import TestTenant
from tests.journeys.agent_setup import add_agent, grant_tools
from tests.journeys.client import Client
from tests.system import System

ROUNDS, RESUMES = (10, 100) if os.environ.get("HEADRACE_TESTS") == "full" else (1, 60)
"""How often a response of each kind is made, and how many clients join these or resume them."""
SUM = 'CALL mathematics {"operation": "evaluate", "expression": "2+2"}'
WEATHER = {"type": "function", "name": "get_weather", "parameters": {"type": "object", "properties": {}}}
KINDS: tuple[dict[str, Any], ...] = (
    {"model": "openai/text-90-at-40"},
    {"model": "openai/text-60-at-30", "background": True},
    {"model": "openai/reasoning", "include": ["reasoning.encrypted_content"]},
    {"model": "openai/tool-call", "tools": [WEATHER]},
    {"model": "agent/Clerk", "input": SUM, "background": True},
    {"model": "openai/text-50", "max_output_tokens": 5},
    {"model": "openai/refuse-400"},
    {"model": "openai/text-400-at-40", "background": True, "metadata": {"fate": "cancelled"}},
)
"""What jobs come to: text, restarted with its worker, reasoning, calls, tools of an agent, incomplete, failed, cancelled."""


@pytest.fixture
async def clients(
    system: System, tenant: TestTenant, client: Client, shared_url: str
) -> AsyncIterator[tuple[Client, Client]]:
    add_agent(shared_url, tenant, "Clerk", tools=["mathematics"], models=["openai/obedient"])
    grant_tools(shared_url, tenant, "mathematics")
    system.start("api2")
    await system.ready("api2")
    async with Client(system.url_of("api2"), tenant.headers) as other:
        yield client, other


async def test_resumes_differ_from_the_live_streams_in_nothing(
    system: System, clients: tuple[Client, Client], capsys: pytest.CaptureFixture[str]
) -> None:
    seed = random.randrange(1 << 32)
    rng = random.Random(seed)
    differ = sum([await count_differences(clients, RESUMES, rng, system) for _ in range(ROUNDS)])
    with capsys.disabled():
        made = ROUNDS * len(KINDS)
        print(f"\n{ROUNDS * RESUMES:,} late joins and resumes of {made} responses: {differ} differ (seed {seed})")
    assert 0 == differ


async def count_differences(clients: tuple[Client, ...], resumes: int, rng: random.Random, system: System) -> int:
    """Stream a response of each kind, with the worker killed once, and resume them; return how many resumes differ."""
    lives = [Live(kind) for kind in KINDS]
    reading = [asyncio.ensure_future(live.read(clients[0])) for live in lives]
    await asyncio.gather(*(live.begun.wait() for live in lives))
    late = [asyncio.ensure_future(_resume(rng.choice(clients), rng, lives[n % len(lives)])) for n in range(resumes)]
    await lives[0].reached(20)
    system.kill("chat")
    system.start("chat")
    await asyncio.gather(*reading)
    assert {"completed", "incomplete", "failed", "cancelled"} == {live.status for live in lives}
    seen = await asyncio.gather(*late)
    return sum(events != lives[n % len(lives)].events[after + 1 :] for n, (after, events) in enumerate(seen))


class Live:
    """A response that is streamed as it is generated, with the bytes of its events."""

    def __init__(self, kind: dict[str, Any]) -> None:
        self.body = {"input": "Tell me.", "stream": True, **kind}
        self.events: list[bytes] = []
        self.begun = asyncio.Event()
        self._more = asyncio.Event()

    @property
    def id(self) -> str:
        return data_of(self.events[0])["response"]["id"]

    @property
    def status(self) -> str:
        return data_of(self.events[-1])["response"]["status"]

    async def read(self, client: Client) -> None:
        """Read to the end; what is to be cancelled is cancelled on the way."""
        async with client.http.post("/v1/responses", json=self.body) as answer:
            assert 200 == answer.status, await answer.text()
            async for event in events_of(answer):
                self.events.append(event)
                self.begun.set()
                self._more.set()
                if len(self.events) == 30 and "metadata" in self.body:
                    async with patient(client, "POST", f"/v1/responses/{self.id}/cancel"):
                        pass

    async def reached(self, count: int) -> None:
        """Return when there are this many events."""
        while len(self.events) < count:
            self._more.clear()
            await self._more.wait()


async def events_of(answer: aiohttp.ClientResponse) -> AsyncIterator[bytes]:
    """Yield the bytes of each event of a stream; comments are left out."""
    lines: list[bytes] = []
    async for line in answer.content:
        lines.append(line)
        if line == b"\n":
            if not lines[0].startswith(b":"):
                yield b"".join(lines)
            lines = []


def data_of(event: bytes) -> dict[str, Any]:
    return json.loads(event.split(b"data: ", 1)[1])


@contextlib.asynccontextmanager
async def patient(client: Client, method: str, path: str, **options: Any) -> AsyncIterator[aiohttp.ClientResponse]:
    """Open an answer as SDKs do: a thousand requests of one tenant at once may be told to come again (503)."""
    while True:
        async with client.http.request(method, path, **options) as answer:
            if answer.status != 503:
                assert 200 == answer.status, await answer.text()
                yield answer
                return
            await asyncio.sleep(float(answer.headers.get("Retry-After", 1)))  # as it was told to


async def _resume(client: Client, rng: random.Random, live: Live) -> tuple[int, list[bytes]]:
    await asyncio.sleep(rng.uniform(0, 6))  # a late client comes when it comes
    after = rng.choice((-1, rng.randrange(len(live.events))))
    query = {"stream": "true", **({} if after < 0 else {"starting_after": str(after)})}
    async with patient(client, "GET", f"/v1/responses/{live.id}", params=query) as answer:
        return after, [event async for event in events_of(answer)]


async def test_a_stream_goes_on_elsewhere_after_worker_and_api_were_killed(
    system: System, clients: tuple[Client, Client]
) -> None:
    client, other = clients
    body = {"model": "openai/text-60-at-30", "input": "Tell me.", "stream": True, "background": True}
    seen: list[bytes] = []
    with contextlib.suppress(aiohttp.ClientError):
        async with other.http.post("/v1/responses", json=body) as answer:
            async for event in events_of(answer):
                seen.append(event)
                if len(seen) == 12:
                    system.kill("chat")
                    system.kill("api2")
    assert "response.completed" != data_of(seen[-1])["type"]
    system.start("chat")
    path = f"/v1/responses/{data_of(seen[0])['response']['id']}?stream=true"
    async with client.http.get(f"{path}&starting_after={len(seen) - 1}") as answer:
        seen += [event async for event in events_of(answer)]
    async with client.http.get(path) as answer:
        assert seen == [event async for event in events_of(answer)]
    assert ("completed", list(range(len(seen)))) == (
        data_of(seen[-1])["response"]["status"],
        [data_of(event)["sequence_number"] for event in seen],
    )
