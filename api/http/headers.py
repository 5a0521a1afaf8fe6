"""Headers of several routes. They read Idempotency-Key, Prefer, Accept and Last-Event-ID, and write X-Headrace-Ignored."""

import hashlib
import re
from collections.abc import Iterable
from typing import Any, NamedTuple
from uuid import UUID

import msgspec
from litestar.datastructures import Headers

from schema.errors import InputError
from schema.queries.jobs.submissions import Idempotency

IDEMPOTENCY_KEY = re.compile(r"[\x21-\x7e]{1,255}")
MAX_SEQ = 2**31 - 1


class Preferences(NamedTuple):
    """The preferences in `Prefer` (RFC 7240). Unknown or malformed ones are ignored, as the RFC requires."""

    respond_async: bool = False
    wait_s: float | None = None


def read_idempotency(
    headers: Headers, route: str, body: Any, *, visible_user_id: UUID | None = None
) -> Idempotency | None:
    """Return the request's idempotency key with a hash of its body. The keys of users who see only their own rows
    (`visible_user_id`) are separate from those of others. Raises InputError for an invalid key."""
    key = headers.get("idempotency-key")
    if key is None:
        return None
    if len(key) > 2 and key[0] == key[-1] == '"':
        key = key[1:-1]  # the draft standard has it as a quoted string
    if not IDEMPOTENCY_KEY.fullmatch(key):
        raise InputError("Idempotency-Key must be 1 to 255 visible ASCII characters.", field="Idempotency-Key")
    # Encoding the struct makes this canonical: the order of fields is fixed, and explicit defaults change nothing.
    return Idempotency(
        f"{route} {visible_user_id}" if visible_user_id else route,
        key,
        hashlib.sha256(msgspec.json.encode(body)).hexdigest(),
    )


def read_preferences(headers: Headers) -> Preferences:
    """Return the client's preferences."""
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


def read_last_event_id(headers: Headers, after: str | None) -> int:
    """Return the number of the last event that the client received, from `?after=` or `Last-Event-ID`. Raises InputError."""
    name, text = ("after", after) if after is not None else ("Last-Event-ID", headers.get("last-event-id", ""))
    if text in ("", None):
        return 0
    if not (text.isascii() and text.isdigit() and len(text) <= 10 and int(text) <= MAX_SEQ):
        raise InputError(
            f"{name} must be the number of the last event received, such as 17, or 0 for all events; not {text[:40]!r}.",
            field=name,
        )
    return int(text)


MAX_NAMED, MAX_NAME = 32, 80


def ignored_header(names: Iterable[str]) -> dict[str, str]:
    """Return a header with the names of what has no effect, if there is any: each once, and as headers may have them."""
    cleaned = (
        "".join(c if c.isascii() and c.isprintable() and c != "," else "?" for c in name[:MAX_NAME]) for name in names
    )
    told = list(dict.fromkeys(cleaned))[:MAX_NAMED]
    return {"X-Headrace-Ignored": ", ".join(told)} if told else {}
