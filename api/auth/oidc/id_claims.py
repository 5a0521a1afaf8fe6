"""What an ID token must say besides what every token must (OpenID Connect Core §3.1.3.7): that it is for our client, for this
sign-in, and belongs to the access token that came with it."""

import base64
import hashlib
import hmac
from typing import Any

from api.auth.tokens.jwt_verify import refusing


def check_id_claims(claims: dict[str, Any], *, client_id: str, nonce: str, access_token: str | None) -> None:
    """Raise Unauthenticated unless verified claims are those of the sign-in that `nonce` was sent with."""
    with refusing():
        _require(_same(claims.get("nonce"), nonce), "nonce")
        audiences = claims["aud"] if isinstance(claims["aud"], list) else [claims["aud"]]
        # Of several audiences `azp` says which one asked for the token.
        _require(claims.get("azp", client_id if audiences == [client_id] else None) == client_id, "azp")
        if "at_hash" in claims:
            _require(access_token is not None and _same(claims["at_hash"], _half_hash(access_token)), "at_hash")


def _require(right: bool, claim: str) -> None:
    if not right:
        raise ValueError(f"another {claim}")


def _same(said: Any, wanted: str) -> bool:
    return isinstance(said, str) and hmac.compare_digest(said.encode(), wanted.encode())


def _half_hash(access_token: str) -> str:
    """The left half of the SHA-256, which goes with RS256."""
    half = hashlib.sha256(access_token.encode()).digest()[:16]
    return base64.urlsafe_b64encode(half).rstrip(b"=").decode()
