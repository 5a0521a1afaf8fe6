"""Streams at their ends: a server that is told to stop, and clients that do not read."""

import asyncio
import json
import socket
from typing import Any

import httpx
from httpx_sse import aconnect_sse

from api.jobs.event_stream import follow_stream
from tests.api.conftest import Running
from tests.system import System
from tests.waiting import PATIENCE_S, wait_for
from workers.stream.follow import SlowReader


async def test_a_server_that_stops_sends_its_clients_elsewhere_at_once(running: Running) -> None:
    system: System = running.system
    system.start("api2")
    await system.ready("api2")
    body = {"message": "hi", "model": "openai/text-9000-at-100"}
    async with (
        httpx.AsyncClient(headers=running.tenant.headers, timeout=PATIENCE_S) as http,
        http.stream(
            "POST", f"{system.url_of('api2')}/api/chat", json=body, headers={"Accept": "text/event-stream"}
        ) as answer,
    ):
        job_id = answer.headers["x-job-id"]
        chunks = answer.aiter_text()
        text = await anext(chunks)
        stopping = asyncio.create_task(system.stop("api2"))
        text += "".join([chunk async for chunk in chunks])
        assert text.endswith("retry: 1000\n\n")  # and not because the answer was over: that takes a minute and a half
        await stopping
    seen = [(frame.split("\n")[0], frame) for frame in text.split("\n\n") if frame.startswith("id: ")]
    headers = {"Last-Event-ID": seen[-1][0].removeprefix("id: ")}
    async with aconnect_sse(running.http, "GET", f"/api/jobs/{job_id}/events", headers=headers) as source:
        following = source.aiter_sse()
        first = await anext(following)
        await running.http.post(f"/api/jobs/{job_id}/cancel")
        last = [event async for event in following][-1]
    assert int(headers["Last-Event-ID"]) + 1 == int(first.id)
    assert "job.cancelled" == last.event


async def test_a_client_that_reads_nothing_is_cut_off_and_the_job_goes_on(running: Running) -> None:
    env = running.system.env
    env["HEADRACE_SLOW_CLIENT_S"] = "1"
    running.system.start("api3")
    await running.system.ready("api3")
    body = json.dumps({"message": "hi", "model": "openai/text-800000"}).encode()
    with socket.socket() as silent:
        silent.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        silent.connect(("127.0.0.1", running.system.ports["api3"]))
        head = f"POST /api/chat HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {running.tenant.key}\r\n"
        head += f"Accept: text/event-stream\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        silent.sendall(head.encode() + body)
        await wait_for(lambda: "slow_client_cut" in running.system.log("api3"), "the client is cut off")

    async def ended() -> dict[str, Any] | None:
        job = (await running.http.get("/api/jobs", params={"limit": 1})).json()["items"][0]
        return job if job["finished_at"] else None

    assert "succeeded" == (await wait_for(ended, "the job ends"))["state"]
    await running.system.stop("api3")


async def test_a_reader_that_fell_behind_is_told_where_to_resume() -> None:
    class Slow:
        async def __aenter__(self) -> None: ...

        async def __aexit__(self, *_: object) -> None: ...

        async def chunks(self, **_: Any) -> Any:
            yield b"id: 1\n\n"
            raise SlowReader(17)

    class Opened:
        shutdown = None

    stream = follow_stream(Opened(), Slow(), {})
    frames = [chunk async for chunk in stream.iterator]
    assert b'event: stream.closed\ndata: {"reason":"slow_client","resume_after":17}\n\n' == frames[-1]
