"""Tokens of a tenant's own identity provider: which provider, whether it may say so, and which user it means.

(issuer, audience) names one provider of one tenant, so no issuer speaks for a tenant that did not choose it. A person who
comes for the first time is found by a verified email or, where the provider may sign people up, made. Nobody becomes an
admin this way.
"""

from typing import Any, Protocol
from uuid import UUID

import msgspec
import structlog
from joserfc.jwk import KeySet, RSAKey

from api.auth.oidc.id_claims import check_id_claims
from api.auth.principals import IDENTITIES, IDENTITY_S, Principal, principal_of_user
from api.auth.role_checks import read_email
from api.auth.tokens.jwt_verify import REFUSED, Header, Issue, is_fit, read_token, refusing, verify
from schema.db import Db, Pool, tenant_tx
from schema.errors import HeadraceError, Unauthenticated
from schema.ids import new_id
from schema.queries.identity.callers import find_identity_providers
from schema.queries.identity.identity_providers import SignInProvider, TrustedIssuer
from schema.queries.identity.users import SignInUser, add_user, find_subject, link_user
from schema.queries.tenants.audit import add_audit
from schema.ttl_cache import TtlCache

log = structlog.get_logger()

GIVEN_ROLES = ("owner", "member", "viewer")
"""What a provider may make of somebody, the highest first."""


class ExternalKeys(Protocol):
    """Where the keys of issuers come from (`api/auth/tokens/jwks.py`)."""

    async def get(self, url: str) -> KeySet: ...

    async def refetch(self, url: str) -> KeySet: ...

    async def discover(self, issuer: str) -> dict[str, Any]: ...


class ExternalClaims(msgspec.Struct, frozen=True):
    """What we read of a foreign token once it is verified."""

    sub: str
    email: str | None = None
    email_verified: Any = None
    name: str | None = None


class ExternalTokens:
    """Knows whom a token speaks for that a tenant's identity provider issued."""

    def __init__(self, pool: Pool, keys: ExternalKeys) -> None:
        self._pool, self._keys = pool, keys
        self._providers: TtlCache[str, list[TrustedIssuer]] = TtlCache(IDENTITIES, IDENTITY_S)
        self._users: TtlCache[tuple[UUID, UUID, str], SignInUser | None] = TtlCache(IDENTITIES, IDENTITY_S)

    async def find_principal(self, token: str, header: Header, issue: Issue) -> Principal:
        """Return whom a token speaks for. Raises Unauthenticated, always with the same sentence, or Unavailable."""
        provider = await self._find_provider(issue)
        try:
            key = await self._find_key(provider, header.kid)
            claims = verify(token, key, issuer=issue.iss, audience=provider.audience)
            user = await self.find_user(provider, claims)
            if user is None or user.state != "active":
                raise Unauthenticated(REFUSED)
        except Unauthenticated as error:
            # For whoever sets the provider up: only tokens that name it get this far. Nothing of them is logged.
            log.info("foreign_token_refused", provider_id=str(provider.id), why=type(error.__cause__).__name__)
            raise
        return principal_of_user(user, token=token, login_id=None)

    async def read_id_token(
        self, provider: SignInProvider, token: str, *, nonce: str, access_token: str | None
    ) -> dict[str, Any]:
        """Return the claims of an ID token that a provider sent for our client and the sign-in with this nonce. Raises
        Unauthenticated, because of EgressFailed when the provider's keys can't be had."""
        header, issue = read_token(token)
        if issue.iss != provider.issuer or header.typ == "at+jwt":
            raise Unauthenticated(REFUSED)
        key = await self._find_key(provider, header.kid)
        claims = verify(token, key, issuer=provider.issuer, audience=provider.client_id)
        check_id_claims(claims, client_id=provider.client_id, nonce=nonce, access_token=access_token)
        return claims

    async def find_user(self, provider: TrustedIssuer, verified: dict[str, Any]) -> SignInUser | None:
        """Return the user whom verified claims mean, disabled or not; somebody new is admitted,
        or is None. Raises Unauthenticated for claims that mean nobody."""
        with refusing():
            claims = msgspec.convert(verified, ExternalClaims)
        named = verified.get("tenant_id", str(provider.tenant_id))
        if named != str(provider.tenant_id) or not 0 < len(claims.sub) <= 255 or "\0" in claims.sub:
            raise Unauthenticated(REFUSED)
        who = (provider.tenant_id, provider.id, claims.sub)
        return await self._users.load(who, lambda: self._find_or_admit(provider, claims, verified))

    async def _find_provider(self, issue: Issue) -> TrustedIssuer:
        issuers = await self._providers.load(issue.iss, lambda: find_identity_providers(self._pool, issue.iss))
        meant = [one for one in issuers if one.audience in issue.audiences]
        if len(meant) != 1:  # a token that is meant for two tenants is good for none
            raise Unauthenticated(REFUSED)
        return meant[0]

    async def _find_key(self, provider: TrustedIssuer, kid: str) -> RSAKey:
        try:
            url = provider.jwks_url or (await self._keys.discover(provider.issuer)).get("jwks_uri")
            if not isinstance(url, str):
                raise Unauthenticated(REFUSED)
            # An unknown key may be new: the second look asks the issuer, as often as `RemoteKeys` lets it.
            for look in (self._keys.get, self._keys.refetch):
                for key in await look(url):
                    if isinstance(key, RSAKey) and is_fit(key, kid):
                        return key
        except HeadraceError as error:
            raise Unauthenticated(REFUSED) from error
        raise Unauthenticated(REFUSED)

    async def _find_or_admit(
        self, provider: TrustedIssuer, claims: ExternalClaims, verified: dict[str, Any]
    ) -> SignInUser | None:
        async with tenant_tx(self._pool, provider.tenant_id) as db:
            user = await find_subject(db, provider.tenant_id, provider.id, claims.sub)
            if user is None:
                await admit(db, provider, claims, role=role_of(provider, verified))
                user = await find_subject(db, provider.tenant_id, provider.id, claims.sub)
            return user


async def admit(db: Db, provider: TrustedIssuer, claims: ExternalClaims, *, role: str) -> None:
    """Give somebody who is new to us their user: the one with the same email, if the provider has verified it, or a new
    one with `role`, if the provider may sign people up. Or nothing, and then nobody is found."""
    email = _email_of(claims)
    if email is None:
        return
    tenant_id, provider_id = provider.tenant_id, provider.id
    if claims.email_verified is True:
        user_id = await link_user(db, tenant_id, provider_id, claims.sub, email=email)
        if user_id is not None:
            await _note(db, provider, user_id, "user.changed", {"linked": True})
            return
    if provider.sign_up and claims.email_verified is not False:
        user_id, name = new_id(), (claims.name or "")[:200].replace("\0", "")
        fields = {"email": email, "name": name, "role": role, "provider_id": provider_id, "subject": claims.sub}
        if await add_user(db, tenant_id, user_id, **fields) is not None:
            await _note(db, provider, user_id, "user.created", {"role": role})


def role_of(provider: TrustedIssuer, verified: dict[str, Any]) -> str:
    """Return the role of a new user: what the token's `role_claim` says, if a provider may say so, or the provider's own.
    Of several the highest counts."""
    said = verified.get(provider.role_claim) if provider.role_claim else None
    said = said if isinstance(said, list) else [said]
    return next((role for role in GIVEN_ROLES if role in said), provider.role)


def _email_of(claims: ExternalClaims) -> str | None:
    try:
        return read_email(claims.email or "")
    except HeadraceError:
        return None


async def _note(db: Db, provider: TrustedIssuer, user_id: UUID, action: str, detail: dict[str, Any]) -> None:
    actor, target = f"identity_provider:{provider.id}", f"user:{user_id}"
    await add_audit(db, provider.tenant_id, actor=actor, action=action, target=target, detail=detail)
