"""Signs and verifies messages as Standard Webhooks 1.0.0 says: HMAC-SHA256 over `id.timestamp.body`, in base64.

https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
"""

import base64
import binascii
import hmac
import secrets
from collections.abc import Mapping, Sequence

PREFIX = "whsec_"
MIN_BYTES, MAX_BYTES, NEW_BYTES = 24, 64, 32
TOLERANCE_S = 300
"""How far the time of a message may be from the receiver's."""

NO_SIGNATURE = "no signature matches the secret and the body"

SECRET_RULE = (
    f"must be {PREFIX} followed by {MIN_BYTES} to {MAX_BYTES} random bytes in base64, such as the one that headrace makes if "
    "none is sent"
)


class NotVerified(Exception):
    """A message that is not authentic, or too old; says why."""


def new_secret() -> str:
    """Return a new secret, as receivers are given it."""
    return PREFIX + base64.b64encode(secrets.token_bytes(NEW_BYTES)).decode()


def secret_bytes(secret: str) -> bytes:
    """Return the key in a secret. Raises ValueError that says what is right, and quotes nothing of it."""
    try:
        key = base64.b64decode(secret.removeprefix(PREFIX), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if not secret.startswith(PREFIX) or not MIN_BYTES <= len(key) <= MAX_BYTES:
        raise ValueError(SECRET_RULE)
    return key


def sign(secret: str, message_id: str, timestamp: int, body: bytes) -> str:
    """Return one signature with its version."""
    signed = f"{message_id}.{timestamp}.".encode() + body
    return "v1," + base64.b64encode(hmac.digest(secret_bytes(secret), signed, "sha256")).decode()


def signed_headers(secrets_: Sequence[str], message_id: str, timestamp: int, body: bytes) -> dict[str, str]:
    """Return the three headers of a message, signed with every secret."""
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": " ".join(sign(secret, message_id, timestamp, body) for secret in secrets_),
    }


def verify(secret: str, headers: Mapping[str, str], body: bytes, *, now: float) -> str:
    """Return the id of an authentic message, whose header names are in lower case. Raises NotVerified."""
    try:
        message_id, stamp, given = (headers[f"webhook-{name}"] for name in ("id", "timestamp", "signature"))
        timestamp = int(stamp)
    except (KeyError, ValueError):
        raise NotVerified("it lacks webhook-id, webhook-timestamp or webhook-signature") from None
    if abs(now - timestamp) > TOLERANCE_S:
        raise NotVerified(f"it was sent {round(now - timestamp)} s ago; {TOLERANCE_S} s are allowed")
    right = sign(secret, message_id, timestamp, body).encode()
    if not any(hmac.compare_digest(right, signature.encode()) for signature in given.split(" ")):
        raise NotVerified(NO_SIGNATURE)
    return message_id
