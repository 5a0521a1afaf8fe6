"""The public keys of external issuers, fetched through the egress guard and cached. Only keys that can verify RS256 are
used. Which tokens are accepted is decided elsewhere.
"""

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Self
from uuid import UUID

from joserfc.errors import JoseError
from joserfc.jwk import KeySet, RSAKey
from joserfc.util import urlsafe_b64decode

from api.auth.tokens.cached_document import CachedDocument
from schema.errors import EgressFailed
from schema.vault import PLATFORM
from tools.egress import EgressPolicy, Resolver, TenantEgress, client_over, fetch_json, open_client, parse_url
from tools.egress.network import resolve

MAX_KEYS = 100
MAX_BYTES = 256 * 1024
TIMEOUT_S = 10.0

KEY_BITS = range(2048, 8192 + 1)
"""Shorter keys can be factored (RFC 8725 §3.2); longer ones make each verification slower."""

PUBLIC_FIELDS = ("kty", "n", "e", "kid", "use", "alg")


class RemoteKeys:
    """Key sets and OpenID configurations by URL. URLs come only from registered providers, never from a token (`jku`,
    `x5u`). Close it, or use it as a context manager."""

    def __init__(
        self,
        policy: EgressPolicy,
        egress: TenantEgress | None = None,
        *,
        clock: Callable[[], float] = time.monotonic,
        resolver: Resolver = resolve,
    ) -> None:
        # Keys fetched over plain http could be anybody's, so that is only for hosts that an admin has allowed.
        policy = replace(policy, allow_http=False)
        self._client = open_client(policy, max_bytes=MAX_BYTES, timeout_s=TIMEOUT_S, resolver=resolver)
        self._clock = clock
        self._egress = egress
        # By tenant as well: what one was granted, another does not learn from a cache.
        self._key_sets: dict[tuple[UUID, str], CachedDocument[KeySet]] = {}
        self._documents: dict[tuple[UUID, str], CachedDocument[dict[str, Any]]] = {}

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        for cached in (*self._key_sets.values(), *self._documents.values()):
            await cached.aclose()
        await self._client.aclose()

    async def get(self, url: str, tenant_id: UUID = PLATFORM) -> KeySet:
        """Return the usable keys at `url`; there may be none. Raises EgressFailed if the set can't be fetched and the last one
        is older than a day."""
        return await self._key_set(url, tenant_id).get()

    async def refetch(self, url: str, tenant_id: UUID = PLATFORM) -> KeySet:
        """Like `get`, for a token whose `kid` is not in the set: the issuer may have a new key. It is asked at most once a
        minute, so that made-up `kid`s can't flood it."""
        return await self._key_set(url, tenant_id).refetch()

    async def discover(self, issuer: str, tenant_id: UUID = PLATFORM) -> dict[str, Any]:
        """Return the OpenID configuration of `issuer`. Raises EgressFailed if it can't be fetched or names another issuer."""
        cached = self._documents.get((tenant_id, issuer))
        if cached is None:
            cached = CachedDocument(
                f"The OpenID configuration of {_host(issuer)}",
                lambda: self._read_document(issuer, tenant_id),
                self._clock,
            )
            self._documents[tenant_id, issuer] = cached
        return await cached.get()

    def _key_set(self, url: str, tenant_id: UUID) -> CachedDocument[KeySet]:
        cached = self._key_sets.get((tenant_id, url))
        if cached is None:
            cached = CachedDocument(
                f"The key set of {_host(url)}", lambda: self._read_keys(url, tenant_id), self._clock
            )
            self._key_sets[tenant_id, url] = cached
        return cached

    async def _read_keys(self, url: str, tenant_id: UUID) -> KeySet:
        return usable_keys(await self._fetch(url, tenant_id), _host(url))

    async def _fetch(self, url: str, tenant_id: UUID) -> Any:
        if self._egress is None or tenant_id == PLATFORM:
            return await fetch_json(self._client, url)
        limits = {"allow_http": False, "max_bytes": MAX_BYTES, "timeout_s": TIMEOUT_S}
        transport = await self._egress.transport(tenant_id, "sign_in", **limits)
        return await fetch_json(client_over(transport, TIMEOUT_S), url)

    async def _read_document(self, issuer: str, tenant_id: UUID) -> dict[str, Any]:
        document = await self._fetch(f"{issuer.rstrip('/')}/.well-known/openid-configuration", tenant_id)
        if not isinstance(document, dict) or document.get("issuer") != issuer:
            raise EgressFailed(
                f"The OpenID configuration of {_host(issuer)} has another issuer than the one registered."
            )
        return document


def usable_keys(document: Any, host: str) -> KeySet:
    """Return the RSA keys of a JSON Web Key Set that can verify signatures; unusable ones are skipped. Raises EgressFailed if
    the document is not a key set."""
    keys = document.get("keys") if isinstance(document, dict) else None
    if not isinstance(keys, list) or len(keys) > MAX_KEYS:
        raise EgressFailed(f"{host} did not return a JSON Web Key Set of at most {MAX_KEYS} keys.")
    return KeySet([key for key in map(_usable_key, keys) if key is not None])


def _usable_key(fields: Any) -> RSAKey | None:
    if not isinstance(fields, dict) or fields.get("kty") != "RSA" or not _may_verify(fields):
        return None
    public = {name: fields[name] for name in PUBLIC_FIELDS if name in fields}
    try:
        # Checked here because joserfc only warns about short keys.
        bits = int.from_bytes(urlsafe_b64decode(str(public["n"]).encode())).bit_length()
        return RSAKey.import_key(public) if bits in KEY_BITS else None
    except (JoseError, KeyError, ValueError, TypeError):
        return None


def _may_verify(fields: dict[str, Any]) -> bool:
    operations = fields.get("key_ops", ["verify"])
    return fields.get("use", "sig") == "sig" and isinstance(operations, list) and "verify" in operations


def _host(url: str) -> str:
    return parse_url(url).raw_host.decode("ascii")
