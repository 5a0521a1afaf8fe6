"""Signatures of thoughts, and what calls carry, on their way through a client.

Anthropic's own signatures pass as they are. A thought of another maker's model has none, and Anthropic's clients want one, so
it is signed with the maker's name: when it comes back, it is known whose it is, and goes to no other. What a maker's model has
attached to a call, such as Google's signature of the thought behind it, has no place in a `tool_use` block, so it is put into
the call's id.
"""

import base64
import binascii
from typing import Any

import msgspec

OURS = "headrace."
"""How our signatures begin. Anthropic's are base64 and have no dots."""

ATTACHED = "__headrace__"
"""Stands between a call's id and what is attached to it."""

MAX_ATTACHED = 16_000
_EXTRA = msgspec.json.Decoder(dict[str, Any])


def sign(vendor: str) -> str:
    """Return the signature of a thought of this maker's."""
    return f"{OURS}{vendor}"


def signer(signature: str) -> str | None:
    """Return whose thought it is, by a signature of ours; None for one of Anthropic's."""
    return signature.removeprefix(OURS) if signature.startswith(OURS) else None


def attach(call_id: str, extra: dict[str, Any], vendor: str) -> str:
    """Return a call's id with what its maker has attached to it; what is too long is left out."""
    if not extra:
        return call_id
    packed = base64.urlsafe_b64encode(msgspec.json.encode({vendor: extra})).decode().rstrip("=")
    return f"{call_id}{ATTACHED}{packed}" if len(packed) <= MAX_ATTACHED else call_id


def detach(call_id: str) -> tuple[str, str, dict[str, Any]]:
    """Return a call's id, whose attachment it has, and that; nothing for one that was damaged on its way."""
    plain, found, packed = call_id.partition(ATTACHED)
    if not (found and plain):
        return call_id, "", {}
    try:
        carried = _EXTRA.decode(base64.urlsafe_b64decode(packed + "=" * (-len(packed) % 4)))
    except (binascii.Error, ValueError):
        return plain, "", {}
    vendor, extra = next(iter(carried.items()), ("", {}))
    return (plain, vendor, extra) if isinstance(extra, dict) else (plain, "", {})
