"""Server-Sent Events: the streaming response, and background tasks.

If the client leaves during a write, Litestar's `Stream` closes its generator only at garbage collection; on shutdown it keeps
going for as long as uvicorn waits. Ours closes the generator in its own task, and on shutdown ends at once with a comment that
makes clients resume elsewhere.
"""

import asyncio
from collections.abc import AsyncGenerator, Coroutine
from contextlib import aclosing, nullcontext
from typing import Any, cast

import structlog
from litestar.response import Stream
from litestar.response.streaming import ASGIStreamingResponse
from litestar.types import Receive, Send

from api.http.shutdown import Shutdown
from schema.metrics.catalog import SSE_OPEN

log = structlog.get_logger()

EVENT_STREAM = "text/event-stream"
HEADERS = {"Cache-Control": "no-cache, no-transform", "X-Accel-Buffering": "no"}
SHUTDOWN_NOTICE = b": the server restarts; resume with Last-Event-ID\nretry: 1000\n\n"


class BackgroundTasks:
    """Small tasks that outlive their request; `close` waits for them."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[Any]] = set()

    def run(self, coroutine: Coroutine[Any, Any, Any], name: str) -> None:
        """Start a task. Failures are logged."""
        task = asyncio.get_running_loop().create_task(coroutine, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.warning("background_task_failed", task=task.get_name(), exc_info=error)

    async def close(self, limit_s: float = 3.0) -> None:
        """Wait for the tasks that are running."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=limit_s)


class EventStream(Stream):
    """A response that streams encoded events. With `shutdown` it ends when that begins, with `SHUTDOWN_NOTICE`; with None its
    content knows when to end."""

    def __init__(
        self, content: AsyncGenerator[bytes, None], *, shutdown: Shutdown | None, headers: dict[str, str]
    ) -> None:
        super().__init__(content, media_type=EVENT_STREAM, headers={**HEADERS, **headers})
        self._shutdown = shutdown

    def to_asgi_response(self, *_: Any, **__: Any) -> ASGIStreamingResponse:
        """Return the ASGI application that sends the stream, without headers and cookies of outer layers."""
        return _Sender(iterator=self.iterator, shutdown=self._shutdown, headers=self.headers, status_code=200)


class _Sender(ASGIStreamingResponse):
    def __init__(self, *, shutdown: Shutdown | None, **kwargs: Any) -> None:
        super().__init__(**kwargs, media_type=EVENT_STREAM)
        self._shutdown = shutdown

    async def send_body(self, send: Send, receive: Receive) -> None:
        loop = asyncio.get_running_loop()
        pump = loop.create_task(self._pump(send), name="stream")
        disconnected = loop.create_task(wait_for_disconnect(receive), name="stream-client")
        SSE_OPEN.of().inc()
        try:
            with nullcontext() if self._shutdown is None else self._shutdown.tells(pump.cancel):
                await asyncio.wait((pump, disconnected), return_when=asyncio.FIRST_COMPLETED)
            if pump.cancelled() and not disconnected.done():
                await send({"type": "http.response.body", "body": SHUTDOWN_NOTICE, "more_body": False})
        finally:
            SSE_OPEN.of().dec()
            disconnected.cancel()
            pump.cancel()
            await asyncio.wait((pump, disconnected))
        if not pump.cancelled() and (error := pump.exception()) is not None:
            raise error

    async def _pump(self, send: Send) -> None:
        async with aclosing(cast(AsyncGenerator[bytes, None], self.iterator)) as chunks:
            async for chunk in chunks:
                await send({"type": "http.response.body", "body": chunk, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})


async def wait_for_disconnect(receive: Receive) -> None:
    """Return when the client has closed the connection. The body must have been read."""
    while (await receive())["type"] != "http.disconnect":
        pass
