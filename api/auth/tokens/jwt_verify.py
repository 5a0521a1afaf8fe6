"""Checks of every token, whoever issued it (RFC 8725): size, header, signature, times. `access_tokens.py` and
`external_tokens.py` find the user it belongs to.

joserfc verifies signatures and refuses `none` and keys of the wrong type. It does not check `typ`, accepts a list for a claim
that should be a single value, and validates claims only if asked.
"""

import base64
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any, Literal

import msgspec
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import Key, RSAKey
from msgspec import Meta

from schema.errors import Unauthenticated

MAX_BYTES = 8192
LEEWAY_S = 30
MAX_LIFETIME_S = 24 * 3600
ALGORITHMS = ["RS256"]
MIN_KEY_BITS = 2048

INVALID_OR_EXPIRED = (
    "The access token is invalid or has expired. Sign in again with POST /api/auth/login or at your identity provider, and "
    "send the new access token as `Authorization: Bearer …`."
)


class Header(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """All fields that a header may have. `crit`, `b64` and keys inside the token (`jwk`, `jku`, `x5u`, `x5c`) are refused
    because they are not listed. Thumbprints, which some issuers send, are ignored. Okta and Cognito send no `typ`; ours
    always have one, which `access_tokens.py` requires."""

    alg: Literal["RS256"]
    kid: Annotated[str, Meta(min_length=1, max_length=200)]
    typ: Literal["JWT", "at+jwt"] | None = None
    x5t: str | None = None
    x5t_s256: str | None = msgspec.field(default=None, name="x5t#S256")


class IssuerClaims(msgspec.Struct, frozen=True):
    """The claimed issuer and audience, read before the signature is verified in order to find the key."""

    iss: Annotated[str, Meta(min_length=1, max_length=500)]
    aud: str | list[str]

    @property
    def audiences(self) -> list[str]:
        return [self.aud] if isinstance(self.aud, str) else self.aud


class Lifetime(msgspec.Struct, frozen=True):
    """When a token was issued and when it expires, in seconds since 1970."""

    iat: float
    exp: float


@contextmanager
def raising_unauthenticated() -> Iterator[None]:
    """Turns whatever is wrong with a token into Unauthenticated, always with the same message."""
    try:
        yield
    except (JoseError, ValueError, RecursionError) as error:
        raise Unauthenticated(INVALID_OR_EXPIRED) from error


def read_token(token: str) -> tuple[Header, IssuerClaims]:
    """Return the header and issuer of a token, unverified. Raises Unauthenticated."""
    with raising_unauthenticated():
        parts = token.split(".")
        if len(token) > MAX_BYTES or len(parts) != 3 or not token.isascii():
            raise ValueError("not a token")
        header = msgspec.json.decode(_decode(parts[0]), type=Header)
        return header, msgspec.json.decode(_decode(parts[1]), type=IssuerClaims)


def verify(token: str, key: RSAKey, *, issuer: str, audience: str) -> dict[str, Any]:
    """Return the claims of a token if `key` signed it and it is valid now, for a day at most. Raises Unauthenticated."""
    registry = jwt.JWTClaimsRegistry(
        leeway=LEEWAY_S,
        iss={"essential": True, "value": issuer},
        aud={"essential": True, "value": audience},
        sub={"essential": True},
        exp={"essential": True},
        iat={"essential": True},
    )
    with raising_unauthenticated():
        claims = jwt.decode(token, key, algorithms=ALGORITHMS).claims
        registry.validate(claims)
        lifetime = msgspec.convert(claims, Lifetime)
        if not 0 < lifetime.exp - lifetime.iat <= MAX_LIFETIME_S:
            raise ValueError("valid for longer than a day")
        return claims


def can_verify(key: Key, kid: str) -> bool:
    """Whether a key can verify a token with this `kid`."""
    if key.kid != kid or not isinstance(key, RSAKey):
        return False
    for_signatures = key.get("use") in (None, "sig") and key.get("alg") in (None, *ALGORITHMS)
    return for_signatures and key.raw_value.key_size >= MIN_KEY_BITS


def _decode(part: str) -> bytes:
    return base64.b64decode(part + "=" * (-len(part) % 4), altchars=b"-_", validate=True)
