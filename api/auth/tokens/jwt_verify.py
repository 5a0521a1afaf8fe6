"""What every token must be, whoever issued it (RFC 8725): size, header, signature, times. Who the token speaks for is settled
by `tokens.py` for ours and by `foreign.py` for those of identity providers.

joserfc checks signatures and refuses `none` and keys of another kind; it does not look at `typ`, takes a list for a claim
that should be one value, and checks claims only when told to.
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
LONGEST_S = 24 * 3600
ALGORITHMS = ["RS256"]
LEAST_BITS = 2048

REFUSED = (
    "The access token is invalid or has expired. Sign in again with POST /api/auth/login or at your identity provider, and "
    "send the new access token as `Authorization: Bearer …`."
)


class Header(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """All that a header may hold. `crit`, `b64` and keys that the token brings along (`jwk`, `jku`, `x5u`, `x5c`) are
    refused because they are not here; the thumbprints, which some issuers send, are not used. Okta and Cognito send no
    `typ`; our own tokens always have one, which `tokens.py` insists on."""

    alg: Literal["RS256"]
    kid: Annotated[str, Meta(min_length=1, max_length=200)]
    typ: Literal["JWT", "at+jwt"] | None = None
    x5t: str | None = None
    x5t_s256: str | None = msgspec.field(default=None, name="x5t#S256")


class Issue(msgspec.Struct, frozen=True):
    """Who says that they issued the token, and for whom: read before the signature is checked, to find the key."""

    iss: Annotated[str, Meta(min_length=1, max_length=500)]
    aud: str | list[str]

    @property
    def audiences(self) -> list[str]:
        return [self.aud] if isinstance(self.aud, str) else self.aud


class Times(msgspec.Struct, frozen=True):
    """From when to when a token is good, in seconds since 1970."""

    iat: float
    exp: float


@contextmanager
def refusing() -> Iterator[None]:
    """Whatever is wrong with a token, who sent it hears the same sentence."""
    try:
        yield
    except (JoseError, ValueError, RecursionError) as error:
        raise Unauthenticated(REFUSED) from error


def read_token(token: str) -> tuple[Header, Issue]:
    """Return what a token says of itself; nothing of it is proven yet. Raises Unauthenticated."""
    with refusing():
        parts = token.split(".")
        if len(token) > MAX_BYTES or len(parts) != 3 or not token.isascii():
            raise ValueError("not a token")
        header = msgspec.json.decode(_decode(parts[0]), type=Header)
        return header, msgspec.json.decode(_decode(parts[1]), type=Issue)


def verify(token: str, key: RSAKey, *, issuer: str, audience: str) -> dict[str, Any]:
    """Return the claims of a token that `key` signed, that is good now and for a day at most. Raises Unauthenticated."""
    rules = jwt.JWTClaimsRegistry(
        leeway=LEEWAY_S,
        iss={"essential": True, "value": issuer},
        aud={"essential": True, "value": audience},
        sub={"essential": True},
        exp={"essential": True},
        iat={"essential": True},
    )
    with refusing():
        claims = jwt.decode(token, key, algorithms=ALGORITHMS).claims
        rules.validate(claims)
        times = msgspec.convert(claims, Times)
        if not 0 < times.exp - times.iat <= LONGEST_S:
            raise ValueError("good for longer than a day")
        return claims


def is_fit(key: Key, kid: str) -> bool:
    """Whether a key may check the signature of a token that names `kid`."""
    if key.kid != kid or not isinstance(key, RSAKey):
        return False
    meant = key.get("use") in (None, "sig") and key.get("alg") in (None, *ALGORITHMS)
    return meant and key.raw_value.key_size >= LEAST_BITS


def _decode(part: str) -> bytes:
    return base64.b64decode(part + "=" * (-len(part) % 4), altchars=b"-_", validate=True)
