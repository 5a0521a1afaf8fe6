"""Who is calling: a client with an API key, in `Authorization: Bearer hr_…` or `X-API-Key`.

A handler that needs a caller takes `principal: SignedIn`; its router has the guard `signed_in`, which runs before the
body is read. Fails closed: without Postgres nobody new gets in (503), known keys pass for up to a second more.
"""

import asyncio
import hmac
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from litestar import Request
from litestar.connection import ASGIConnection
from litestar.datastructures import Headers
from litestar.di import NamedDependency
from litestar.handlers import BaseRouteHandler
from psycopg.rows import DictRow

from schema.db import Pool
from schema.errors import Unauthenticated, Unavailable
from schema.keys import ApiKeyParts, read_api_key
from schema.queries.tenants import find_api_key

KEEP_S = 1.0  # how long a key that was good is taken for good without asking
KEPT = 10_000  # keys, then the memory is emptied

REFUSED = (
    "This API key is not valid. Send one as `Authorization: Bearer hr_…` or `X-API-Key: hr_…`; keys are made by your "
    "tenant's owner."
)


@dataclass(frozen=True)
class Principal:
    """Who is calling and for which tenant."""

    tenant_id: UUID
    key_id: UUID
    role: str


SignedIn = NamedDependency[Principal]
"""How a handler behind `signed_in` names its caller."""


class Keys:
    """Looks API keys up, and remembers good ones for a second, so that a revoked key is out within that time."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._known: dict[str, tuple[float, asyncio.Future[DictRow | None]]] = {}

    async def find_principal(self, key: str) -> Principal:
        """Return the key's principal. Raises Unauthenticated, whatever is wrong with the key, or Unavailable."""
        parts = read_api_key(key)
        if parts is None:
            raise Unauthenticated(REFUSED)
        row = await self._find_row(parts)
        if row is None or not hmac.compare_digest(row["digest"], parts.digest) or not _is_live(row):
            raise Unauthenticated(REFUSED)
        return Principal(row["tenant_id"], row["id"], row["role"])

    async def _find_row(self, parts: ApiKeyParts) -> DictRow | None:
        """Return the key's row; callers that come together share one look-up."""
        loop = asyncio.get_running_loop()
        until, known = self._known.get(parts.find, (0.0, None))
        if known is None or until < loop.time():
            if len(self._known) >= KEPT:
                self._known.clear()
            known = loop.create_task(self._look_up(parts.find), name="key-look-up")
            self._known[parts.find] = (loop.time() + KEEP_S, known)
        try:
            # Shielded: the caller that began the look-up may leave while others still wait for it.
            row = await asyncio.shield(known)
        except BaseException:
            self._known.pop(parts.find, None)
            raise
        if row is None:
            self._known.pop(parts.find, None)
        return row

    async def _look_up(self, find: str) -> DictRow | None:
        try:
            return await find_api_key(self._pool, find)
        except Unavailable as error:
            raise Unavailable("The database does not answer, so keys can't be checked. Try again shortly.") from error


def _is_live(row: DictRow) -> bool:
    return row["revoked_at"] is None and (row["expires_at"] is None or row["expires_at"] > datetime.now(UTC))


def presented_key(headers: Headers) -> str:
    """Return the key that came with a request. Raises Unauthenticated when there is none."""
    scheme, _, key = headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer":
        key = headers.get("x-api-key", "")
    if not key.strip():
        raise Unauthenticated("This needs an API key. " + REFUSED.split(". ", 1)[1])
    return key.strip()


async def signed_in(connection: ASGIConnection[Any, Any, Any, Any], _: BaseRouteHandler) -> None:
    """Guard: find out who is calling, before anything of the body is read."""
    keys: Keys = connection.app.state.resources.keys
    connection.scope["user"] = await keys.find_principal(presented_key(connection.headers))


def get_principal(request: Request[Any, Any, Any]) -> Principal:
    """Dependency `principal` of handlers behind `signed_in`."""
    return request.scope["user"]
