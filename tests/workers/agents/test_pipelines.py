"""Pipelines as jobs of real worker processes: every kind of step, kill -9 between and within tool calls, sessions, cancels."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any

import psycopg
import pytest
from psycopg.types.json import Jsonb

from schema.ids import new_id
from tests.conftest import TestTenant, make_tenant
from tests.counterparts.behaviours import Turn, parse, text
from tests.counterparts.http_server import CounterpartServer, Exchange
from tests.counterparts.openai.server import OpenAIServer
from tests.journeys.agent_setup import add_agent
from tests.journeys.client import Client, assert_complete, event_types
from tests.system import System
from tests.waiting import PATIENCE_S, wait_for
from tests.workers.jobs import rows

WORDS = 90
SLOW = f"openai/text-{WORDS}-at-60"


class Shop(CounterpartServer):
    """Takes orders: counts what it is asked for, by path; what is under `/stuck` is never answered."""

    async def handle(self, exchange: Exchange) -> None:
        if exchange.path.startswith("/stuck"):
            await exchange.until_gone()
            return
        exchange.answer(200, {"done": exchange.path, "got": exchange.record.body})

    @property
    def calls(self) -> Counter[str]:
        return Counter(record.path for record in self.requests)


class Place:
    """A running headrace with a tenant that has tools of the shop's."""

    def __init__(
        self, system: System, models: OpenAIServer, shop: Shop, database_url: str, owner: TestTenant, client: Client
    ) -> None:
        self.system, self.models, self.shop, self.database_url = system, models, shop, database_url
        self.owner, self.client = owner, client

    def tool(self, path: str, *, kind: str = "HTTP_POST") -> str:
        """Give the tenant a tool that asks the shop at this path; return its name."""
        name = path.strip("/").replace("/", "_")
        parameters = {"type": "object", "properties": {"q": {"type": "string"}}, "required": ["q"]}
        definition = {"name": name, "kind": kind, "description": name, "endpoint": f"{self.shop.url}{path}"}
        row = [self.owner.id, new_id(), name, kind, Jsonb({**definition, "parameters": parameters})]
        with psycopg.connect(self.database_url) as db:
            db.execute("INSERT INTO tools (tenant_id, id, name, kind, definition) VALUES (%s, %s, %s, %s, %s)", row)
        return name

    async def make(self, name: str, start: str, **steps: Any) -> str:
        """Make a pipeline; return its id."""
        body = {"name": name, "start": start, "steps": steps}
        status, made = await self.client.post("/api/pipelines", body)
        assert 201 == status, made
        return made["id"]

    async def run(self, name: str, said: str = "hello", **fields: Any) -> Any:
        """Execute a pipeline; return the open stream."""
        body, accept = {"input": said, **fields}, {"Accept": "text/event-stream"}
        return await self.client._open("POST", f"/api/pipelines/{name}/execute", json=body, headers=accept)


@pytest.fixture(scope="module")
async def place(database_url: str, redis_url: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Place]:
    owner = make_tenant(database_url, role="owner")
    async with OpenAIServer() as models, Shop() as shop:
        system = System(
            database_url,
            redis_url,
            folder=tmp_path_factory.mktemp("system"),
            model_url=models.base_url,
            roles=("api", "default", "scheduler"),
            settings={"HEADRACE_DEFAULT_MODEL": "openai/text-5", "HEADRACE_LEASE_S": "3"},
        )
        async with system, Client(system.url, owner.headers) as client:
            yield Place(system, models, shop, database_url, owner, client)


def call(tool: str, q: str = "{{input}}", **more: Any) -> dict[str, Any]:
    return {"kind": "tool", "tool": tool, "arguments": {"q": q}, **more}


async def kill(place: Place) -> None:
    place.system.kill("default")
    place.system.start("default")


def steps_of(events: list[Any]) -> list[str]:
    return [e.data["text"] for e in events if e.type == "job.progress"]


async def test_a_pipeline_runs_its_steps_and_tells_each(place: Place) -> None:
    first, second = place.tool("/run/first"), place.tool("/run/second")
    await place.make(
        "run",
        "both",
        both={"kind": "parallel", "branches": {"x": ["a"], "y": ["b"]}, "next": "way"},
        a=call(first),
        b=call(second, "also {{input}}"),
        way={"kind": "router", "by": "{{steps.both.x}}", "cases": {"first": "say"}, "otherwise": "a2"},
        a2=call(first),
        say={"kind": "prompt", "prompt": "{{steps.a.got.q}} {{steps.b.got.q}}"},
    )
    async with await place.run("run") as stream:
        events = await stream.rest()
    assert text(5) == assert_complete(events)
    assert {"/run/first": 1, "/run/second": 1} == {p: n for p, n in place.shop.calls.items() if p.startswith("/run/")}
    assert {"Step both", "Step a", "Step b", "Step way", "Step way goes on with say", "Step say"} == set(
        steps_of(events)
    )
    assert {"call_a", "call_b"} == {e.data["call_id"] for e in events if e.type == "tool.finished" and e.data["ok"]}
    job = await place.client.job(stream.job_id)
    assert ("pipeline", "succeeded", text(5)) == (job["kind"], job["state"], job["result"]["text"])
    assert [] == leftovers(place)


async def test_a_worker_killed_between_two_tools_calls_each_once(place: Place) -> None:
    first, second = place.tool("/kill/first"), place.tool("/kill/second")
    await place.make(
        "killed",
        "a",
        a=call(first, next="think"),
        think={"kind": "prompt", "prompt": "{{steps.a}}", "model": SLOW, "next": "b"},
        b=call(second, next="say"),
        say={"kind": "prompt", "prompt": "Done: {{steps.b.done}}"},
    )
    async with await place.run("killed") as stream:
        await stream.until("tool.finished")
        await stream.until("job.progress")  # it thinks, for a second and a half
        await kill(place)
        events = await stream.rest()
    assert text(5) == assert_complete(events)
    assert (1, 1) == (place.shop.calls["/kill/first"], place.shop.calls["/kill/second"])
    restarted = next(event.seq for event in events if event.type == "job.restarted")
    told = [event.data["call_id"] for event in events[restarted:] if event.type == "tool.started"]
    assert ["call_a", "call_b"] == told
    job = await place.client.job(stream.job_id)
    assert ["lost", "succeeded"] == [attempt["outcome"] for attempt in job["attempts"]]
    assert [] == leftovers(place)


async def test_a_worker_killed_while_an_agent_answers_calls_its_tool_once(place: Place) -> None:
    tool = place.tool("/agent/book")
    add_agent(place.database_url, place.owner, "Clerk", graph="react", tools=[tool])
    slow = parse(SLOW.removeprefix("openai/"))
    assert slow is not None
    place.models.script(Turn(calls=((tool, {"q": "seat 7"}),)), slow, slow, model="clerk")
    await place.make("clerk", "a", a={"kind": "agent", "agent": "Clerk", "input": "Book: {{input}}"})
    async with await place.run("clerk", model="openai/clerk") as stream:
        await stream.until("message.delta", 3)
        await kill(place)
        events = await stream.rest()
    assert text(WORDS) == assert_complete(events)
    assert 1 == place.shop.calls["/agent/book"]
    restarted = next(event.seq for event in events if event.type == "job.restarted")
    told = ["job.progress", "agent.routed", "tool.started", "tool.finished", "message.delta", "message.completed"]
    assert told == event_types(events[restarted:])[: len(told)]
    assert {"a.call_0_1_0"} == {event.data["call_id"] for event in events if event.type == "tool.started"}
    assert [] == leftovers(place)


async def test_a_tool_that_acts_is_not_called_again_when_nobody_knows_whether_it_did(place: Place) -> None:
    stuck, other = place.tool("/stuck/pay"), place.tool("/paid/other")
    await place.make("stuck", "a", a=call(other, next="b"), b=call(stuck))
    async with await place.run("stuck") as stream:
        await wait_for(lambda: place.shop.calls["/stuck/pay"], "the tool is called")
        await kill(place)
        events = await stream.rest()
    assert "job.failed" == events[-1].type
    assert "step_failed" == events[-1].data["error"]["code"]
    assert "nobody knows" in events[-1].data["error"]["message"]
    assert (1, 1) == (place.shop.calls["/stuck/pay"], place.shop.calls["/paid/other"])
    assert [] == leftovers(place)


async def test_a_run_in_a_session_is_a_turn_of_it_and_the_next_begins_anew(place: Place) -> None:
    tool = place.tool("/turns/look")
    await place.make("turns", "a", a=call(tool, next="b"), b={"kind": "prompt", "prompt": "{{steps.a}}"})
    _, session = await place.client.post("/api/sessions", {})
    for said in ("one", "two"):
        async with await place.run("turns", said, session_id=session["id"]) as stream:
            assert text(5) == assert_complete(await stream.rest())
    expected = [("user", "one"), ("assistant", text(5)), ("user", "two"), ("assistant", text(5))]
    assert expected == await place.client.said(session["id"])
    asked = [record.body["q"] for record in place.shop.requests if record.path == "/turns/look"]
    assert ["one", "two"] == asked


async def test_a_job_runs_the_version_that_it_was_given(place: Place) -> None:
    tool = place.tool("/versions/look")
    pipeline = await place.make("versions", "a", a=call(tool, "first"))
    body = {"name": "versions", "start": "a", "steps": {"a": call(tool, "second")}}
    async with place.client.http.put(f"/api/pipelines/{pipeline}", json=body) as answer:
        assert 2 == (await answer.json())["version"]
    for version in (None, 1):
        async with await place.run("versions", version=version) as stream:
            assert_complete(await stream.rest())
    assert ["second", "first"] == [r.body["q"] for r in place.shop.requests if r.path == "/versions/look"]


async def test_a_cancelled_pipeline_stops_and_keeps_nothing(place: Place) -> None:
    tool = place.tool("/stuck/cancelled", kind="HTTP_GET")
    await place.make("cancelled", "a", a=call(tool))
    async with await place.run("cancelled") as stream:
        await stream.until("tool.started")
        async with asyncio.timeout(PATIENCE_S):
            await place.client.cancel(stream.job_id)
            events = await stream.rest()
    assert "job.cancelled" == events[-1].type
    assert [] == leftovers(place)


async def test_a_pipeline_that_was_deleted_while_its_job_waited_fails_with_a_sentence(place: Place) -> None:
    tool = place.tool("/deleted/look")
    pipeline = await place.make("deleted", "a", a=call(tool))
    place.system.kill("default")
    stream = await place.run("deleted")
    async with place.client.http.delete(f"/api/pipelines/{pipeline}") as answer:
        assert 204 == answer.status
    place.system.start("default")
    events = await stream.rest()
    assert ("job.failed", "not_found") == (events[-1].type, events[-1].data["error"]["code"])
    assert "was deleted" in events[-1].data["error"]["message"]
    assert 0 == place.shop.calls["/deleted/look"]


def leftovers(place: Place) -> list[Any]:
    """Checkpoints of jobs that have ended."""
    return rows(place.database_url, "SELECT thread_id FROM checkpoints UNION SELECT thread_id FROM checkpoint_writes")
