"""What visitors see of a job's events: the answer as it grows, that something is looked up, and how it ended. Not which tools
and models work for it, with which arguments, at what cost, and why something failed."""

from collections.abc import Callable
from typing import Any

import msgspec

from schema.events import read_frames

Translate = Callable[[dict[str, Any]], dict[str, Any] | None]


def for_visitors(chunk: bytes) -> bytes:
    """Return what is left of a chunk of whole frames; their numbers stay, so a stream can be resumed. Comments, which keep a
    connection alive, stay too."""
    if chunk.startswith(b":"):
        return chunk
    kept: list[bytes] = []
    for frame in read_frames(chunk):
        name, translate = SHOWN.get(frame.type, ("", _nothing))
        data = translate(msgspec.json.decode(frame.data)) if name else None
        if data is not None:
            kept.append(b"id: %d\nevent: %s\ndata: %s\n\n" % (frame.seq, name.encode(), msgspec.json.encode(data)))
    return b"".join(kept)


def _nothing(_: dict[str, Any]) -> dict[str, Any]:
    return {}


def _delta(data: dict[str, Any]) -> dict[str, Any] | None:
    text = data.get("text") or data.get("refusal")
    return {"text": text} if text else None


def _completed(data: dict[str, Any]) -> dict[str, Any]:
    return {"text": data.get("text") or data.get("refusal") or ""}


SHOWN: dict[str, tuple[str, Translate]] = {
    "job.restarted": ("restarted", lambda data: {"discard_after": data["discard_after"]}),
    "tool.started": ("working", _nothing),
    "message.delta": ("delta", _delta),
    "message.completed": ("completed", _completed),
    "job.succeeded": ("ended", _nothing),
    "job.failed": ("failed", _nothing),
    "job.cancelled": ("stopped", _nothing),
}
"""What becomes of each event; others are left out."""
