"""The request of `POST /v1/responses`. Fields beyond these are ignored and named in `X-Headrace-Ignored`.

Items and their parts are read leniently, each as one struct with the fields of all types: clients send back what they were
given, and fields that nobody reads here are skipped without being built.
"""

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from api.chat.model_options import ImageUrl
from api.openai.schemas import FOR_VENDOR, MAX_PARTS, MAX_TEXT, MAX_TOOLS, Word

MAX_ITEMS = 5_000
OPEN = {"max_bytes": 256 * 1024}
SMALL = {"max_bytes": 16 * 1024}

LongText = Annotated[str, Meta(max_length=MAX_TEXT)]
Id = Annotated[str, Meta(max_length=512)]


class SkippedIn(msgspec.Struct, frozen=True):
    """An object that nobody reads here."""


class ItemImageIn(msgspec.Struct, frozen=True):
    """An image by URL, as chat completions have it."""

    url: ImageUrl


class CacheMarkIn(msgspec.Struct, frozen=True, omit_defaults=True):
    """A mark for a provider's cache: the prompt up to here is kept."""

    mode: Annotated[str, Meta(max_length=32, description="`explicit`.")]
    ttl: Annotated[Annotated[str, Meta(max_length=16)] | None, Meta(description="How long it is kept.")] = None


class ContentPartIn(msgspec.Struct, frozen=True):
    """A part of an item's content: `input_text`, `input_image`, `output_text`, `refusal` and so on."""

    type: Annotated[str, Meta(max_length=64, description="Type of the part.")] = "input_text"
    text: Annotated[LongText | None, Meta(description="The text.")] = None
    refusal: Annotated[LongText | None, Meta(description="Text of a refusal.")] = None
    image_url: Annotated[
        ImageUrl | ItemImageIn | None,
        Meta(description="A `data:` URL, or a URL that the model provider can fetch."),
    ] = None
    file_data: Annotated[
        Annotated[str, Meta(max_length=40_000_000)] | None,
        Meta(description="A file in base64, alone or as a `data:` URL."),
    ] = None
    file_id: Annotated[Annotated[str, Meta(max_length=64)] | None, Meta(description="Id of a file of `/v1/files`.")] = (
        None
    )
    file_url: Annotated[
        Annotated[str, Meta(max_length=8_192)] | None, Meta(description="Refused: nothing is fetched for a prompt.")
    ] = None
    filename: Annotated[Annotated[str, Meta(max_length=300)] | None, Meta(description="Name of the file.")] = None
    detail: Annotated[
        Annotated[str, Meta(max_length=16)] | None, Meta(description="Resolution at which the model sees the image.")
    ] = None
    prompt_cache_breakpoint: Annotated[
        CacheMarkIn | None, Meta(description="A mark for the provider's cache of prompts, passed on to it.")
    ] = None


Content = Annotated[
    LongText | Annotated[list[ContentPartIn], Meta(max_length=MAX_PARTS)] | None,
    Meta(description="Text, or a list of parts."),
]


class ItemIn(msgspec.Struct, frozen=True):
    """An item of the input: a message, a function call, its output, a reference to an earlier item, and so on."""

    type: Annotated[str, Meta(max_length=64, description="Type of the item; `message` by default.")] = "message"
    id: Annotated[Id | None, Meta(description="Id of the item; that of another one in an `item_reference`.")] = None
    role: Annotated[
        Annotated[str, Meta(max_length=16)] | None,
        Meta(description="Who says a message: `user`, `assistant`, `system` or `developer`."),
    ] = None
    content: Content = None
    call_id: Annotated[Id | None, Meta(description="Id that connects a function call and its output.")] = None
    name: Annotated[
        Annotated[str, Meta(max_length=256)] | None, Meta(description="Name of the function that was called.")
    ] = None
    namespace: Annotated[
        Annotated[str, Meta(max_length=256)] | None, Meta(description="Namespace of the function that was called.")
    ] = None
    arguments: Annotated[LongText | None, Meta(description="Arguments of a function call, as JSON text.")] = None
    output: Annotated[
        LongText | Annotated[list[ContentPartIn], Meta(max_length=MAX_PARTS)] | SkippedIn | None,
        Meta(description="Output of a function call: text, or a list of parts."),
    ] = None
    encrypted_content: Annotated[
        LongText | None, Meta(description="Of reasoning: what `include` asked for, as it was given.")
    ] = None
    status: Annotated[
        Annotated[str, Meta(max_length=32)] | None,
        Meta(description="Accepted; incomplete function calls are left out."),
    ] = None
    phase: Annotated[
        Annotated[str, Meta(max_length=32)] | None,
        Meta(description="Of the assistant's messages: `commentary` or `final_answer`, as it was given."),
    ] = None


class ConversationIn(msgspec.Struct, frozen=True):
    """A conversation by its id."""

    id: Annotated[Id, Meta(description="Id of the conversation.")]


Metadata = Annotated[
    Annotated[dict[Annotated[str, Meta(max_length=64)], Annotated[str, Meta(max_length=512)]], Meta(max_length=16)]
    | None,
    Meta(
        description="Up to 16 pairs of your own, with keys of 64 and values of 512 characters. They come back in the response, "
        "with its job, in lists and in webhooks.",
        extra={"max_bytes": 128 * 1024},
    ),
]


class ResponseIn(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A request for a response. Fields beyond these are ignored."""

    model: Annotated[
        str,
        Meta(
            min_length=1,
            max_length=200,
            examples=["ollama/llama3.2:3b"],
            description="`provider/name`, a bare name of the default provider, `agent/NAME`, or `auto`.",
        ),
    ] = "auto"
    input: Annotated[
        LongText | Annotated[list[ItemIn], Meta(max_length=MAX_ITEMS)],
        Meta(description="What to respond to: text, or a list of items."),
    ] = ""
    instructions: Annotated[
        LongText | None, Meta(description="Instructions for the model, for this response only.")
    ] = None
    stream: Annotated[bool | None, Meta(description="Stream the response as Server-Sent Events.")] = None
    stream_options: Annotated[SkippedIn | None, Meta(description="Accepted and ignored.")] = None
    background: Annotated[
        bool | None, Meta(description="Respond at once with the queued response, and go on if the client leaves.")
    ] = None
    store: Annotated[
        bool | None, Meta(description="Whether the response can be retrieved and continued later; true by default.")
    ] = None
    previous_response_id: Annotated[
        Id | None, Meta(description="The response whose conversation this one continues.")
    ] = None
    conversation: Annotated[
        Id | ConversationIn | None,
        Meta(description="The conversation that this response goes on with, and is added to."),
    ] = None
    include: Annotated[
        Annotated[list[Word], Meta(max_length=32)] | None,
        Meta(description="What to add to the output, such as `reasoning.encrypted_content`; unknown ones are ignored."),
    ] = None

    max_output_tokens: Annotated[
        Annotated[int, Meta(ge=1, le=2**31 - 1)] | None, Meta(description="Maximum number of tokens to generate.")
    ] = None
    max_tool_calls: Annotated[int | None, Meta(description="Accepted and ignored.")] = None
    temperature: (
        Annotated[float, Meta(ge=0, le=2, description="Sampling temperature; higher values are more random.")] | None
    ) = None
    top_p: Annotated[float, Meta(ge=0, le=1, description="Probability mass for nucleus sampling.")] | None = None
    top_logprobs: Annotated[int | None, Meta(description="Accepted and ignored.")] = None
    tools: Annotated[
        Annotated[list[Annotated[dict[str, Any], Meta(extra={"max_bytes": 256 * 1024})]], Meta(max_length=MAX_TOOLS)]
        | None,
        Meta(
            description="Functions that the model may call, alone or in a `namespace`; your client runs them. `file_search` "
            "answers from collections. Each has at most 256 KB of JSON, and all together 1 MB.",
            extra={"max_bytes": 1024 * 1024},
        ),
    ] = None
    tool_choice: Annotated[
        Literal["none", "auto", "required"] | dict[str, Any] | None,
        Meta(
            description="Whether the model calls tools: a mode, the function that it must call, or `allowed_tools`.",
            extra={"max_bytes": 32 * 1024},
        ),
    ] = None
    parallel_tool_calls: Annotated[
        bool | None, Meta(description="Whether the model may call several tools at once.")
    ] = None
    text: Annotated[
        dict[str, Any] | None,
        Meta(
            description="`format`: `text`, `json_object`, or `json_schema` with `name` and `schema`; `verbosity`. At most "
            "256 KB of JSON.",
            extra=OPEN,
        ),
    ] = None
    reasoning: Annotated[
        dict[str, Any] | None, Meta(description="`effort` of reasoning models, such as `low` or `high`.", extra=SMALL)
    ] = None
    truncation: Annotated[
        Literal["auto", "disabled"] | None,
        Meta(description="`auto`: leave out the beginning of a conversation too long for the model."),
    ] = None
    metadata: Metadata = None
    prompt: Annotated[Any, Meta(description="Not supported; rejected if set.", extra=SMALL)] = None

    # for the vendor alone
    user: Annotated[Word | None, FOR_VENDOR] = None
    safety_identifier: Annotated[Word | None, FOR_VENDOR] = None
    prompt_cache_key: Annotated[Word | None, FOR_VENDOR] = None
    prompt_cache_options: Annotated[Any, Meta(description="Passed on to the provider.", extra=SMALL)] = None
    prompt_cache_retention: Annotated[Word | None, FOR_VENDOR] = None
    service_tier: Annotated[Word | None, FOR_VENDOR] = None


IGNORED = frozenset({"stream_options", "max_tool_calls", "top_logprobs"})
"""Fields that are accepted and change nothing."""

HONOURED_INCLUDES = frozenset({"reasoning.encrypted_content"})
