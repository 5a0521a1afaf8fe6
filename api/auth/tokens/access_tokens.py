"""Access tokens: issued after a sign-in, and resolved to the principal they belong to.

A token is valid as long as its sign-in, which is cached for a second: signing out, disabling a user or suspending a tenant ends
it at once in the process that did it, and within a second in others. Fails closed: without Postgres only cached callers get in.
"""

import time
from uuid import UUID

import msgspec
from joserfc import jwt

from api.auth.principals import IDENTITY_TTL_S, MAX_CACHED_IDENTITIES, Principal, principal_of_user
from api.auth.tokens.external_tokens import ExternalKeys, ExternalTokens
from api.auth.tokens.jwt_verify import (
    ALGORITHMS,
    INVALID_OR_EXPIRED,
    MAX_LIFETIME_S,
    Header,
    can_verify,
    raising_unauthenticated,
    read_token,
    verify,
)
from schema.errors import Unauthenticated
from schema.ids import new_id
from schema.postgres.batched_lookup import BatchedLookup
from schema.postgres.connections import Pool
from schema.queries.identity.callers import find_logins
from schema.queries.identity.users import SignInUser
from schema.ttl_cache import TtlCache
from workers.signing_keys import SigningKeys

JWT_TYPE = "at+jwt"


class OwnClaims(msgspec.Struct, frozen=True):
    """The claims of our tokens that identify the sign-in. Role and email are in them too, for clients to show; here they are
    read from Postgres."""

    sub: UUID
    tenant_id: UUID
    sid: UUID
    aud: str


class AccessTokens:
    """Issues our tokens, and resolves ours and external ones to principals. `issuer` is our own URL, as tokens name it."""

    def __init__(
        self,
        pool: Pool,
        signing: SigningKeys,
        remote_keys: ExternalKeys,
        *,
        issuer: str,
        audience: str = "headrace",
        lifetime_s: float = MAX_LIFETIME_S,
    ) -> None:
        if not 1 <= lifetime_s <= MAX_LIFETIME_S:
            raise ValueError(f"lifetime_s must be 1 to {MAX_LIFETIME_S}, not {lifetime_s}")
        self._pool, self._signing = pool, signing
        self._issuer, self._audience, self.lifetime_s = issuer, audience, int(lifetime_s)
        self._users: TtlCache[tuple[UUID, UUID], SignInUser | None] = TtlCache(MAX_CACHED_IDENTITIES, IDENTITY_TTL_S)
        self._logins = BatchedLookup[tuple[UUID, UUID], SignInUser](lambda wanted: find_logins(pool, wanted))
        self.external = ExternalTokens(pool, remote_keys)

    async def issue(self, tenant_id: UUID, login_id: UUID, user: SignInUser) -> str:
        """Return an access token for a sign-in, valid for `lifetime_s`."""
        key = await self._signing.current()
        now = int(time.time())
        claims = {"iss": self._issuer, "aud": self._audience, "sub": str(user.id), "tenant_id": str(tenant_id)}
        claims |= {"sid": str(login_id), "role": user.role, "email": user.email, "jti": new_id().hex}
        header = {"alg": "RS256", "typ": JWT_TYPE, "kid": key.kid}
        return jwt.encode(header, {**claims, "iat": now, "exp": now + self.lifetime_s}, key, algorithms=ALGORITHMS)

    def forget(self, tenant_id: UUID | None) -> None:
        """Forget what is cached of a tenant's sign-ins and identity providers, or of all."""
        self._users.discard_where(lambda login, _: tenant_id in (None, login[0]))
        self.external.forget(tenant_id)

    async def find_principal(self, token: str, *, fresh: bool = False) -> Principal:
        """Return the principal of a token; `fresh`: read again who that is. Raises Unauthenticated, always with the same
        message, or Unavailable."""
        header, issuer_claims = read_token(token)
        if issuer_claims.iss == self._issuer:
            return await self._find_own(token, header, fresh)
        return await self.external.find_principal(token, header, issuer_claims, fresh=fresh)

    async def _find_own(self, token: str, header: Header, fresh: bool) -> Principal:
        key = await self._signing.find(header.kid)
        if key is None or header.typ != JWT_TYPE or not can_verify(key, header.kid):
            raise Unauthenticated(INVALID_OR_EXPIRED)
        verified = verify(token, key, issuer=self._issuer, audience=self._audience)
        with raising_unauthenticated():
            claims = msgspec.convert(verified, OwnClaims)
        principal = await self.find_login(claims.tenant_id, claims.sid, fresh=fresh)
        if principal is None or principal.id != claims.sub:
            raise Unauthenticated(INVALID_OR_EXPIRED)
        return principal

    async def find_login(self, tenant_id: UUID, login_id: UUID, *, fresh: bool = False) -> Principal | None:
        """Return the principal of a sign-in; None if it has ended. `fresh`: read it again."""
        login_key = (tenant_id, login_id)
        if fresh:
            self._users.discard(login_key)
        user = await self._users.load(login_key, lambda: self._logins.find(login_key))
        return principal_of_user(user, login_id=login_id) if user else None
