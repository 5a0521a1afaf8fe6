"""The schemas of streams in the OpenAPI document: a job's events, one schema each, and OpenAI's chunks.

They are generated from the structs in `schema/events/__init__.py`: a new event is documented once it is in `EVENTS`.
"""

from typing import Annotated, Any, Literal
from uuid import UUID

import msgspec
from litestar.openapi.spec import Reference
from msgspec import Meta

from api.http.vendor_formats.openai_chunks import TokenCountsOut
from schema.events import EVENTS, Event

REF = "#/components/schemas/{name}"
JOB_EVENT = Reference(REF.format(name="JobEvent"))
COMPLETION_CHUNK = Reference(REF.format(name="CompletionChunk"))
TEXT_CHUNK = Reference(REF.format(name="TextCompletionOut"))
RESPONSE_EVENT = Reference(REF.format(name="ResponseEvent"))
MESSAGE_EVENT = Reference(REF.format(name="MessageEvent"))

Id = Annotated[
    str, Meta(pattern="^[0-9]+$", description="The event's number, from 1 without gaps; resume with `Last-Event-ID`.")
]
ENVELOPE: list[tuple[str, Any]] = [
    ("job_id", Annotated[UUID, Meta(description="The job.")]),
    ("seq", Annotated[int, Meta(ge=1, description="The event's number, the same as `id`.")]),
    ("at", Annotated[str, Meta(description="When it happened, in ISO 8601 with milliseconds, UTC.")]),
]


class StreamClosedReason(msgspec.Struct, frozen=True):
    """Why a stream was closed before the job's end, and where to resume."""

    reason: Annotated[
        str,
        Meta(
            description="`slow_client`: events were not read as fast as they came. `unavailable`: this API process reaches "
            "neither Redis nor Postgres; another may."
        ),
    ]
    resume_after: Annotated[int, Meta(ge=0, description="The last event that was sent; resume with `Last-Event-ID`.")]


class StreamClosed(msgspec.Struct, frozen=True, tag_field="event", tag="stream.closed"):
    """Ends a stream that is not read fast enough, or can't go on at this process. It belongs to no job and has no `id`."""

    data: Annotated[StreamClosedReason, Meta(description="The event's JSON.")]


class ChunkDelta(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a chunk adds to the answer."""

    role: Annotated[str | None, Meta(description="`assistant`, in the first chunk only.")] = None
    content: Annotated[str | None, Meta(description="Append this to the answer so far.")] = None
    refusal: Annotated[str | None, Meta(description="Always null.")] = None
    reasoning_content: Annotated[str | None, Meta(description="Append this to the reasoning so far.")] = None
    tool_calls: Annotated[
        list[dict[str, Any]] | None, Meta(description="Pieces of tool calls, to be joined by their `index`.")
    ] = None


class ChunkChoice(msgspec.Struct, frozen=True):
    """The one choice."""

    index: Annotated[int, Meta(description="Always 0.")]
    delta: Annotated[ChunkDelta, Meta(description="What this chunk adds.")]
    logprobs: Annotated[None, Meta(description="Always null.")] = None
    finish_reason: Annotated[str | None, Meta(description="Why the answer ended, in its last chunk.")] = None


class CompletionChunk(msgspec.Struct, frozen=True, kw_only=True):
    """One chunk of a streamed completion, as OpenAI sends it: the `data` of an event without a name. `[DONE]` is the last."""

    id: Annotated[str, Meta(description="The completion's id, the same in all chunks.")]
    object: Annotated[Literal["chat.completion.chunk"], Meta(description="The kind of object.")]
    created: Annotated[int, Meta(description="When the answer began, in Unix seconds.")]
    model: Annotated[str, Meta(description="The model that answers.")]
    system_fingerprint: Annotated[
        str | None, Meta(description="The provider's version of its server, in the last chunks.")
    ] = None
    service_tier: Annotated[
        str | msgspec.UnsetType, Meta(description="How the provider served it, in the last chunks, if it says.")
    ] = msgspec.UNSET
    moderation: Annotated[
        Any, Meta(description="What the provider's moderation found, in the last chunks, if it says.")
    ] = msgspec.UNSET
    metadata: Annotated[Any, Meta(description="As the provider gives it back, in the last chunks.")] = msgspec.UNSET
    choices: Annotated[list[ChunkChoice], Meta(description="One choice; none in the chunk with `usage`.")]
    usage: Annotated[
        TokenCountsOut | None, Meta(description="Tokens, in the last chunk, with `stream_options.include_usage`.")
    ] = None


class ResponseEvent(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One event of a streamed response, as OpenAI sends it: the `data` of an event whose name is its `type`. The first is
    `response.created`; `response.completed`, `response.incomplete` or `response.failed` is the last."""

    type: Annotated[str, Meta(description="What happened, such as `response.output_text.delta`.")]
    sequence_number: Annotated[
        int, Meta(description="The event's number, from 0 without gaps; resume with `starting_after`.")
    ]
    response: Annotated[
        dict[str, Any] | None, Meta(description="The response as it is now, in events that begin or end it.")
    ] = None
    output_index: Annotated[int | None, Meta(description="Index of the item of the output.")] = None
    item_id: Annotated[str | None, Meta(description="Id of that item.")] = None
    item: Annotated[dict[str, Any] | None, Meta(description="The item, when it begins and when it is complete.")] = None
    content_index: Annotated[int | None, Meta(description="Index of a part of a message.")] = None
    summary_index: Annotated[int | None, Meta(description="Index of a part of reasoning.")] = None
    part: Annotated[dict[str, Any] | None, Meta(description="The part, when it begins and when it is complete.")] = None
    delta: Annotated[str | None, Meta(description="Append this to the text, refusal, reasoning or arguments.")] = None


class MessageEvent(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One event of a streamed message, as Anthropic sends it: the `data` of an event whose name is its `type`. The first is
    `message_start`; `message_stop`, or `error`, is the last. `ping` may come at any time."""

    type: Annotated[str, Meta(description="What happened, such as `content_block_delta`.")]
    message: Annotated[dict[str, Any] | None, Meta(description="The message as it begins, without content.")] = None
    index: Annotated[int | None, Meta(description="Index of the block in the message's content.")] = None
    content_block: Annotated[dict[str, Any] | None, Meta(description="The block as it begins.")] = None
    delta: Annotated[
        dict[str, Any] | None,
        Meta(description="What is added to the block; in `message_delta`, why the message ended."),
    ] = None
    usage: Annotated[dict[str, Any] | None, Meta(description="Token usage, in `message_delta`.")] = None
    error: Annotated[dict[str, Any] | None, Meta(description="Why the stream ended early, in `error`.")] = None


def event_schemas() -> dict[str, Any]:
    """Return the component schemas of streams: `JobEvent`, `CompletionChunk`, `ResponseEvent`, `MessageEvent` and
    those that they refer to."""
    frames = tuple(_frame(event) for event in EVENTS.values())
    union: Any = StreamClosed
    for frame in frames:
        union |= frame
    shapes = (union, CompletionChunk, ResponseEvent, MessageEvent)
    (job_event, *_), schemas = msgspec.json.schema_components(shapes, ref_template=REF)
    job_event["oneOf"] = job_event.pop("anyOf")
    description = "One event of a job's stream, parsed: `event` says which, and `data` is its JSON."
    for ref in job_event["discriminator"]["mapping"].values():
        schemas[ref.rsplit("/", 1)[1]]["properties"]["event"] |= {"type": "string", "description": "The event's name."}
    return {**schemas, "JobEvent": {"title": "JobEvent", "description": description, **job_event}}


def _frame(event: type[Event]) -> type[msgspec.Struct]:
    """Return an event with its envelope, as it is sent in a stream."""
    docstring = event.__doc__ or ""
    data = msgspec.defstruct(
        event.__name__, ENVELOPE, bases=(event,), namespace={"__doc__": docstring}, frozen=True, kw_only=True
    )
    return msgspec.defstruct(
        f"{event.__name__}Event",
        [("id", Id), ("data", Annotated[data, Meta(description="The event's JSON.")])],
        namespace={"__doc__": docstring},
        frozen=True,
        tag_field="event",
        tag=event.type,
    )


def describe_events() -> str:
    """Return all events as a Markdown table, from the structs and their docstrings: what the API's documentation shows."""
    rows = ["| event | fields | meaning |", "|---|---|---|"]
    for name, event in EVENTS.items():
        fields = ", ".join(f"`{field.encode_name}`" for field in msgspec.structs.fields(event))
        rows.append(f"| `{name}` | {fields or '—'} | {' '.join((event.__doc__ or '').split())} |")
    return "\n".join(rows)
