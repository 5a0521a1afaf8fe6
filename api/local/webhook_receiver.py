"""A receiver of webhooks for a person's own machine: verifies each message. For `webhooks listen` and the demo."""

import asyncio
import time
from dataclasses import dataclass
from typing import Any, Self

import msgspec
from aiohttp import web

from api.local.errors import LocalError
from api.local.home import is_free
from api.local.webhook_ports import WEBHOOK_PORTS
from workers.webhooks.signing import NotVerified, verify

MAX_BODY = 2 * 1024 * 1024


@dataclass(frozen=True)
class ReceivedMessage:
    """A message: `refused` says why it isn't authentic; `repeated`, whether its id has come before."""

    id: str
    type: str
    data: dict[str, Any]
    refused: str = ""
    repeated: bool = False


class WebhookReceiver:
    """`async with WebhookReceiver(port)`; set `secret` before messages come, and take them from `messages`. Raises
    LocalError if the port is taken."""

    def __init__(self, port: int, secret: str = "") -> None:
        self.port, self.secret = port, secret
        self.messages: asyncio.Queue[ReceivedMessage] = asyncio.Queue()
        self._seen: set[str] = set()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/"

    async def __aenter__(self) -> Self:
        application = web.Application(client_max_size=MAX_BODY)
        application.router.add_post("/{path:.*}", self._receive)
        self._runner = web.AppRunner(application, access_log=None)
        await self._runner.setup()
        try:
            await web.TCPSite(self._runner, "127.0.0.1", self.port).start()
        except OSError as error:
            await self._runner.cleanup()
            raise LocalError(f"Port {self.port} is taken; choose another one with --port.") from error
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self._runner.cleanup()

    async def _receive(self, request: web.Request) -> web.Response:
        body = await request.read()
        headers = {name.lower(): value for name, value in request.headers.items()}
        try:
            message_id = verify(self.secret, headers, body, now=time.time())
            said = msgspec.json.decode(body, type=dict[str, Any])
        except (NotVerified, msgspec.DecodeError) as error:
            self.messages.put_nowait(ReceivedMessage(headers.get("webhook-id", ""), "", {}, refused=str(error)))
            return web.Response(status=400, text=f"Refused: {error}.")
        repeated = message_id in self._seen
        self._seen.add(message_id)
        self.messages.put_nowait(
            ReceivedMessage(message_id, str(said.get("type")), said.get("data") or {}, repeated=repeated)
        )
        return web.Response(status=200, text="ok")


def free_webhook_port() -> int:
    """Return a port that the local stack may post to and nobody uses. Raises LocalError."""
    for port in WEBHOOK_PORTS:
        if is_free(port):
            return port
    raise LocalError(
        f"The ports {' and '.join(map(str, WEBHOOK_PORTS))} are taken; free one, or choose one with --port."
    )
