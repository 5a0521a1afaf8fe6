"""Tokens by which the services behind a tenant's tools know for whom a job works.

    API: seal_caller ──► job_secrets, until the job ends ──► worker: open_caller ──► JobTokens.issue, per call and host

A job token is a JWT signed with the keys at `/.well-known/jwks.json`. Its audience is the host of the tool, so no other service
accepts it; its type is `job+jwt` and it names no sign-in, so headrace doesn't either. Nobody's own access token or API key ever
leaves: only a token that the tenant's identity provider issued does, to tools that ask for it (`authorization`).
"""

import time
from collections.abc import Iterable
from uuid import UUID

import httpx2
import msgspec
from joserfc import jwt
from msgspec.structs import replace

from schema.errors import SecretUnreadable
from schema.identity.rights import Role, rights_for_role
from schema.ids import new_id
from schema.vault import Sealed, Vault
from workers.signing_keys import SigningKeys

JOB_TOKEN_TYPE = "job+jwt"  # noqa: S105 (no secret)
LIFETIME_S = 300
"""A token is issued for each call, and no tool may take longer."""


class JobCaller(msgspec.Struct, frozen=True, kw_only=True):
    """For whom a job works. `subject` is a user's id, or `key:ID`; `rights` are those of the caller, narrowed by an API key's
    scopes; `provider_token` is the token that the caller sent, if the tenant's identity provider issued it."""

    issuer: str
    tenant_id: UUID
    subject: str
    role: Role
    rights: tuple[str, ...]
    provider_token: str | None = None

    def __repr__(self) -> str:
        return f"JobCaller(subject={self.subject})"

    def narrowed_to(self, role: Role | None) -> "JobCaller":
        """Return the caller with no more rights than `role`, which the user has by now; None leaves them as they are."""
        if role is None:
            return self
        rights = tuple(right for right in self.rights if right in rights_for_role(role))
        return replace(self, role=role, rights=rights)


class JobTokens:
    """Issues job tokens."""

    def __init__(self, signing: SigningKeys) -> None:
        self._signing = signing

    async def issue(self, caller: JobCaller, job_id: UUID | str, audience: str) -> str:
        """Return a token for one call of a tool at `audience`. Raises Unavailable or SecretUnreadable."""
        key, now = await self._signing.current(), int(time.time())
        claims = {"iss": caller.issuer, "aud": audience, "sub": caller.subject, "tenant_id": str(caller.tenant_id)}
        claims |= {"role": caller.role, "scope": " ".join(caller.rights), "job_id": str(job_id), "jti": new_id().hex}
        header = {"alg": "RS256", "typ": JOB_TOKEN_TYPE, "kid": key.kid}
        return jwt.encode(header, {**claims, "iat": now, "exp": now + LIFETIME_S}, key, algorithms=["RS256"])


def read_audience(url: str) -> str:
    """Return the host of a URL, with the port if it isn't the scheme's own: what a job token for it names as its audience."""
    parsed = httpx2.URL(url)
    host = parsed.raw_host.decode("ascii").lower().rstrip(".")
    host = f"[{host}]" if ":" in host else host
    return host if parsed.port is None else f"{host}:{parsed.port}"


def sorted_rights(rights: Iterable[str]) -> tuple[str, ...]:
    """Return rights in the order in which tokens list them."""
    return tuple(sorted(rights))


def seal_caller(vault: Vault, caller: JobCaller, job_id: UUID) -> Sealed:
    """Return the caller encrypted for the job."""
    text = msgspec.json.encode(caller).decode()
    return vault.seal(text, tenant_id=caller.tenant_id, owner_id=job_id)


def open_caller(vault: Vault, sealed: Sealed, tenant_id: UUID, job_id: UUID) -> JobCaller:
    """Return the caller of a job. Raises SecretUnreadable."""
    try:
        return msgspec.json.decode(vault.open(sealed, tenant_id=tenant_id, owner_id=job_id), type=JobCaller)
    except msgspec.MsgspecError:
        raise SecretUnreadable("The stored caller of a job was written by another version of headrace.") from None
