"""An API of a few lines for tests of the command line: `python stub_api.py` serves on HEADRACE_HOST:HEADRACE_PORT.

Its chat stream breaks off in the middle, as a killed API process does; following the job goes on from there.
"""

import asyncio
import os
from typing import Any

from aiohttp import web

EVENTS = [
    ("job.queued", '{"session_id": "s1", "model": "offline/extractive"}'),
    ("job.started", '{"attempt": 1, "worker": "w1"}'),
    ("message.delta", '{"text": "lost "}'),
    ("job.restarted", '{"attempt": 2, "worker": "w2", "discard_after": 2, "reason": "worker lost"}'),
    ("message.delta", '{"text": "Hello, "}'),
    ("message.delta", '{"text": "world"}'),
    ("message.completed", '{"text": "Hello, world", "message_id": "m1"}'),
    ("job.succeeded", "{}"),
]
BREAK_AFTER = 5
FOLLOWS = web.AppKey("FOLLOWS", list[str])
"""The `Last-Event-ID` of each request that followed the job."""
SAID = web.AppKey("SAID", list[dict[str, Any]])
"""The body of each chat."""


def frames(first: int, last: int) -> bytes:
    """Events number `first` to `last` (from 1) as Server-Sent Events, with a heartbeat in front."""
    numbered = list(enumerate(EVENTS, start=1))[first - 1 : last]
    return b": heartbeat\n\n" + b"".join(
        f"id: {number}\nevent: {name}\ndata: {data}\n\n".encode() for number, (name, data) in numbered
    )


async def ready(request: web.Request) -> web.Response:
    return web.json_response({"status": "ok"})


async def chat(request: web.Request) -> web.StreamResponse:
    request.app[SAID].append(await request.json())
    if "forbidden" in request.app[SAID][-1]["message"]:
        return web.json_response({"detail": "Say something else."}, status=422)
    answer = web.StreamResponse(headers={"Content-Type": "text/event-stream", "X-Job-ID": "j1"})
    await answer.prepare(request)
    await answer.write(frames(1, BREAK_AFTER))
    assert request.transport
    request.transport.close()
    return answer


async def follow(request: web.Request) -> web.StreamResponse:
    request.app[FOLLOWS].append(request.headers["Last-Event-ID"])
    if len(request.app[FOLLOWS]) == 1:
        return web.Response(status=503)
    answer = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
    await answer.prepare(request)
    await answer.write(frames(int(request.headers["Last-Event-ID"]) + 1, len(EVENTS)))
    return answer


async def messages(request: web.Request) -> web.Response:
    parts = [{"type": "text", "text": "Hello, world"}]
    return web.json_response({"items": [{"id": "m0", "parts": []}, {"id": "m1", "parts": parts}]})


def make_app() -> web.Application:
    app = web.Application()
    app[FOLLOWS] = []
    app[SAID] = []
    app.router.add_get("/health/ready", ready)
    app.router.add_post("/api/chat", chat)
    app.router.add_get("/api/jobs/j1/events", follow)
    app.router.add_get("/api/sessions/s1/messages", messages)
    return app


async def main() -> None:
    runner = web.AppRunner(make_app())
    await runner.setup()
    await web.TCPSite(runner, os.environ["HEADRACE_HOST"], int(os.environ["HEADRACE_PORT"])).start()
    print("serving", flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main())
