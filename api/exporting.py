"""A session as one document."""

from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec

SPEAKERS = {"user": "You", "assistant": "Assistant", "system": "System", "tool": "Tool"}


class MessageOut(msgspec.Struct, frozen=True, kw_only=True):
    """One stored message. `status` is `completed`, or says why it is not whole; `citations` are the passages it rests on."""

    id: UUID
    job_id: UUID | None
    role: str
    parts: list[dict[str, Any]]
    status: str
    model: str | None
    agent: str | None
    usage: dict[str, Any] | None
    created_at: datetime
    citations: list[dict[str, Any]] | None = None


class SessionExportOut(msgspec.Struct, frozen=True, kw_only=True):
    """A session with all its messages."""

    id: UUID
    title: str
    turns: int
    created_at: datetime
    updated_at: datetime
    messages: list[MessageOut]


def as_markdown(title: str, messages: list[MessageOut]) -> str:
    """Return a session for people to read."""
    parts = [f"# {title or 'Session'}"]
    for message in messages:
        speaker = SPEAKERS.get(message.role, message.role)
        by = f" ({message.model})" if message.model and message.role == "assistant" else ""
        cut = "" if message.status == "completed" else f"\n\n*({message.status})*"
        parts.append(f"## {speaker}{by}\n\n{_text(message.parts)}{cut}")
    return "\n\n".join(parts) + "\n"


def _text(parts: list[dict[str, Any]]) -> str:
    return "\n\n".join(_part(part) for part in parts)


def _part(part: dict[str, Any]) -> str:
    match part.get("type"):
        case "text":
            return part["text"]
        case "image_url":
            url = part["image_url"]["url"]
            return "*(a picture)*" if url.startswith("data:") else f"![a picture]({url})"
        case _:
            return f"```json\n{msgspec.json.encode(part).decode()}\n```"
