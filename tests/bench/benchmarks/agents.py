"""What an agent adds: `react` with two tool calls against its model's and its tools' own time, and how seldom a job reads its
tenant's configuration from Postgres."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import psycopg
from psycopg.types.json import Jsonb

from schema.ids import new_id
from tests.bench.plan import Plan
from tests.bench.reporting.measurement import Line, Measurement
from tests.bench.reporting.percentiles import percentile, spread
from tests.bench.testbed import Testbed

TOOL_S = 0.1
WORDS, PER_S = 60, 60
NEED_ADDED, NEED_HITS = 10.0, 90.0


async def measure_agents(bed: Testbed, plan: Plan) -> Measurement:
    """One agent, asked again and again: two tool calls of 100 ms each, then 60 tokens at 60 a second. The sum is measured too:
    the same three requests to the model and the same two to the tool, one after the other, without headrace."""
    found = Measurement(name="agents", title="An agent that calls two tools")
    async with _slow_tool() as tool_url, aiohttp.ClientSession() as http:
        key = _agent(bed, tool_url)
        asked = max(5, plan.singles // 10)
        await _through(bed, http, key)
        before = _readings(bed)
        sums, wholes = [], []
        for _ in range(asked):
            sums.append(await _sum(bed, http, tool_url))
            wholes.append(await _through(bed, http, key))
        await asyncio.sleep(1.5)  # until Postgres has told its counters
        loads = _readings(bed) - before
    direct, through = percentile(sums, 0.5), percentile(wholes, 0.5)
    found.runs.append({"sum": spread(sums), "through": spread(wholes)})
    found.lines += [
        Line(what="added to the sum of model and tools, p50", figure=(through / direct - 1) * 100, unit="%",
             direct=direct, through=through, need=NEED_ADDED),
        Line(what="configurations found without Postgres", figure=100 * (1 - loads / asked), unit="%",
             need=NEED_HITS, sense="at least"),
    ]  # fmt: skip
    return found


async def _through(bed: Testbed, http: aiohttp.ClientSession, key: str) -> float:
    """Ask the agent and return how long the whole answer took, in ms."""
    await _script(bed, http)
    body = {"message": "How are the two wheels?", "agent": "Bench", "model": "openai/agent-bench"}
    began = time.monotonic()
    headers = {"Authorization": f"Bearer {key}", "Accept": "text/event-stream"}
    async with http.post(f"{bed.system.url}/api/chat", json=body, headers=headers) as answer:
        told = await answer.read()
    took = (time.monotonic() - began) * 1e3
    assert b"event: job.succeeded" in told, told[-2000:]
    assert told.count(b'"ok":true') == 2, told[-2000:]
    return took


async def _sum(bed: Testbed, http: aiohttp.ClientSession, tool_url: str) -> float:
    """The model's three answers and the tool's two, asked directly; ms."""
    await _script(bed, http)
    body = {"model": "agent-bench", "messages": [{"role": "user", "content": "How?"}], "stream": True}
    began = time.monotonic()
    for turn in range(3):
        async with http.post(f"http://127.0.0.1:{bed.model_port}/v1/chat/completions", json=body) as answer:
            await answer.read()
        if turn < 2:
            async with http.get(f"{tool_url}/wheels/{turn}") as answer:
                await answer.read()
    return (time.monotonic() - began) * 1e3


async def _script(bed: Testbed, http: aiohttp.ClientSession) -> None:
    turns: list[dict[str, Any]] = [{"calls": [["look_at_wheel", {"wheel": str(turn)}]]} for turn in range(2)]
    turns.append({"behaviour": f"text-{WORDS}-at-{PER_S}"})
    script = {"model": "agent-bench", "turns": turns}
    async with http.post(f"http://127.0.0.1:{bed.model_port}/_script", json=script) as answer:
        assert answer.status == 200


def _agent(bed: Testbed, tool_url: str) -> str:
    """Make a tenant with an agent and its tool, and return a key to it."""
    key = bed.tenant("agents")
    wheel = {"type": "object", "properties": {"wheel": {"type": "string"}}, "required": ["wheel"]}
    definition = {"name": "look_at_wheel", "kind": "HTTP_GET", "description": "How a wheel turns.", "parameters": wheel}
    definition |= {"endpoint": f"{tool_url}/wheels/{{wheel}}"}
    with psycopg.connect(bed.database_url) as db:
        row = db.execute("SELECT id FROM tenants WHERE slug LIKE 'agents-%' ORDER BY created_at DESC").fetchone()
        assert row is not None
        db.execute("INSERT INTO egress_grants (tenant_id, use, host) VALUES (%s, 'tools', '127.0.0.1')", (row[0],))
        db.execute(
            "INSERT INTO tools (tenant_id, id, name, kind, definition) VALUES (%s, %s, 'look_at_wheel', 'HTTP_GET', %s)",
            (row[0], new_id(), Jsonb(definition)),
        )
        db.execute(
            """INSERT INTO agents (tenant_id, id, name, description, examples, prompt, models, graph, tools)
              VALUES (%s, %s, 'Bench', 'Looks at wheels.', '[]', 'You look at wheels.', '[]', 'react', '["look_at_wheel"]')""",
            (row[0], new_id()),
        )
    return key


def _readings(bed: Testbed) -> int:
    """How often configurations were read from Postgres."""
    with psycopg.connect(bed.database_url) as db:
        sql = "SELECT coalesce(seq_scan, 0) + coalesce(idx_scan, 0) FROM pg_stat_user_tables WHERE relname = 'configurations'"
        row = db.execute(sql).fetchone()
    return row[0] if row else 0


@asynccontextmanager
async def _slow_tool() -> AsyncIterator[str]:
    """An HTTP service that takes its time."""
    answer = json.dumps({"turns": "well"}).encode()
    head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(answer)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while await reader.readuntil(b"\r\n\r\n"):
                await asyncio.sleep(TOOL_S)
                writer.write(head + answer)
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
