"""Authenticates callers of the ERP: a job token of headrace, which is a JWT signed with RS256 by a key of its key set, valid
now, for this host, with a tenant.

The key set is cached, and fetched again when a token names an unknown key, at most every few seconds, so that strangers can't
trigger a fetch per request. Whatever is wrong with a token, the error is the same.
"""

import json
import threading
import time
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass

from joserfc import jws, jwt
from joserfc.errors import JoseError
from joserfc.jwk import Key, KeySet, RSAKey

TENANT_CLAIM = "tenant_id"
MAX_TOKEN_CHARACTERS = 8192
MAX_KEYS_BYTES = 256 * 1024
LEEWAY_S = 30
FETCH_TIMEOUT_S = 5.0
REFETCH_S = 5.0
TOKEN_TYPE = "job+jwt"  # noqa: S105 (no secret)
ALLOWED_HEADER_FIELDS = frozenset({"alg", "kid", "typ", "x5t", "x5t#S256"})


class Unauthenticated(Exception):
    """The caller has no valid token."""


class KeysUnavailable(Exception):
    """The key set can't be fetched, so no token can be checked."""


@dataclass(frozen=True)
class Caller:
    """On whose behalf a request is made."""

    tenant_id: str
    subject: str


def fetch(url: str) -> bytes:
    """Fetch a URL given on the command line. Raises OSError."""
    with urllib.request.urlopen(url, timeout=FETCH_TIMEOUT_S) as answer:  # noqa: S310 (http or https, see Keys)
        return answer.read(MAX_KEYS_BYTES)


class KeySetCache:
    """The key set at `url`, as far as it is known. `refetch_s`: how long it is not read again."""

    def __init__(self, url: str, *, refetch_s: float = REFETCH_S, read: Callable[[str], bytes] = fetch) -> None:
        if not url.startswith(("http://", "https://")):
            raise ValueError(f"{url!r} must be the URL of a key set, such as http://127.0.0.1/.well-known/jwks.json.")
        self._url, self._refetch_s, self._read = url, refetch_s, read
        self._lock = threading.Lock()
        self._keys: dict[str, Key] = {}
        self._read_at = float("-inf")

    def find(self, kid: str) -> Key | None:
        """The key with this id. Raises KeysUnavailable if no key set was ever fetched."""
        with self._lock:
            if kid not in self._keys and time.monotonic() - self._read_at >= self._refetch_s:
                self._refetch()
            return self._keys.get(kid)

    def _refetch(self) -> None:
        try:
            keys = KeySet.import_key_set(json.loads(self._read(self._url))).keys
            self._keys = {key.kid: key for key in keys if key.kid and isinstance(key, RSAKey)}
        except (OSError, ValueError, KeyError, TypeError, JoseError):
            if not self._keys:
                raise KeysUnavailable from None
        self._read_at = time.monotonic()


class Authenticator:
    """Finds the caller that a token stands for."""

    def __init__(self, keys: KeySetCache, *, issuer: str, audience: str) -> None:
        self._keys = keys
        self._rules = jwt.JWTClaimsRegistry(
            leeway=LEEWAY_S,
            iss={"essential": True, "value": issuer},
            aud={"essential": True, "value": audience},
            exp={"essential": True},
            sub={"essential": True},
        )

    def find(self, authorization: str | None) -> Caller:
        """Return the caller for an Authorization header. Raises Unauthenticated and KeysUnavailable."""
        scheme, _, token = (authorization or "").partition(" ")
        if scheme.lower() != "bearer" or not token or len(token) > MAX_TOKEN_CHARACTERS:
            raise Unauthenticated
        try:
            header = jws.extract_compact(token.encode("ascii")).headers()
            if (
                set(header) - ALLOWED_HEADER_FIELDS
                or header.get("typ") != TOKEN_TYPE
                or not isinstance(header.get("kid"), str)
            ):
                raise Unauthenticated
            key = self._keys.find(header["kid"])
            if key is None:
                raise Unauthenticated
            claims = jwt.decode(token, key, algorithms=["RS256"]).claims
            self._rules.validate(claims)
        except (JoseError, ValueError, TypeError, RecursionError):
            raise Unauthenticated from None
        tenant, subject = claims.get(TENANT_CLAIM), claims["sub"]
        if not isinstance(tenant, str) or not tenant or not isinstance(subject, str):
            raise Unauthenticated
        return Caller(tenant, subject)
