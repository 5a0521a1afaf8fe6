"""Checks of ID tokens beyond those of every token (OpenID Connect Core §3.1.3.7): the token is for our client and this
sign-in, and belongs to the access token it came with."""

import base64
import hashlib
import hmac
from typing import Any

from api.auth.tokens.jwt_verify import raising_unauthenticated


def check_id_claims(claims: dict[str, Any], *, client_id: str, nonce: str, access_token: str | None) -> None:
    """Raise Unauthenticated unless verified claims are those of the sign-in that `nonce` was sent with."""
    with raising_unauthenticated():
        _require(_equals(claims.get("nonce"), nonce), "nonce")
        audiences = claims["aud"] if isinstance(claims["aud"], list) else [claims["aud"]]
        # With several audiences, `azp` says which one requested the token.
        _require(claims.get("azp", client_id if audiences == [client_id] else None) == client_id, "azp")
        if "at_hash" in claims:
            _require(access_token is not None and _equals(claims["at_hash"], _half_hash(access_token)), "at_hash")


def _require(valid: bool, claim: str) -> None:
    if not valid:
        raise ValueError(f"wrong {claim}")


def _equals(value: Any, expected: str) -> bool:
    return isinstance(value, str) and hmac.compare_digest(value.encode(), expected.encode())


def _half_hash(access_token: str) -> str:
    """Return the left half of the SHA-256, the hash that belongs to RS256."""
    half = hashlib.sha256(access_token.encode()).digest()[:16]
    return base64.urlsafe_b64encode(half).rstrip(b"=").decode()
