"""The base of all events (`schema/events.py`), and the shapes that several of them share."""

from typing import Annotated, ClassVar, Literal

import msgspec
from msgspec import Meta


class Event(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """Base of all events; `type` is the wire name. Fields with their default value are omitted from the JSON."""

    type: ClassVar[str] = ""
    ends: ClassVar[bool] = False


class Reason(msgspec.Struct, frozen=True):
    """Why a job or a document failed: a stable code and a message."""

    code: Annotated[str, Meta(description="A stable code, such as `provider_timeout`.")]
    message: Annotated[str, Meta(description="What went wrong, for people.")]


class Notice(msgspec.Struct, frozen=True):
    """Information about an answer besides its text: a stable code and a message. `no_language_model`: no language model is
    connected, so the answer only quotes documents and tool results."""

    code: Annotated[Literal["no_language_model"], Meta(description="A stable code.")]
    message: Annotated[str, Meta(description="What it means, and how to change it.")]
