"""One chat in a viewer of traces: from the caller's span over the queue to each tool call, over a kill of its worker."""

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import pytest
from aiohttp import web

from schema.tracing import attributes as names
from tests.conftest import TestTenant
from tests.counterparts.behaviours import text
from tests.counterparts.otlp_collector import CollectedSpan, OtlpCollector
from tests.counterparts.webhook_receiver import WebhookReceiver
from tests.journeys.agent_setup import add_agent, add_http_tool, script
from tests.journeys.client import Client, assert_complete
from tests.system import ModelProcess, System
from tests.waiting import wait_for

TRACE, CALLER = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
TRACEPARENT = f"00-{TRACE}-{CALLER}-01"
QUESTION = "Open the heron's gate, and shut the otter's."
TRACED = ("api", "default", "chat")
SOON, AT_ITS_END = "20", "600000"
"""Within how many milliseconds a process sends its spans: the worker before it is killed, the others when they are stopped."""


@pytest.fixture
def collector() -> Iterator[OtlpCollector]:
    with OtlpCollector() as opened:
        yield opened


@pytest.fixture
async def traced(system: System, collector: OtlpCollector) -> AsyncIterator[System]:
    """The shared system, with processes that trace while the test runs."""
    before = dict(system.env)
    system.env |= {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.url}
    try:
        await restart(system)
        yield system
    finally:
        system.env = before
        for name in ("api", "chat"):
            system.kill(name)  # the fixture `system` starts them again


async def restart(system: System) -> None:
    for name in TRACED:
        if name in system.processes:
            system.kill(name)
        system.env |= {"OTEL_BSP_SCHEDULE_DELAY": SOON if name == "chat" else AT_ITS_END}
        system.start(name)
    for name in TRACED:
        await system.ready(name)


@asynccontextmanager
async def gates() -> AsyncIterator[tuple[str, list[tuple[str, str]], asyncio.Event]]:
    """A service: its address, the (path, traceparent) of its requests, and what lets it answer for the second gate."""
    requests: list[tuple[str, str]] = []
    opened = asyncio.Event()

    async def answer(request: web.Request) -> web.Response:
        requests.append((request.path, request.headers.get("traceparent", "")))
        if request.path.endswith("/2"):
            await opened.wait()
        return web.json_response({"done": True})

    application = web.Application()
    application.router.add_get("/{path:.*}", answer)
    runner = web.AppRunner(application, handler_cancellation=True, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}", requests, opened
    finally:
        await runner.cleanup()


def named(collector: OtlpCollector, name: str) -> list[CollectedSpan]:
    """The spans of this name in the caller's trace, in the order of their beginnings."""
    return sorted((span for span in collector.trace(TRACE) if span.name == name), key=lambda span: span.began_ns)


async def refuse_traces(collector: OtlpCollector, system: System, client: Client) -> None:
    """Have the collector take nothing while a chat is answered, and until the worker has noticed."""
    collector.status = 400
    ended = await client.ended((await client.submit("text-5"))["job_id"])
    assert ("succeeded", text(5)) == (ended["state"], ended["result"]["text"])
    await wait_for(lambda: "traces_not_exported" in system.log("chat", since_start=True), "the worker has noticed")
    collector.status = 200


async def test_a_chat_whose_worker_is_killed_between_its_tools_is_one_connected_trace(
    traced: System, collector: OtlpCollector, tenant: TestTenant, shared_url: str, provider: ModelProcess
) -> None:
    async with (
        gates() as (address, requests, opened),
        Client(traced.url, tenant.headers | {"traceparent": TRACEPARENT}) as client,
        WebhookReceiver() as receiver,
    ):
        for name in ("open", "shut"):
            add_http_tool(shared_url, tenant, name, f"{address}/{name}/{{gate}}", "HTTP_GET")
        add_agent(shared_url, tenant, "Gates", graph="react", tools=["open", "shut"])
        calls = [["open", {"gate": "1"}], ["shut", {"gate": "2"}]]
        await script(provider.url, "traced-gates", {"calls": calls}, {"behaviour": "text-5"})
        callback = {"callback_url": receiver.url("/"), "callback_events": ["job.succeeded"]}
        async with Client(traced.url, tenant.headers) as other:
            await refuse_traces(collector, traced, other)
        stream = await client.ask("traced-gates", QUESTION, agent="Gates", **callback)
        await stream.until("tool.finished")
        await wait_for(lambda: named(collector, "execute_tool open"), "the first call is traced")
        traced.kill("chat")
        opened.set()
        traced.start("chat")
        events = await stream.rest()
        await receiver.until(1)
        await wait_for(
            lambda: "webhook_delivered" in traced.log("default", since_start=True), "the delivery is recorded"
        )
        await asyncio.gather(traced.stop("api"), traced.stop("default"))
        await wait_for(lambda: len(named(collector, "attempt chat")) == 2, "the last attempt is traced")

    assert text(5) == assert_complete(events)
    assert "traces_exported_again" in traced.log("chat")
    spans = collector.trace(TRACE)
    assert_connected(spans)
    assert_tells_what_was_lost(spans)
    assert {
        **{"POST /api/chat": 1, "submit chat": 1, "attempt chat": 2, "use_tools": 2, "chat traced-gates": 2},
        **{"execute_tool open": 1, "execute_tool shut": 2, "deliver job.succeeded": 1},
    } == {name: count for name, count in Counter(span.name for span in spans).items() if name not in ("begin", "think")}
    assert {"headrace-api", "headrace-chat", "headrace-default"} == {span.service for span in spans}
    assert 2 == len({span.instance for span in spans if span.service == "headrace-chat"})

    (open_call,) = named(collector, "execute_tool open")
    assert f"00-{TRACE}-{open_call.span_id}-01" == dict(requests)["/open/1"]
    assert 2 == len({told for path, told in requests if path == "/shut/2"})
    (delivery,) = named(collector, "deliver job.succeeded")
    assert f"00-{TRACE}-{delivery.span_id}-01" == receiver.messages[0].headers["traceparent"]
    records = [record["headers"]["traceparent"] for record in await provider.records(QUESTION)]
    assert {f"00-{TRACE}-{span.span_id}-01" for span in named(collector, "chat traced-gates")} == set(records)
    for process, event, span in (("chat", "job_ended", "attempt chat"), ("api", "request_answered", "POST /api/chat")):
        (line,) = [line for line in traced.log(process).splitlines() if event in line and TRACE in line]
        assert named(collector, span)[-1].span_id == json.loads(line)["span_id"]
    assert_says_nothing_of_messages(collector, spans)


def assert_connected(spans: list[CollectedSpan]) -> None:
    """Every span is once there, and within another one; the outermost is within the caller's."""
    known = Counter(span.span_id for span in spans)
    assert {1} == set(known.values())
    assert [("POST /api/chat", CALLER)] == [(s.name, s.parent_id) for s in spans if s.parent_id not in known]


def assert_tells_what_was_lost(spans: list[CollectedSpan]) -> None:
    """What was under way at the kill is marked, and the next attempt is linked to the lost one and to the submit."""
    lost = sorted(span.name for span in spans if span.attributes.get(names.LOST))
    assert ["attempt chat", "execute_tool shut", "use_tools"] == lost
    first, second = sorted((s for s in spans if s.name == "attempt chat"), key=lambda s: s.attributes[names.ATTEMPT])
    (submit,) = [span for span in spans if span.name == "submit chat"]
    assert {(TRACE, submit.span_id), (TRACE, first.span_id)} == set(second.links)
    assert (True, False) == (first.failed, second.failed)
    assert submit.span_id == first.parent_id == second.parent_id


def assert_says_nothing_of_messages(collector: OtlpCollector, spans: list[CollectedSpan]) -> None:
    (call, last) = named(collector, "chat traced-gates")
    expected = {
        names.OPERATION: "chat",
        names.PROVIDER: "openai",
        names.REQUEST_MODEL: "traced-gates",
        names.RESPONSE_FINISH: ["tool_calls"],
    }
    assert expected == {name: call.attributes[name] for name in expected}
    assert last.attributes[names.OUTPUT_TOKENS] > 0
    assert {names.RESPONSE_FIRST_CHUNK, names.CONVERSATION, names.JOB, names.TENANT} <= set(last.attributes)
    assert {"Gates"} == {span.attributes[names.AGENT] for span in spans if span.name == "attempt chat"}
    said = (b"heron", b"otter", text(5).encode())
    assert [] == [word for word in said if any(word in body for body in collector.raw)]
