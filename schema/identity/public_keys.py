"""Public keys of chat widgets: `hrw_` + 24 characters that identify the row. They stand in web pages, so they are no secret:
what one may do is bound to its origins, its agent and its limits (`api/widgets/gate.py`). No other route takes them."""

import secrets

from schema.identity.api_keys import ALPHABET

PREFIX = "hrw_"
LENGTH = 24
NO_DIGEST = ""
"""The digest of such a row. That of a secret key is a SHA-256, so none is equal."""


def new_public_find() -> str:
    """Return what identifies a new key's row. It is longer than that of a secret key, so that neither is found as the other."""
    return "".join(secrets.choice(ALPHABET) for _ in range(LENGTH))


def read_public_key(key: str) -> str | None:
    """Return what identifies the row of a well-formed key, else None."""
    find = key.removeprefix(PREFIX)
    return find if key.startswith(PREFIX) and len(find) == LENGTH and find.isascii() and find.isalnum() else None


def public_key(find: str) -> str:
    """Return the key of a row."""
    return PREFIX + find
