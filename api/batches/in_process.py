"""Calls a route of this application in this process, as a client would over HTTP: through the same middleware, validation,
handlers and errors."""

import asyncio
from dataclasses import dataclass, field
from typing import Any

from litestar.types import ASGIApp, Message

from api.auth.principals import Principal
from api.http.middleware import CALLED_AS


@dataclass
class Answer:
    """What a route answered. `headers` have lower-case names."""

    status_code: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""


async def call_route(
    app: ASGIApp, principal: Principal, path: str, body: bytes, *, headers: dict[str, str], left: asyncio.Event
) -> Answer:
    """Return what `POST path` answers to `principal`. When `left` is set, the client has closed its connection."""
    answer, sent = Answer(), False
    sent_headers = {"host": "batch", "content-type": "application/json", "content-length": str(len(body)), **headers}
    scope: Any = {
        **{"type": "http", "asgi": {"version": "3.0", "spec_version": "2.3"}, "http_version": "1.1", "scheme": "http"},
        **{"method": "POST", "path": path, "raw_path": path.encode(), "query_string": b"", "root_path": ""},
        "headers": [(name.encode(), value.encode()) for name, value in sent_headers.items()],
        **{"client": None, "server": None, "state": {}, CALLED_AS: principal},
    }

    async def receive() -> Any:
        nonlocal sent
        if not sent:
            sent = True
            return {"type": "http.request", "body": body, "more_body": False}
        await left.wait()
        return {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        if message["type"] == "http.response.start":
            answer.status_code = message["status"]
            answer.headers = {
                name.decode("latin-1").lower(): value.decode("latin-1") for name, value in message["headers"]
            }
        elif message["type"] == "http.response.body":
            answer.body += message.get("body", b"")

    await app(scope, receive, send)
    return answer
