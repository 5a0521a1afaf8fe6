"""What messages of a completion carry beyond OpenAI's fields, such as `name`, `cache_control` or a vendor's signature.

It is passed on as it came. Typed decoding drops it, so it is read from the body again, by its size first.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import msgspec
from msgspec import Raw

from api.http.bodies.json_body import decode_any, says_nothing
from api.http.bodies.malformed_json import explain_malformed, has_nul
from api.openai.schemas import MessageIn
from schema.errors import InputError

MAX_BYTES = 512 * 1024
MESSAGE_FIELDS = frozenset({"role", "content", "tool_calls", "tool_call_id"})
PART_FIELDS = frozenset({"type", "text", "image_url", "refusal", "file"})
CALL_FIELDS = frozenset({"id", "type", "function"})
INNER_FIELDS = {"image_url": frozenset({"url", "detail"}), "function": frozenset({"name", "arguments"})}
"""Those of objects within parts and calls. What a `file` has besides is for nobody: files are read here."""

Fields = dict[str, Raw]


class _Messages(msgspec.Struct):
    messages: list[Fields]


_split = msgspec.json.Decoder(_Messages).decode
_split_list = msgspec.json.Decoder(list[Fields]).decode
_split_fields = msgspec.json.Decoder(Fields).decode


def read_messages(body: bytes, messages: Sequence[MessageIn]) -> list[dict[str, Any]]:
    """Return a valid request's messages with all that they carry. Raises InputError for extras that are too large."""
    read: list[dict[str, Any]] = msgspec.to_builtins(messages)
    found = list(_find(_split(body).messages, read))
    if sum(len(memoryview(raw)) for _, _, raw in found) > MAX_BYTES:
        raise InputError(
            f"Fields of messages beyond OpenAI's must not exceed {MAX_BYTES // 1024} KB.", field="messages"
        )
    for target, name, raw in found:
        target[name] = _value(name, raw)
    return read


def _find(sent: list[Fields], read: list[dict[str, Any]]) -> Iterator[tuple[dict[str, Any], str, Raw]]:
    """Yield the extras of messages, of parts of their content and of their calls, and of the objects in these, each with the
    object that it belongs to."""
    for fields, message in zip(sent, read, strict=True):
        yield from _beyond(MESSAGE_FIELDS, fields, message)
        for name, known in (("content", PART_FIELDS), ("tool_calls", CALL_FIELDS)):
            if isinstance(items := message.get(name), list):
                for inner, item in zip(_split_list(fields[name]), items, strict=True):
                    yield from _beyond(known, inner, item)
                    for field in INNER_FIELDS.keys() & inner.keys():
                        yield from _beyond(INNER_FIELDS[field], _split_fields(inner[field]), item[field])


def _beyond(known: frozenset[str], fields: Fields, target: dict[str, Any]) -> Iterator[tuple[dict[str, Any], str, Raw]]:
    for name, raw in fields.items():
        if name not in known and not says_nothing(raw):
            yield target, name, raw


def _value(name: str, raw: Raw) -> Any:
    try:
        value = decode_any(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        why = explain_malformed(bytes(raw), str(error))
        raise InputError(f"{name[:64]!r} of a message: {why}", field="messages") from error
    if has_nul({name: value}):
        raise InputError(f"{name[:64]!r} of a message contains the character U+0000. Remove it.", field="messages")
    return value
