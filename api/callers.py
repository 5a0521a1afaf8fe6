"""Finds out who is behind an API key or a token, and remembers it for a second: so a key that is revoked, a user who is
disabled and a tenant that is suspended are out within that time. Fails closed: without Postgres nobody new gets in (503).
"""

import asyncio
import hmac
from dataclasses import replace
from datetime import UTC, datetime
from uuid import UUID

import structlog
from psycopg.rows import DictRow

from api.auth.tokens import Tokens
from api.principals import IDENTITIES, IDENTITY_S, Principal
from schema.db import Pool
from schema.errors import HeadraceError, TenantSuspended, Unauthenticated, Unavailable
from schema.keys import PREFIX, read_api_key
from schema.queries.callers import find_key, touch_keys
from schema.rights import SEES_ALL, rights_of
from schema.tenancy import read_facts
from schema.ttl_cache import TtlCache

log = structlog.get_logger()

TOUCH_S = 15.0  # how often `last_used_at` of keys is written

REFUSED = (
    "This API key is invalid. Send a valid one as `Authorization: Bearer hr_…` or `X-API-Key: hr_…`. Your tenant's owner can "
    "create one."
)


class Callers:
    """Turns what a request presents into a principal. `close()` it to write what is left to write."""

    def __init__(self, pool: Pool, tokens: Tokens) -> None:
        self._pool, self._tokens = pool, tokens
        self._rows: TtlCache[str, DictRow | None] = TtlCache(IDENTITIES, IDENTITY_S)
        self._used: dict[UUID, UUID] = {}
        self._touching: asyncio.Task[None] | None = None

    async def find(self, secret: str, *, address: str | None, request_id: str | None) -> Principal:
        """Return the principal of an API key or a token.

        Raises Unauthenticated whatever is wrong with it, TenantSuspended, or Unavailable.
        """
        found = await (self._by_key(secret) if secret.startswith(PREFIX) else self._by_token(secret))
        if found.tenant.state != "active":
            raise TenantSuspended(
                "This tenant is suspended. Its data is kept. Contact the operator of this installation."
            )
        return replace(found, address=address, request_id=request_id)

    async def _by_key(self, key: str) -> Principal:
        parts = read_api_key(key)
        if parts is None:
            raise Unauthenticated(REFUSED)
        row = await self._rows.load(parts.find, lambda: self._look_up(parts.find))
        if row is None or not hmac.compare_digest(row["digest"], parts.digest) or not _is_live(row):
            raise Unauthenticated(REFUSED)
        self._note(row)
        return _principal_of_key(row)

    async def _by_token(self, token: str) -> Principal:
        try:
            return await self._tokens.find_principal(token)
        except Unavailable as error:
            raise Unavailable(
                "Tokens can't be checked because the database is unavailable. Try again shortly."
            ) from error

    async def _look_up(self, find: str) -> DictRow | None:
        try:
            return await find_key(self._pool, find)
        except Unavailable as error:
            raise Unavailable(
                "API keys can't be checked because the database is unavailable. Try again shortly."
            ) from error

    def _note(self, row: DictRow) -> None:
        self._used[row["id"]] = row["tenant_id"]
        if self._touching is None:
            self._touching = asyncio.get_running_loop().create_task(self._touch(), name="touch keys")

    async def _touch(self) -> None:
        try:
            await asyncio.sleep(TOUCH_S)
        finally:
            self._touching = None
            await self._write_used()

    async def _write_used(self) -> None:
        used, self._used = self._used, {}
        try:
            await touch_keys(self._pool, list(used.values()), list(used))
        except HeadraceError as error:
            log.warning("key_use_not_noted", code=error.code)

    async def close(self) -> None:
        """Write which keys were used since the last time."""
        if self._touching is not None:
            self._touching.cancel()
            await asyncio.wait({self._touching})


def _is_live(row: DictRow) -> bool:
    if row["user_id"] is not None and row["user_state"] != "active":
        return False
    return row["revoked_at"] is None and (row["expires_at"] is None or row["expires_at"] > datetime.now(UTC))


def _principal_of_key(row: DictRow) -> Principal:
    role, facts = row["role"], read_facts(row["facts"])
    rights = rights_of(role, row["scopes"])
    if row["user_id"] is not None:  # a person's key can do no more than the person
        rights &= rights_of(row["user_role"])
        role = role if row["user_role"] in SEES_ALL else row["user_role"]
    return Principal(
        tenant=facts,
        kind="key",
        id=row["id"],
        role=role,
        rights=rights,
        user_id=row["user_id"],
        visible_user_id=None if row["user_id"] is None or row["user_role"] in SEES_ALL else row["user_id"],
    )
