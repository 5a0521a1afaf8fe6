"""What of a chat's options and messages has no effect, for the header that names it. What the model has no place for is named
elsewhere (`graphs/providers/ignored.py`)."""

from collections.abc import Sequence

import msgspec
from msgspec import Raw

from api.http.bodies.json_body import decode_any
from api.http.bodies.unread_fields import unread_fields
from api.openai.schemas import FileDataIn, FileIn, MessageIn, StreamOptionsIn

_split = msgspec.json.Decoder(dict[str, Raw]).decode


def ignored_stream_options(body: bytes, options: StreamOptionsIn | None) -> list[str]:
    """Return the names of what is ignored of a valid request's `stream_options`: streams are not obfuscated, and what nobody
    knows."""
    if options is None:
        return []
    obfuscated = ["stream_options.include_obfuscation"] if options.include_obfuscation else []
    return obfuscated + unread_fields(decode_any(_split(body)["stream_options"]), StreamOptionsIn, "stream_options")


def ignored_in_files(body: bytes, messages: Sequence[MessageIn]) -> list[str]:
    """Return the names of what nobody reads of the files in a valid request's messages: they are read here."""
    if not any(isinstance(part, FileIn) for one in messages if isinstance(one.content, list) for part in one.content):
        return []
    parts = [
        part
        for one in decode_any(_split(body)["messages"])
        if isinstance(content := one.get("content"), list)
        for part in content
        if part.get("type") == "file"
    ]
    return unread_fields([part["file"] for part in parts], list[FileDataIn], "messages.content.file")
