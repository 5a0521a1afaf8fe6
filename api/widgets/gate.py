"""Who may use a widget: pages of its origins, and no others. In front of the routes of `embed.py`.

    key in the path ──► widget (a second old at most) ──► Origin in its list? ──► handler, whose answer that origin may read
          └─ unknown: 404                                        └─ no: 403, which no page can read

A browser asks first (OPTIONS, without the key's page being known to it), so this stands before the handlers, and before
`HEADRACE_CORS_ORIGINS`, which is for callers with secret keys. Who is no browser can send any Origin: for them there are the
widget's limits and its budget, and nothing else to be had than answers of one agent.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urlsplit

from litestar import Litestar
from litestar.datastructures import Headers
from litestar.types import ASGIApp, Message, Receive, Scope, Send

from api.auth.principals import Principal
from api.resources import Resources
from schema.errors import Forbidden, HeadraceError, InputError, NotFound
from schema.identity.public_keys import read_public_key
from schema.postgres.connections import tenant_tx
from schema.queries.identity import widgets
from schema.queries.identity.widgets import StoredWidget

PATH = "/api/embed/"
EMBEDDED = "headrace_embedded"
"""The key of a request's scope for what the gate found. No client can set it."""
NO_WIDGET = "No such widget. It may have been removed."
OTHER_ORIGIN = "This widget is not for pages of {origin}. Its owner lists the origins that may have it."
NO_ORIGIN = "The request doesn't say which page it comes from: it has no `Origin`. Widgets work in browsers only."
TWO_ORIGINS = "The request has `Origin` more than once. A page has one."
ALLOWED = (
    (b"access-control-allow-methods", b"GET, POST"),
    (b"access-control-allow-headers", b"Authorization, Content-Type, Last-Event-ID"),
    (b"access-control-max-age", b"600"),
)


@dataclass(frozen=True)
class Embedded:
    """A widget in a page that may have it. `principal` may chat, and has the budgets of the widget's key."""

    widget: StoredWidget
    principal: Principal


class EmbedGate:
    """ASGI middleware around the application."""

    def __init__(self, app: Litestar, inner: ASGIApp) -> None:
        self._app, self._inner = app, inner

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not scope["path"].startswith(PATH):
            await self._inner(scope, receive, send)
            return
        headers = Headers.from_scope(scope)
        origin = presented_origin(headers, self._app.state.settings.issuer)
        found = await self._let_in(scope["path"].removeprefix(PATH).partition("/")[0], origin)
        if len(headers.getall("origin", [])) > 1:  # which of them a proxy in between has looked at, nobody knows
            found = InputError(TWO_ORIGINS, field="Origin")
        scope[EMBEDDED] = found  # type: ignore[typeddict-unknown-key]
        send = _for_origin(send, origin if isinstance(found, Embedded) else None)
        if scope["method"] == "OPTIONS" and headers.get("access-control-request-method"):
            await _answer_preflight(send, isinstance(found, Embedded))
        else:
            await self._inner(scope, receive, send)

    async def _let_in(self, key: str, origin: str | None) -> Embedded | HeadraceError:
        try:
            return await _find(self._app.state.resources, key, origin)
        except HeadraceError as error:
            return error


def embedded_in(scope: Any) -> Embedded:
    """Return the widget of a request, with who calls. Raises what stands in the way: NotFound, Forbidden, InputError or
    Unavailable."""
    found = scope[EMBEDDED]
    if isinstance(found, HeadraceError):
        raise found
    principal = replace(found.principal, request_id=scope.get("request_id"), address=(scope.get("client") or [None])[0])
    scope["user"] = principal
    return Embedded(found.widget, principal)


def presented_origin(headers: Mapping[str, str], issuer: str) -> str | None:
    """Return where the page of a request is from. For one of our own origin a browser may leave it out, and says that it is."""
    if origin := headers.get("origin"):
        return origin
    own = urlsplit(issuer)
    return f"{own.scheme}://{own.netloc}" if headers.get("sec-fetch-site") == "same-origin" else None


async def _find(resources: Resources, key: str, origin: str | None) -> Embedded:
    find = read_public_key(key)
    principal = await resources.authenticator.find_public(find) if find else None
    if principal is None:
        raise NotFound(NO_WIDGET)
    widget = await resources.widgets.load(principal.id, lambda: _load(resources, principal))
    if widget is None:
        raise NotFound(NO_WIDGET)
    if origin not in widget.origins:
        raise Forbidden(OTHER_ORIGIN.format(origin=repr(origin[:200])) if origin else NO_ORIGIN)
    return Embedded(widget, principal)


async def _load(resources: Resources, principal: Principal) -> StoredWidget | None:
    async with tenant_tx(resources.core.pool, principal.tenant_id) as db:
        return await widgets.find_widget(db, principal.tenant_id, principal.id)


async def _answer_preflight(send: Send, allowed: bool) -> None:
    headers = [*(ALLOWED if allowed else ()), (b"content-length", b"0")]
    await send({"type": "http.response.start", "status": 204 if allowed else 403, "headers": headers})
    await send({"type": "http.response.body", "body": b"", "more_body": False})


def _for_origin(send: Send, origin: str | None) -> Send:
    """Return a `send` that lets pages of this origin read the answer, and none other, whatever an inner layer says."""

    async def send_for_origin(message: Message) -> None:
        if message["type"] == "http.response.start":
            own = {name for name, _ in ALLOWED}
            headers = [
                (name, value)
                for name, value in message.get("headers", ())
                if not name.lower().startswith(b"access-control-") or name in own
            ]
            if origin is not None:
                headers.append((b"access-control-allow-origin", origin.encode("latin-1")))
            message["headers"] = [*headers, (b"vary", b"Origin")]
        await send(message)

    return send_for_origin
