"""The body of `POST /api/chat`: a message, who answers it, and how."""

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

import msgspec
from msgspec import Meta

from api.chat.attachments import MAX_ATTACHMENTS, AttachmentIn
from api.chat.model_options import MAX_TOOLS, ImageUrl, OfferedTools, ResponseFormat, Temperature, ToolChoice
from api.chat.response_modes import ON_BUSY, PRIORITY
from api.grants.output_schemas import OutputFormat
from api.jobs.run_at import RUN_AT
from api.webhooks.callbacks import CallbackEvents, CallbackInclude, CallbackUrl
from schema.states import OnBusy, Priority

MAX_TEXT = 200_000


class TextPartIn(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="type", tag="text"):
    """Text content."""

    text: Annotated[str, Meta(max_length=MAX_TEXT, description="The text.")]


class ImagePartUrlIn(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """An image by URL."""

    url: ImageUrl
    detail: Annotated[
        Literal["auto", "low", "high"] | None,
        Meta(description="Resolution at which the model sees the image; the provider decides by default."),
    ] = None


class ImagePartIn(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="type", tag="image_url"):
    """Image content."""

    image_url: Annotated[ImagePartUrlIn, Meta(description="The image.")]


class ToolResultIn(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What one of your tools returned."""

    tool_call_id: Annotated[
        str, Meta(min_length=1, max_length=512, description="Id of the call, from `tool_calls` of the answer.")
    ]
    text: Annotated[str, Meta(max_length=MAX_TEXT, description="The result, or why there is none.")]


class ChatIn(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, omit_defaults=True):
    """A message to answer, with the session, agent and model that it is for."""

    message: Annotated[
        Annotated[str, Meta(min_length=1, max_length=MAX_TEXT, examples=["What is a headrace?"])]
        | Annotated[list[TextPartIn | ImagePartIn], Meta(min_length=1, max_length=100)]
        | None,
        Meta(
            description="The message: a string, or a list of text and image parts. Required, except with `tool_results`."
        ),
    ] = None
    session_id: Annotated[
        UUID | None, Meta(description="The session to continue. A new session is created if omitted.")
    ] = None
    agent: (
        Annotated[
            str,
            Meta(
                min_length=1,
                max_length=200,
                description="Name of the agent to ask. `auto` selects one by the message; so does omitting agent and model.",
            ),
        ]
        | None
    ) = None
    model: (
        Annotated[
            str,
            Meta(
                min_length=1,
                max_length=200,
                examples=["ollama/llama3.2:3b"],
                description="`provider/name`, a bare name of the default provider, `agent/NAME`, or `auto` (the default).",
            ),
        ]
        | None
    ) = None
    collections: (
        Annotated[
            list[Annotated[str, Meta(min_length=1, max_length=100)]],
            Meta(
                min_length=1,
                max_length=20,
                description="Names or ids of document collections to answer from, with citations; no agent is selected then, "
                "unless `agent` says so.",
            ),
        ]
        | None
    ) = None
    attachments: Annotated[
        Annotated[list[AttachmentIn], Meta(max_length=MAX_ATTACHMENTS)] | None,
        Meta(
            description="Files that the message is about. They stay in the session; the next messages can ask about them too."
        ),
    ] = None
    system: (
        Annotated[
            str,
            Meta(
                min_length=1,
                max_length=MAX_TEXT,
                description="Instructions for this answer, besides those of the agent and the persona.",
            ),
        ]
        | None
    ) = None
    temperature: Temperature | None = None
    max_tokens: Annotated[
        Annotated[int, Meta(ge=1, le=2**31 - 1)] | None, Meta(description="Maximum number of tokens to generate.")
    ] = None
    output_format: Annotated[
        OutputFormat | None, Meta(description="Format of this answer, in place of the agent's own.")
    ] = None
    response_format: ResponseFormat = None
    tools: OfferedTools | None = None
    tool_choice: ToolChoice = None
    tool_results: Annotated[
        Annotated[list[ToolResultIn], Meta(min_length=1, max_length=MAX_TOOLS)] | None,
        Meta(
            description="In place of `message`: what your `tools` returned for the `tool_calls` of the session's last answer. "
            "Send `tools` again."
        ),
    ] = None
    metadata: Annotated[
        Annotated[dict[Annotated[str, Meta(max_length=64)], Annotated[str, Meta(max_length=512)]], Meta(max_length=16)]
        | None,
        Meta(
            description="Up to 16 pairs of your own, with keys of 64 and values of 512 characters. They come back with the "
            "job, in lists and in webhooks.",
            extra={"max_bytes": 128 * 1024},
        ),
    ] = None
    on_busy: Annotated[OnBusy, Meta(description=ON_BUSY)] = "queue"
    priority: Annotated[Priority, Meta(description=PRIORITY)] = "normal"
    callback_url: CallbackUrl | None = None
    callback_events: CallbackEvents | None = None
    callback_include: CallbackInclude | None = None
    run_at: Annotated[datetime | None, Meta(description=RUN_AT)] = None
