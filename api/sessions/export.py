"""Exports a session as one document, in JSON or Markdown."""

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

import msgspec
from msgspec import Meta

from schema.events.base import Notice

SPEAKERS = {"user": "You", "assistant": "Assistant", "system": "System", "tool": "Tool"}


class SessionOut(msgspec.Struct, frozen=True, kw_only=True):
    """A conversation."""

    id: Annotated[UUID, Meta(description="Id of the session.")]
    title: Annotated[str, Meta(description="Title; empty if it has none.")]
    turns: Annotated[int, Meta(description="Number of messages that were sent to the session.")]
    created_at: Annotated[datetime, Meta(description="When the session was created.")]
    updated_at: Annotated[datetime, Meta(description="When the session was last used.")]
    pinned_at: Annotated[datetime | None, Meta(description="When it was pinned; null if it is not.")]
    shared_at: Annotated[
        datetime | None, Meta(description="Since when others of the tenant may read it; null if they may not.")
    ]


class MessageOut(msgspec.Struct, frozen=True, kw_only=True):
    """A message of a session."""

    id: Annotated[UUID, Meta(description="Id of the message.")]
    job_id: Annotated[UUID | None, Meta(description="The job that the message belongs to; null for none.")]
    role: Annotated[str, Meta(description="`user`, `assistant`, `system` or `tool`.")]
    parts: Annotated[
        list[dict[str, Any]],
        Meta(
            description="The content: parts of type `text`, `image_url`, `file` (without its bytes), `tool_call` or "
            "`tool_result`."
        ),
    ]
    status: Annotated[str, Meta(description="`completed`, or why the message is incomplete.")]
    model: Annotated[str | None, Meta(description="The model that answered, as `provider/name`; null otherwise.")]
    agent: Annotated[str | None, Meta(description="The agent that answered; null otherwise.")]
    usage: Annotated[
        dict[str, Any] | None, Meta(description="`input_tokens`, `output_tokens` and `estimated`; null if unknown.")
    ]
    created_at: Annotated[datetime, Meta(description="When the message was stored.")]
    citations: Annotated[
        list[dict[str, Any]] | None,
        Meta(description="Passages that the answer cites: number, document, page, heading, passage and score."),
    ] = None
    notice: Annotated[
        Notice | None,
        Meta(description="What to know of the answer besides its text, if anything: a code, and what to do."),
    ] = None
    data: Annotated[Any, Meta(description="The answer as an object, where its agent's output format has one.")] = None
    renderer: Annotated[dict[str, Any] | None, Meta(description="A hint how to show `data`.")] = None


class SessionExportOut(SessionOut, frozen=True, kw_only=True):
    """A session with all its messages."""

    messages: Annotated[list[MessageOut], Meta(description="All messages, oldest first.")]


def as_markdown(title: str, messages: list[MessageOut]) -> str:
    """Return a session as Markdown."""
    parts = [f"# {title or 'Session'}"]
    for message in messages:
        speaker = SPEAKERS.get(message.role, message.role)
        model_suffix = f" ({message.model})" if message.model and message.role == "assistant" else ""
        status_suffix = "" if message.status == "completed" else f"\n\n*({message.status})*"
        parts.append(f"## {speaker}{model_suffix}\n\n{_parts_as_markdown(message.parts)}{status_suffix}")
    return "\n\n".join(parts) + "\n"


def _parts_as_markdown(parts: list[dict[str, Any]]) -> str:
    return "\n\n".join(_part_as_markdown(part) for part in parts)


def _part_as_markdown(part: dict[str, Any]) -> str:
    match part.get("type"):
        case "text":
            return part["text"]
        case "image_url":
            url = part["image_url"]["url"]
            return "*(an image)*" if url.startswith("data:") else f"![an image]({url})"
        case "file":
            return f"*(the file {part['name']})*"
        case _:
            return f"```json\n{msgspec.json.encode(part).decode()}\n```"
