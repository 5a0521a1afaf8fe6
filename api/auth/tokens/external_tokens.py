"""Tokens of a tenant's own identity provider: which provider it is, whether the token is valid, and which user it belongs to.

Issuer and audience together identify one provider of one tenant, so no issuer can speak for a tenant that did not register
it. Somebody new is linked to the user with the same verified email or, if the provider allows sign-up, gets a new user. Nobody
becomes an admin this way.
"""

from typing import Any, Protocol
from uuid import UUID

import msgspec
import structlog
from joserfc.jwk import KeySet, RSAKey

from api.auth.oidc.id_claims import check_id_claims
from api.auth.principals import IDENTITY_TTL_S, MAX_CACHED_IDENTITIES, Principal, principal_of_user
from api.auth.role_checks import read_email
from api.auth.tokens.jwt_verify import (
    INVALID_OR_EXPIRED,
    Header,
    IssuerClaims,
    can_verify,
    raising_unauthenticated,
    read_token,
    verify,
)
from schema.errors import HeadraceError, Unauthenticated
from schema.ids import new_id
from schema.postgres.connections import Db, Pool, tenant_tx
from schema.queries.identity.callers import find_identity_providers
from schema.queries.identity.identity_providers import SignInProvider, TrustedIssuer
from schema.queries.identity.users import SignInUser, add_user, find_subject, link_user
from schema.queries.tenants.audit import add_audit
from schema.ttl_cache import TtlCache

log = structlog.get_logger()

ASSIGNABLE_ROLES = ("owner", "member", "viewer")
"""Roles that a provider may assign to new users, highest first."""


class ExternalKeys(Protocol):
    """Source of the public keys of issuers (`api/auth/tokens/jwks.py`)."""

    async def get(self, url: str, tenant_id: UUID = ...) -> KeySet: ...

    async def refetch(self, url: str, tenant_id: UUID = ...) -> KeySet: ...

    async def discover(self, issuer: str, tenant_id: UUID = ...) -> dict[str, Any]: ...


class ExternalClaims(msgspec.Struct, frozen=True):
    """The claims that are read from a verified external token."""

    sub: str
    email: str | None = None
    email_verified: Any = None
    name: str | None = None


class ExternalTokens:
    """Resolves tokens of tenants' identity providers to users."""

    def __init__(self, pool: Pool, keys: ExternalKeys) -> None:
        self._pool, self._keys = pool, keys
        self._providers: TtlCache[str, list[TrustedIssuer]] = TtlCache(MAX_CACHED_IDENTITIES, IDENTITY_TTL_S)
        self._users: TtlCache[tuple[UUID, UUID, str], SignInUser | None] = TtlCache(
            MAX_CACHED_IDENTITIES, IDENTITY_TTL_S
        )

    def forget(self, tenant_id: UUID | None) -> None:
        """Forget what is cached of a tenant's providers and their users, or of all."""
        self._providers.clear()
        self._users.discard_where(lambda subject, _: tenant_id in (None, subject[0]))

    async def find_principal(
        self, token: str, header: Header, issuer_claims: IssuerClaims, *, fresh: bool = False
    ) -> Principal:
        """Return the principal of a token; `fresh`: read again who that is. Raises Unauthenticated, always with the same
        message, or Unavailable."""
        provider = await self._find_provider(issuer_claims)
        try:
            key = await self._find_key(provider, header.kid)
            claims = verify(token, key, issuer=issuer_claims.iss, audience=provider.audience)
            user = await self.find_user(provider, claims, fresh=fresh)
            if user is not None and user.state != "active" and not fresh:
                user = await self.find_user(provider, claims, fresh=True)
            if user is None or user.state != "active":
                raise Unauthenticated(INVALID_OR_EXPIRED)
        except Unauthenticated as error:
            # Logged to help set up the provider: only tokens that name it get this far. Nothing of the token is logged.
            log.info("external_token_rejected", provider_id=str(provider.id), why=type(error.__cause__).__name__)
            raise
        return principal_of_user(user, provider_token=token)

    async def read_id_token(
        self, provider: SignInProvider, token: str, *, nonce: str, access_token: str | None
    ) -> dict[str, Any]:
        """Return the claims of an ID token that was issued to our client for the sign-in with this nonce. Raises
        Unauthenticated, with EgressFailed as its cause if the provider's keys can't be fetched."""
        header, issuer_claims = read_token(token)
        if issuer_claims.iss != provider.issuer or header.typ == "at+jwt":
            raise Unauthenticated(INVALID_OR_EXPIRED)
        key = await self._find_key(provider, header.kid)
        claims = verify(token, key, issuer=provider.issuer, audience=provider.client_id)
        check_id_claims(claims, client_id=provider.client_id, nonce=nonce, access_token=access_token)
        return claims

    async def find_user(
        self, provider: TrustedIssuer, verified: dict[str, Any], *, fresh: bool = False
    ) -> SignInUser | None:
        """Return the user that verified claims belong to, disabled or not. Somebody new is linked or added; None if that isn't
        possible. Raises Unauthenticated for claims that can't belong to a user of this tenant."""
        with raising_unauthenticated():
            claims = msgspec.convert(verified, ExternalClaims)
        tenant_id = verified.get("tenant_id", str(provider.tenant_id))
        if tenant_id != str(provider.tenant_id) or not 0 < len(claims.sub) <= 255 or "\0" in claims.sub:
            raise Unauthenticated(INVALID_OR_EXPIRED)
        subject_key = (provider.tenant_id, provider.id, claims.sub)
        if fresh:
            self._users.discard(subject_key)
        return await self._users.load(subject_key, lambda: self._find_or_add_user(provider, claims, verified))

    async def _find_provider(self, issuer_claims: IssuerClaims) -> TrustedIssuer:
        matching = await self._match_providers(issuer_claims)
        if len(matching) != 1:  # it may have been registered just now
            self._providers.discard(issuer_claims.iss)
            matching = await self._match_providers(issuer_claims)
        if len(matching) != 1:  # a token for two tenants is valid for neither
            raise Unauthenticated(INVALID_OR_EXPIRED)
        return matching[0]

    async def _match_providers(self, issuer_claims: IssuerClaims) -> list[TrustedIssuer]:
        issuers = await self._providers.load(
            issuer_claims.iss, lambda: find_identity_providers(self._pool, issuer_claims.iss)
        )
        return [provider for provider in issuers if provider.audience in issuer_claims.audiences]

    async def _find_key(self, provider: TrustedIssuer, kid: str) -> RSAKey:
        try:
            url = provider.jwks_url or (await self._keys.discover(provider.issuer, provider.tenant_id)).get("jwks_uri")
            if not isinstance(url, str):
                raise Unauthenticated(INVALID_OR_EXPIRED)
            # An unknown key may be new, so the issuer is asked again, as often as `RemoteKeys` allows.
            for get_keys in (self._keys.get, self._keys.refetch):
                for key in await get_keys(url, provider.tenant_id):
                    if isinstance(key, RSAKey) and can_verify(key, kid):
                        return key
        except HeadraceError as error:
            raise Unauthenticated(INVALID_OR_EXPIRED) from error
        raise Unauthenticated(INVALID_OR_EXPIRED)

    async def _find_or_add_user(
        self, provider: TrustedIssuer, claims: ExternalClaims, verified: dict[str, Any]
    ) -> SignInUser | None:
        async with tenant_tx(self._pool, provider.tenant_id) as db:
            user = await find_subject(db, provider.tenant_id, provider.id, claims.sub)
            if user is None:
                await link_or_add_user(db, provider, claims, role=assigned_role(provider, verified))
                user = await find_subject(db, provider.tenant_id, provider.id, claims.sub)
            return user


async def link_or_add_user(db: Db, provider: TrustedIssuer, claims: ExternalClaims, *, role: str) -> None:
    """Link somebody new to the user with the same email, if the provider has verified it, or add a user with `role`, if the
    provider allows sign-up. Otherwise do nothing."""
    email = _valid_email(claims)
    if email is None:
        return
    tenant_id, provider_id = provider.tenant_id, provider.id
    if claims.email_verified is True:
        user_id = await link_user(db, tenant_id, provider_id, claims.sub, email=email)
        if user_id is not None:
            await _add_audit(db, provider, user_id, "user.changed", {"linked": True})
            return
    if provider.sign_up and claims.email_verified is not False:
        user_id, name = new_id(), (claims.name or "")[:200].replace("\0", "")
        fields = {"email": email, "name": name, "role": role, "provider_id": provider_id, "subject": claims.sub}
        if await add_user(db, tenant_id, user_id, **fields) is not None:
            await _add_audit(db, provider, user_id, "user.created", {"role": role})


def assigned_role(provider: TrustedIssuer, verified: dict[str, Any]) -> str:
    """Return the role of a new user: the highest assignable one in the token's `role_claim`, or the provider's default."""
    roles = verified.get(provider.role_claim) if provider.role_claim else None
    roles = roles if isinstance(roles, list) else [roles]
    return next((role for role in ASSIGNABLE_ROLES if role in roles), provider.role)


def _valid_email(claims: ExternalClaims) -> str | None:
    try:
        return read_email(claims.email or "")
    except HeadraceError:
        return None


async def _add_audit(db: Db, provider: TrustedIssuer, user_id: UUID, action: str, detail: dict[str, Any]) -> None:
    actor, target = f"identity_provider:{provider.id}", f"user:{user_id}"
    await add_audit(db, provider.tenant_id, actor=actor, action=action, target=target, detail=detail)
