"""API keys: `hr_` + 8 characters that identify the row + 32 random ones + a checksum of 6. Only a SHA-256 is stored: the
secret has 190 bits, so a slow hash would add no protection. This is GitHub's token format, for the same reasons."""

import hashlib
import hmac
import secrets
import string
import zlib
from dataclasses import dataclass

ALPHABET = string.digits + string.ascii_letters
PREFIX = "hr_"
ID_LENGTH, SECRET_LENGTH, CHECKSUM_LENGTH = 8, 32, 6


@dataclass(frozen=True)
class ApiKeyParts:
    """The parts of a key: `find` is the public part that identifies the row, `digest` must equal that of the row."""

    find: str
    digest: str


def new_api_key() -> str:
    """Return a new key in plain text. It is shown once and never stored."""
    body = "".join(secrets.choice(ALPHABET) for _ in range(ID_LENGTH + SECRET_LENGTH))
    return PREFIX + body + _checksum(body)


def read_api_key(key: str) -> ApiKeyParts | None:
    """Return the parts of a well-formed key, else None: a mistyped key needs no database query."""
    body, check = key[len(PREFIX) : -CHECKSUM_LENGTH], key[-CHECKSUM_LENGTH:]
    if not key.startswith(PREFIX) or len(body) != ID_LENGTH + SECRET_LENGTH or not key.isascii():
        return None
    if not hmac.compare_digest(_checksum(body), check):
        return None
    return ApiKeyParts(find=body[:ID_LENGTH], digest=hashlib.sha256(body.encode()).hexdigest())


def _checksum(body: str) -> str:
    number, text = zlib.crc32(body.encode()), ""
    for _ in range(CHECKSUM_LENGTH):
        number, digit = divmod(number, len(ALPHABET))
        text = ALPHABET[digit] + text
    return text
