"""API keys: `hr_` + 8 characters that find the row + 32 random ones + 6 of a checksum. Only a SHA-256 is stored: the
secret has 190 bits, so a slow hash would protect nothing (GitHub's token format, same reasoning)."""

import hashlib
import hmac
import secrets
import string
import zlib
from dataclasses import dataclass

ALPHABET = string.digits + string.ascii_letters
PREFIX, FIND, SECRET, CHECK = "hr_", 8, 32, 6


@dataclass(frozen=True)
class ApiKeyParts:
    """What a key says of itself: `find` is the public half that names the row, `digest` what the row must hold."""

    find: str
    digest: str


def new_api_key() -> str:
    """Return a fresh key in plain text; it is shown once and never stored."""
    body = "".join(secrets.choice(ALPHABET) for _ in range(FIND + SECRET))
    return PREFIX + body + _checksum(body)


def read_api_key(key: str) -> ApiKeyParts | None:
    """Return the parts of a well-formed key, or None: a mistyped key never costs a look-up."""
    body, check = key[len(PREFIX) : -CHECK], key[-CHECK:]
    if not key.startswith(PREFIX) or len(body) != FIND + SECRET or not key.isascii():
        return None
    if not hmac.compare_digest(_checksum(body), check):
        return None
    return ApiKeyParts(find=body[:FIND], digest=hashlib.sha256(body.encode()).hexdigest())


def _checksum(body: str) -> str:
    number, text = zlib.crc32(body.encode()), ""
    for _ in range(CHECK):
        number, digit = divmod(number, len(ALPHABET))
        text = ALPHABET[digit] + text
    return text
