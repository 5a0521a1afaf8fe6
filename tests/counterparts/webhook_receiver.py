"""A receiver of webhooks: keeps what it is sent, and answers well, badly, slowly or not at all, by the path that is called."""

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import msgspec
from aiohttp import web

from tests.waiting import wait_for


@dataclass(frozen=True)
class Message:
    """One request."""

    path: str
    headers: dict[str, str]
    body: bytes
    at: float

    @property
    def id(self) -> str:
        return self.headers["webhook-id"]

    @property
    def json(self) -> dict[str, Any]:
        return msgspec.json.decode(self.body)


Behaviour = Callable[[web.Request], Awaitable[web.StreamResponse]]


class WebhookReceiver:
    """`async with` it. `/` takes everything; `/hang`, `/drip`, `/big`, `/close`, `/flaky` and `/status/N` misbehave;
    `answers` are statuses for the next requests to `/`, with headers."""

    def __init__(self) -> None:
        self.messages: list[Message] = []
        self.answers: list[tuple[int, dict[str, str]]] = []
        self.open: Counter[str] = Counter()
        self.most_open: Counter[str] = Counter()
        self.hold: asyncio.Event | None = None
        """If set, `/` answers when this does."""

    async def __aenter__(self) -> "WebhookReceiver":
        application = web.Application(client_max_size=2**26)
        application.router.add_route("*", "/{path:.*}", self._handle)
        self._runner = web.AppRunner(application, handler_cancellation=True, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.port: int = self._runner.addresses[0][1]
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self._runner.cleanup()

    def url(self, path: str = "/") -> str:
        return f"http://127.0.0.1:{self.port}{path}"

    def ids(self, path: str | None = None) -> list[str]:
        return [message.id for message in self.messages if path in (None, message.path)]

    async def until(self, count: int, path: str | None = None) -> list[Message]:
        """Wait until so many messages have come."""
        await wait_for(lambda: len(self.ids(path)) >= count, f"{count} messages have come; {len(self.ids(path))} have")
        return [message for message in self.messages if path in (None, message.path)]

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        headers = {name.lower(): value for name, value in request.headers.items()}
        self.messages.append(Message(request.path, headers, await request.read(), time.time()))
        self.open[request.path] += 1
        self.most_open[request.path] = max(self.most_open[request.path], self.open[request.path])
        try:
            return await self._answer(request)
        finally:
            self.open[request.path] -= 1

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        path = request.path
        if path.startswith("/hang"):
            await asyncio.Event().wait()
        if path == "/drip":
            return await self._drip(request)
        if path == "/big":
            return web.Response(body=b"x" * 200_000)
        if path == "/close":
            assert request.transport is not None
            request.transport.abort()
            return web.Response()
        if path == "/flaky" and len(self.messages) % 2:
            return web.Response(status=500)
        if path.startswith("/status/"):
            status = int(path.rsplit("/", 1)[1])
            return web.Response(status=status, text="no", headers={"Location": "http://127.0.0.1:9/"})
        if self.hold is not None:
            await self.hold.wait()
        status, headers = self.answers.pop(0) if self.answers else (200, {})
        return web.Response(status=status, text="thanks" if status == 200 else "not now", headers=headers)

    async def _drip(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        while True:
            await response.write(b".")
            await asyncio.sleep(0.05)
