"""Authenticates API keys and access tokens. Results are cached for a second.

A process that changes who may do what forgets what it has cached (`forget`), so the change holds there at once; in other
processes a revoked key, a disabled user or a suspended tenant is locked out within the second. Before a caller is refused, what
is cached is read again: what was just granted anywhere is never refused.

Fails closed: while Postgres is unavailable, only cached callers get in (others get 503).
"""

import asyncio
import hmac
from dataclasses import replace
from datetime import UTC, datetime
from uuid import UUID

import structlog

from api.auth.principals import IDENTITY_TTL_S, MAX_CACHED_IDENTITIES, Principal
from api.auth.tokens.access_tokens import AccessTokens
from schema.errors import HeadraceError, TenantSuspended, Unauthenticated, Unavailable
from schema.identity.api_keys import PREFIX, read_api_key
from schema.identity.budgets import read_budgets
from schema.identity.rights import SEES_ALL, Right, rights_for_role
from schema.postgres.batched_lookup import BatchedLookup
from schema.postgres.connections import Pool
from schema.queries.identity.callers import PresentedKey, find_keys, touch_keys
from schema.ttl_cache import TtlCache

log = structlog.get_logger()

TOUCH_INTERVAL_S = 15.0  # how often `last_used_at` of keys is written

INVALID_KEY = (
    "This API key is invalid. Send a valid one as `Authorization: Bearer hr_…` or `X-API-Key: hr_…`. Your tenant's owner can "
    "create one."
)


NEITHER_KEY_NOR_JWT = (
    "This is neither an API key, which starts with hr_, nor an access token, which is a JWT. Check what your client sends as "
    "`Authorization: Bearer …` or `X-API-Key: …`."
)


class Authenticator:
    """Turns the credentials of a request into a principal. `close()` writes the last uses of keys."""

    def __init__(self, pool: Pool, tokens: AccessTokens) -> None:
        self._pool, self._tokens = pool, tokens
        self._keys: TtlCache[str, PresentedKey | None] = TtlCache(MAX_CACHED_IDENTITIES, IDENTITY_TTL_S)
        self._lookups = BatchedLookup[str, PresentedKey](lambda finds: find_keys(pool, finds))
        self._used: dict[UUID, UUID] = {}
        self._touch_task: asyncio.Task[None] | None = None

    async def authenticate(
        self, secret: str, right: Right | None = None, *, address: str | None, request_id: str | None
    ) -> Principal:
        """Return the principal of an API key or a token. If they seem to lack the `right` that they need, they are read again.

        Raises Unauthenticated, with the same message whatever is wrong with a key or a token, TenantSuspended, or
        Unavailable.
        """
        if not secret.startswith(PREFIX) and "." not in secret:
            raise Unauthenticated(NEITHER_KEY_NOR_JWT)
        found = await self._find(secret)
        if found.tenant.state != "active" or (right is not None and right not in found.rights):
            found = await self._find(secret, fresh=True)
        if found.tenant.state != "active":
            raise TenantSuspended(
                "This tenant is suspended. Its data is kept. Contact the operator of this installation."
            )
        return replace(found, address=address, request_id=request_id)

    def forget(self, tenant_id: UUID | None) -> None:
        """Forget what is cached of a tenant's callers, or of all callers: something about them was changed here."""
        if tenant_id is None:
            self._keys.clear()
        else:
            self._keys.discard_where(lambda _, key: key is None or key.tenant_id == tenant_id)
        self._tokens.forget(tenant_id)

    async def _find(self, secret: str, *, fresh: bool = False) -> Principal:
        return await (self._by_key(secret, fresh) if secret.startswith(PREFIX) else self._by_token(secret, fresh))

    async def _by_key(self, key: str, fresh: bool) -> Principal:
        parts = read_api_key(key)
        if parts is None:
            raise Unauthenticated(INVALID_KEY)
        if fresh:
            self._keys.discard(parts.find)
        found = await self._keys.load(parts.find, lambda: self._load_key(parts.find))
        if found is None or not hmac.compare_digest(found.digest, parts.digest):
            raise Unauthenticated(INVALID_KEY)
        if not _is_live(found):
            if fresh or found.revoked_at is not None:
                raise Unauthenticated(INVALID_KEY)
            return await self._by_key(key, fresh=True)
        self._record_use(found)
        return _principal_of_key(found)

    async def _by_token(self, token: str, fresh: bool) -> Principal:
        try:
            return await self._tokens.find_principal(token, fresh=fresh)
        except Unavailable as error:
            raise Unavailable(
                "Tokens can't be checked because the database is unavailable. Try again shortly."
            ) from error

    async def _load_key(self, find: str) -> PresentedKey | None:
        try:
            return await self._lookups.find(find)
        except Unavailable as error:
            raise Unavailable(
                "API keys can't be checked because the database is unavailable. Try again shortly."
            ) from error

    def _record_use(self, key: PresentedKey) -> None:
        self._used[key.id] = key.tenant_id
        if self._touch_task is None:
            self._touch_task = asyncio.get_running_loop().create_task(self._touch_later(), name="touch keys")

    async def _touch_later(self) -> None:
        try:
            await asyncio.sleep(TOUCH_INTERVAL_S)
        finally:
            self._touch_task = None
            await self._touch_used()

    async def _touch_used(self) -> None:
        used, self._used = self._used, {}
        try:
            await touch_keys(self._pool, list(used.values()), list(used))
        except HeadraceError as error:
            log.warning("key_use_not_recorded", code=error.code)

    async def close(self) -> None:
        """Write which keys were used since the last write."""
        if self._touch_task is not None:
            self._touch_task.cancel()
            await asyncio.wait({self._touch_task})


def _is_live(key: PresentedKey) -> bool:
    if key.user_id is not None and key.user_state != "active":
        return False
    return key.revoked_at is None and (key.expires_at is None or key.expires_at > datetime.now(UTC))


def _principal_of_key(key: PresentedKey) -> Principal:
    role, rights = key.role, rights_for_role(key.role, key.scopes)
    visible_user_id = None
    if key.user_id is not None:  # a user's key can do no more than the user
        assert key.user_role is not None, "a key is deleted with the user that it acts for"
        rights &= rights_for_role(key.user_role)
        role = role if key.user_role in SEES_ALL else key.user_role
        visible_user_id = None if key.user_role in SEES_ALL else key.user_id
    return Principal(
        tenant=key.tenant_snapshot,
        kind="key",
        id=key.id,
        role=role,
        rights=rights,
        user_id=key.user_id,
        visible_user_id=visible_user_id,
        expires_at=key.expires_at,
        budgets=read_budgets(key.budgets),
    )
