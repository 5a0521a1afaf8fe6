"""The public keys of foreign issuers, fetched through the egress guard. Which token is accepted is not settled here: this
file only says which keys an issuer has, and keeps those that RS256 may be checked with.
"""

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Self

from joserfc.errors import JoseError
from joserfc.jwk import KeySet, RSAKey
from joserfc.util import urlsafe_b64decode

from api.auth.tokens.cached_document import CachedDocument
from schema.errors import EgressFailed
from tools.egress import EgressPolicy, Resolver, fetch_json, open_client, parse_url
from tools.egress.network import resolve

MAX_KEYS = 100
MAX_BYTES = 256 * 1024
TIMEOUT_S = 10.0

KEY_BITS = range(2048, 8192 + 1)
"""Fewer can be factored (RFC 8725 §3.2); the more there are, the longer each check of a signature takes."""

PUBLIC_FIELDS = ("kty", "n", "e", "kid", "use", "alg")


class RemoteKeys:
    """Key sets and OpenID configurations by their address. Addresses come from our configuration only, never from a
    token (`jku`, `x5u`). Close it, or use it as a context."""

    def __init__(
        self, policy: EgressPolicy, *, clock: Callable[[], float] = time.monotonic, resolver: Resolver = resolve
    ) -> None:
        # Keys that came over plain http could be anybody's, so only hosts that an admin allowed may do that.
        policy = replace(policy, allow_http=False)
        self._client = open_client(policy, max_bytes=MAX_BYTES, timeout_s=TIMEOUT_S, resolver=resolver)
        self._clock = clock
        self._key_sets: dict[str, CachedDocument[KeySet]] = {}
        self._documents: dict[str, CachedDocument[dict[str, Any]]] = {}

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        for kept in (*self._key_sets.values(), *self._documents.values()):
            await kept.aclose()
        await self._client.aclose()

    async def get(self, url: str) -> KeySet:
        """Return the usable keys at `url`; there may be none. Raises EgressFailed when there is no set, nor was one
        within the last day."""
        return await self._key_set(url).get()

    async def refetch(self, url: str) -> KeySet:
        """The same for a token whose `kid` is not in the set: the issuer may have a new key. It is asked at most once
        a minute, so that made-up `kid`s can't make us flood it."""
        return await self._key_set(url).refetch()

    async def discover(self, issuer: str) -> dict[str, Any]:
        """Return the OpenID configuration of `issuer`, which names itself in it exactly so. Raises EgressFailed."""
        kept = self._documents.get(issuer)
        if kept is None:
            kept = CachedDocument(
                f"The OpenID configuration of {_host(issuer)}", lambda: self._read_document(issuer), self._clock
            )
            self._documents[issuer] = kept
        return await kept.get()

    def _key_set(self, url: str) -> CachedDocument[KeySet]:
        kept = self._key_sets.get(url)
        if kept is None:
            kept = CachedDocument(f"The key set of {_host(url)}", lambda: self._read_keys(url), self._clock)
            self._key_sets[url] = kept
        return kept

    async def _read_keys(self, url: str) -> KeySet:
        return usable_keys(await fetch_json(self._client, url), _host(url))

    async def _read_document(self, issuer: str) -> dict[str, Any]:
        document = await fetch_json(self._client, f"{issuer.rstrip('/')}/.well-known/openid-configuration")
        if not isinstance(document, dict) or document.get("issuer") != issuer:
            raise EgressFailed(
                f"The OpenID configuration of {_host(issuer)} has another issuer than the one registered."
            )
        return document


def usable_keys(document: Any, host: str) -> KeySet:
    """Return the RSA keys of a JSON Web Key Set that may check signatures; one that is wrong does not spoil the others.
    Raises EgressFailed when the document is no set."""
    keys = document.get("keys") if isinstance(document, dict) else None
    if not isinstance(keys, list) or len(keys) > MAX_KEYS:
        raise EgressFailed(f"{host} did not return a JSON Web Key Set of at most {MAX_KEYS} keys.")
    return KeySet([key for key in map(_usable_key, keys) if key is not None])


def _usable_key(fields: Any) -> RSAKey | None:
    if not isinstance(fields, dict) or fields.get("kty") != "RSA" or not _is_for_checking(fields):
        return None
    public = {name: fields[name] for name in PUBLIC_FIELDS if name in fields}
    try:
        # Looked at first: joserfc only warns of a short key.
        bits = int.from_bytes(urlsafe_b64decode(str(public["n"]).encode())).bit_length()
        return RSAKey.import_key(public) if bits in KEY_BITS else None
    except (JoseError, KeyError, ValueError, TypeError):
        return None


def _is_for_checking(fields: dict[str, Any]) -> bool:
    operations = fields.get("key_ops", ["verify"])
    return fields.get("use", "sig") == "sig" and isinstance(operations, list) and "verify" in operations


def _host(url: str) -> str:
    return parse_url(url).raw_host.decode("ascii")
