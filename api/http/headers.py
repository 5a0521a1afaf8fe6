"""Request headers that several routes read: Idempotency-Key, Prefer, Accept, Last-Event-ID."""

import hashlib
import re
from typing import NamedTuple
from uuid import UUID

import msgspec
from litestar.datastructures import Headers

from schema.errors import InputError
from schema.queries.jobs.submissions import Idempotency

KEY = re.compile(r"[\x21-\x7e]{1,255}")
LARGEST_SEQ = 2**31 - 1


class Preferences(NamedTuple):
    """What `Prefer` (RFC 7240) asks for; unknown or malformed preferences are passed over, as the RFC demands."""

    respond_async: bool = False
    wait_s: float | None = None


def read_idempotency(
    headers: Headers, route: str, body: msgspec.Struct, *, visible_user_id: UUID | None = None
) -> Idempotency | None:
    """Return the request's idempotency key with the fingerprint of its body; people who see only what is theirs
    (`visible_user_id`) have keys of their own. Raises InputError for a bad key."""
    key = headers.get("idempotency-key")
    if key is None:
        return None
    if len(key) > 2 and key[0] == key[-1] == '"':
        key = key[1:-1]  # the draft standard spells it as a quoted string
    if not KEY.fullmatch(key):
        raise InputError("Idempotency-Key must be 1 to 255 visible ASCII characters.", field="Idempotency-Key")
    # The struct's own order of fields makes this canonical, and defaults that were spelled out don't count.
    return Idempotency(
        f"{route} {visible_user_id}" if visible_user_id else route,
        key,
        hashlib.sha256(msgspec.json.encode(body)).hexdigest(),
    )


def read_preferences(headers: Headers) -> Preferences:
    """Return what the client prefers."""
    respond_async, wait_s = False, None
    for part in headers.get("prefer", "").split(","):
        name, _, value = part.partition(";")[0].partition("=")
        name, value = name.strip().lower(), value.strip().strip('"')
        if name == "respond-async":
            respond_async = True
        elif name == "wait" and value.isascii() and value.isdigit() and len(value) < 10:
            wait_s = float(value)
    return Preferences(respond_async, wait_s)


def wants_events(headers: Headers) -> bool:
    """Return whether the client asks for Server-Sent Events."""
    return "text/event-stream" in headers.get("accept", "")


def read_position(headers: Headers, after: str | None) -> int:
    """Return the number of the last event that the client has: `Last-Event-ID`, or `?after=`. Raises InputError."""
    name, text = ("after", after) if after is not None else ("Last-Event-ID", headers.get("last-event-id", ""))
    if text in ("", None):
        return 0
    if not (text.isascii() and text.isdigit() and len(text) <= 10 and int(text) <= LARGEST_SEQ):
        raise InputError(
            f"{name} must be the number of the last event received, such as 17, or 0 for all events; not {text[:40]!r}.",
            field=name,
        )
    return int(text)
