"""What a request learns of TLS: over plain HTTP that it should come by TLS, over TLS that it should go on doing so (HSTS).

Probes, scrapers and certificate authorities are always answered over plain HTTP, and so is this machine itself, whose requests
cross no network: the commands of `./headrace` go on working.
"""

import re
from collections.abc import Callable
from typing import Any

from litestar.datastructures import Headers
from litestar.types import ASGIApp, Receive, Scope, Send

from api.http.middleware import NOSNIFF, read_request_id
from api.http.vendor_formats.encoded_errors import encode_error
from workers.certificates.settings import TlsSettings

ALWAYS_PLAIN = ("/health", "/metrics", "/.well-known/acme-challenge/")
SECRETS = frozenset({b"authorization", b"x-api-key", b"cookie"})
HOST = re.compile(rb"(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9.-]{1,253})(?::\d{1,5})?")
MOVED = 308
DETAIL = (
    "This address is served over TLS alone. Use {url}, and replace the key or password that was just sent unencrypted."
)


class TlsMiddleware:
    """Wraps the application. `settings` and whether there is a usable certificate are asked for each request."""

    def __init__(self, app: ASGIApp, settings: Callable[[], TlsSettings], usable: Callable[[], bool]) -> None:
        self._app, self._settings, self._usable = app, settings, usable

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        settings = self._settings()
        if scope["type"] != "http" or settings.port is None:
            await self._app(scope, receive, send)
        elif scope["scheme"] == "https":
            await self._app(scope, receive, _with_hsts(send, settings.hsts_s) if settings.hsts_s else send)
        elif settings.plain == "redirect" and _may_be_sent_away(scope) and self._usable():
            await _send_away(scope, send, settings.port)
        else:
            await self._app(scope, receive, send)


def _may_be_sent_away(scope: Any) -> bool:
    address = scope["client"][0] if scope.get("client") else "127.0.0.1"
    return not scope["path"].startswith(ALWAYS_PLAIN) and not address.startswith("127.") and address != "::1"


async def _send_away(scope: Any, send: Send, port: int) -> None:
    """Send a client to the same path over TLS. Who has sent a secret is told so, instead of sending it twice each time."""
    headers = dict(scope["headers"])
    match = HOST.fullmatch(headers.get(b"host", b""))
    host = match[1].decode() if match else ""
    place = f"https://{host}" + ("" if port == 443 else f":{port}")
    path = scope.get("raw_path", b"/").decode("latin-1") or "/"
    query = scope["query_string"].decode("latin-1")
    told = SECRETS.intersection(headers) or not host
    detail = DETAIL.format(url=place if host else "https://")
    request_id, body, status = read_request_id(scope), b"", MOVED
    reply: list[tuple[bytes, bytes]] = [NOSNIFF, (b"x-request-id", request_id.encode())]
    if told:
        asked = Headers.from_scope(scope)
        error = encode_error("tls_required", detail, path=scope["path"], request_id=request_id, headers=asked)
        status, body = error.status, error.body
        reply.append((b"content-type", error.media_type.encode()))
    else:
        reply.append((b"location", f"{place}{path}{'?' if query else ''}{query}".encode("latin-1")))
    reply.append((b"content-length", str(len(body)).encode()))
    await send({"type": "http.response.start", "status": status, "headers": reply})
    await send({"type": "http.response.body", "body": body, "more_body": False})


def _with_hsts(send: Send, max_age_s: int) -> Send:
    header = (b"strict-transport-security", b"max-age=%d" % max_age_s)

    async def send_with_hsts(message: Any) -> None:
        if message["type"] == "http.response.start":
            message["headers"] = [*message.get("headers", ()), header]
        await send(message)

    return send_with_hsts
