"""Access tokens: issued here after a sign-in, and turned into the caller whom they speak for.

A token is a claim that is asked about: it is good as long as its sign-in is, which one look-up a second tells. So signing
out, disabling a user and suspending a tenant end it within that second. Fails closed: without Postgres nobody new gets in.
"""

import time
from uuid import UUID

import msgspec
from joserfc import jwt

from api.auth.principals import IDENTITIES, IDENTITY_S, Principal, principal_of_user
from api.auth.tokens.external_tokens import ExternalKeys, ExternalTokens
from api.auth.tokens.jwt_verify import (
    ALGORITHMS,
    LONGEST_S,
    REFUSED,
    Header,
    is_fit,
    read_token,
    refusing,
    verify,
)
from api.auth.tokens.signing_keys import SigningKeys
from schema.db import Pool
from schema.errors import Unauthenticated
from schema.ids import new_id
from schema.queries.identity.callers import find_login
from schema.queries.identity.users import SignInUser
from schema.ttl_cache import TtlCache

TYPE = "at+jwt"
TOOLS_S = 3600
"""How long a token for tools lives: as long as a chat may take."""


class OwnClaims(msgspec.Struct, frozen=True):
    """What we put into our tokens to find the sign-in again. Role and email are in them too, for clients to show; we ask
    Postgres."""

    sub: UUID
    tenant_id: UUID
    sid: UUID
    aud: str


class Tokens:
    """Issues our tokens and knows whom any token speaks for. `issuer` is our own address, as tokens name it."""

    def __init__(
        self,
        pool: Pool,
        signing: SigningKeys,
        remote_keys: ExternalKeys,
        *,
        issuer: str,
        audience: str = "headrace",
        lifetime_s: float = LONGEST_S,
    ) -> None:
        if not 1 <= lifetime_s <= LONGEST_S:
            raise ValueError(f"a token lives {lifetime_s} s; right is 1 to {LONGEST_S}")
        self._pool, self._signing = pool, signing
        self._issuer, self._audience, self.lifetime_s = issuer, audience, int(lifetime_s)
        self._users: TtlCache[tuple[UUID, UUID], SignInUser | None] = TtlCache(IDENTITIES, IDENTITY_S)
        self.foreign = ExternalTokens(pool, remote_keys)

    async def issue(self, tenant_id: UUID, login_id: UUID, user: SignInUser) -> str:
        """Return an access token for a sign-in. It lives `lifetime_s`."""
        key = await self._signing.current()
        now = int(time.time())
        claims = {"iss": self._issuer, "aud": self._audience, "sub": str(user.id), "tenant_id": str(tenant_id)}
        claims |= {"sid": str(login_id), "role": user.role, "email": user.email, "jti": new_id().hex}
        header = {"alg": "RS256", "typ": TYPE, "kid": key.kid}
        return jwt.encode(header, {**claims, "iat": now, "exp": now + self.lifetime_s}, key, algorithms=ALGORITHMS)

    async def issue_for_tools(self, principal: Principal, job_id: UUID) -> str:
        """Return a token that tells a tool's service for whom a job works, for callers who came with an API key. It names no
        sign-in, so it opens nothing here."""
        key = await self._signing.current()
        now = int(time.time())
        claims = {
            "iss": self._issuer,
            "aud": self._audience,
            "tenant_id": str(principal.tenant_id),
            "role": principal.role,
        }
        claims |= {
            "sub": str(principal.user_id or principal.actor),
            "jti": job_id.hex,
            "iat": now,
            "exp": now + TOOLS_S,
        }
        header = {"alg": "RS256", "typ": TYPE, "kid": key.kid}
        return jwt.encode(header, claims, key, algorithms=ALGORITHMS)

    async def find_principal(self, token: str) -> Principal:
        """Return whom a token speaks for. Raises Unauthenticated, always with the same sentence, or Unavailable."""
        header, issue = read_token(token)
        if issue.iss == self._issuer:
            return await self._find_own(token, header)
        return await self.foreign.find_principal(token, header, issue)

    async def _find_own(self, token: str, header: Header) -> Principal:
        key = await self._signing.find(header.kid)
        if key is None or header.typ != TYPE or not is_fit(key, header.kid):
            raise Unauthenticated(REFUSED)
        verified = verify(token, key, issuer=self._issuer, audience=self._audience)
        with refusing():
            claims = msgspec.convert(verified, OwnClaims)
        place = (claims.tenant_id, claims.sid)
        user = await self._users.load(place, lambda: find_login(self._pool, *place))
        if user is None or user.id != claims.sub:
            raise Unauthenticated(REFUSED)
        return principal_of_user(user, token=token, login_id=claims.sid)
