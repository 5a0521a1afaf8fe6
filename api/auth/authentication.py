"""Authenticates API keys, access tokens and browsers' cookies. Results are cached for a second.

A process that changes who may do what forgets what it has cached (`forget`), so the change holds there at once; in other
processes a revoked key, a disabled user or a suspended tenant is locked out within the second. Before a caller is refused, what
is cached is read again: what was just granted anywhere is never refused.

Fails closed: while Postgres is unavailable, only cached callers get in (others get 503).
"""

import asyncio
import hmac
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime
from uuid import UUID

import structlog

from api.auth.bound_secrets import read_bound_secret
from api.auth.browser_cookie import PREFIX as COOKIE_PREFIX
from api.auth.principals import IDENTITY_TTL_S, MAX_CACHED_IDENTITIES, Principal
from api.auth.tokens.access_tokens import AccessTokens
from schema.errors import HeadraceError, TenantSuspended, Unauthenticated, Unavailable
from schema.identity.api_keys import PREFIX, read_api_key
from schema.identity.budgets import read_budgets
from schema.identity.public_keys import NO_DIGEST
from schema.identity.rights import SEES_ALL, Right, rights_for_role
from schema.postgres.batched_lookup import BatchedLookup
from schema.postgres.connections import Pool
from schema.queries.identity.browser_sessions import BrowserSession, find_browser_sessions
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


CANNOT_CHECK_COOKIE = "Sign-ins can't be checked because the database is unavailable. Try again shortly."
SUSPENDED = "This tenant is suspended. Its data is kept. Contact the operator of this installation."
SIGNED_OUT = "You are signed out here: the sign-in has ended, or its time is over. Sign in again."


class Authenticator:
    """Turns the credentials of a request into a principal. `close()` writes the last uses of keys."""

    def __init__(self, pool: Pool, tokens: AccessTokens) -> None:
        self._pool, self._tokens = pool, tokens
        self._keys: TtlCache[str, PresentedKey | None] = TtlCache(MAX_CACHED_IDENTITIES, IDENTITY_TTL_S)
        self._lookups = BatchedLookup[str, PresentedKey](lambda finds: find_keys(pool, finds))
        self._browsers: TtlCache[tuple[UUID, UUID], BrowserSession | None] = TtlCache(
            MAX_CACHED_IDENTITIES, IDENTITY_TTL_S
        )
        self._cookies = BatchedLookup[tuple[UUID, UUID], BrowserSession](
            lambda wanted: find_browser_sessions(pool, wanted)
        )
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
        find = self._by_key if secret.startswith(PREFIX) else self._by_token
        found = await self._admit(lambda fresh: find(secret, fresh), right)
        return replace(found, address=address, request_id=request_id)

    async def authenticate_browser(
        self, cookie: str, right: Right | None = None, *, address: str | None, request_id: str | None
    ) -> Principal:
        """Return the principal of a browser's cookie: the user or the API key that it is signed in with. Raises as
        `authenticate` does."""
        found = await self._admit(lambda fresh: self._by_cookie(cookie, fresh), right)
        return replace(found, address=address, request_id=request_id)

    async def _admit(self, find: Callable[[bool], Awaitable[Principal]], right: Right | None) -> Principal:
        found = await find(False)
        if found.tenant.state != "active" or (right is not None and right not in found.rights):
            found = await find(True)
        if found.tenant.state != "active":
            raise TenantSuspended(SUSPENDED)
        return found

    def forget(self, tenant_id: UUID | None) -> None:
        """Forget what is cached of a tenant's callers, or of all callers: something about them was changed here."""
        if tenant_id is None:
            self._keys.clear()
            self._browsers.clear()
        else:
            self._keys.discard_where(lambda _, key: key is None or key.tenant_id == tenant_id)
            self._browsers.discard_where(lambda session, _: session[0] == tenant_id)
        self._tokens.forget(tenant_id)

    async def _by_key(self, key: str, fresh: bool) -> Principal:
        parts = read_api_key(key)
        if parts is None:
            raise Unauthenticated(INVALID_KEY)
        found = await self._find_key(parts.find, fresh)
        if found is None or not hmac.compare_digest(found.digest, parts.digest):
            raise Unauthenticated(INVALID_KEY)
        if not _is_live(found):
            if fresh or found.revoked_at is not None:
                raise Unauthenticated(INVALID_KEY)
            return await self._by_key(key, fresh=True)
        self._record_use(found)
        return _principal_of_key(found)

    async def find_public(self, find: str) -> Principal | None:
        """Return the principal of a widget's public key, which is no secret: who it may serve is decided elsewhere
        (`api/widgets/gate.py`). None if there is no such key, or it was revoked. Raises TenantSuspended and Unavailable."""
        key = await self._find_key(find, fresh=False)
        if key is None or key.digest != NO_DIGEST or not _is_live(key):
            return None
        if key.tenant_snapshot.state != "active":
            raise TenantSuspended(SUSPENDED)
        self._record_use(key)
        return _principal_of_key(key)

    async def _by_cookie(self, cookie: str, fresh: bool) -> Principal:
        parts = read_bound_secret(COOKIE_PREFIX, cookie)
        if parts is None:
            raise Unauthenticated(SIGNED_OUT)
        session_key = (parts.tenant_id, parts.row_id)
        if fresh:
            self._browsers.discard(session_key)
        session = await self._browsers.load(session_key, lambda: self._load_browser(session_key))
        if session is None or not hmac.compare_digest(session.digest, parts.digest):
            raise Unauthenticated(SIGNED_OUT)
        if session.login_id is not None:
            return await self._by_login(session.tenant_id, session.login_id, fresh)
        return await self._by_kept_key(session, fresh)

    async def _by_login(self, tenant_id: UUID, login_id: UUID, fresh: bool) -> Principal:
        try:
            principal = await self._tokens.find_login(tenant_id, login_id, fresh=fresh)
        except Unavailable as error:
            raise Unavailable(CANNOT_CHECK_COOKIE) from error
        if principal is None:
            raise Unauthenticated(SIGNED_OUT)
        return principal

    async def _by_kept_key(self, session: BrowserSession, fresh: bool) -> Principal:
        """Return the principal of the key that a browser signed in with."""
        key = await self._find_key(session.find, fresh) if session.find else None
        if key is None or not _is_live(key):
            raise Unauthenticated(SIGNED_OUT)
        self._record_use(key)
        return _principal_of_key(key)

    async def _find_key(self, find: str, fresh: bool) -> PresentedKey | None:
        if fresh:
            self._keys.discard(find)
        return await self._keys.load(find, lambda: self._load_key(find))

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

    async def _load_browser(self, session_key: tuple[UUID, UUID]) -> BrowserSession | None:
        try:
            return await self._cookies.find(session_key)
        except Unavailable as error:
            raise Unavailable(CANNOT_CHECK_COOKIE) from error

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
        front_end_prompts=key.front_end_prompts,
    )
