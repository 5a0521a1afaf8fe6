"""The request of `POST /v1/chat/completions`. Those that can't be honoured are rejected in
`reject_unsupported`; unknown ones are passed on (`api/openai/extras.py`), as are those that only the vendor needs.

Messages are read leniently, because clients send back what they were given, with whatever fields it has.
"""

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from api.chat.model_options import (
    MAX_TOOLS,
    ImageUrl,
    OfferedTools,
    ResponseFormat,
    Temperature,
    ToolChoice,
    check_response_format,
    check_tools,
)
from schema.errors import InputError

MAX_TEXT = 8_000_000
"""Characters of one text: more than any model reads. HEADRACE_MAX_BODY bounds all of them together."""

MAX_PARTS = 10_000
"""Parts of all messages."""

MAX_CHOICES = 16


class TextIn(msgspec.Struct, frozen=True, tag_field="type", tag="text"):
    """Text content."""

    text: Annotated[str, Meta(max_length=MAX_TEXT, description="The text.")]


# A tag works only in a union: alone, msgspec does not require it.
class OnlyTextIn(msgspec.Struct, frozen=True):
    """Text content, where no other content is allowed."""

    type: Annotated[Literal["text"], Meta(description="Always `text`.")]
    text: Annotated[str, Meta(max_length=MAX_TEXT, description="The text.")]


class RefusalIn(msgspec.Struct, frozen=True, tag_field="type", tag="refusal"):
    """A refusal of the assistant."""

    refusal: Annotated[str, Meta(max_length=MAX_TEXT, description="Text of the refusal.")]


class ImageUrlIn(msgspec.Struct, frozen=True, omit_defaults=True):
    """An image by URL."""

    url: ImageUrl
    detail: Annotated[
        Literal["auto", "low", "high"] | None,
        Meta(description="Resolution at which the model sees the image; the provider decides by default."),
    ] = None


class ImageIn(msgspec.Struct, frozen=True, tag_field="type", tag="image_url"):
    """Image content."""

    image_url: Annotated[ImageUrlIn, Meta(description="The image.")]


class FileDataIn(msgspec.Struct, frozen=True, omit_defaults=True):
    """A file: its content, or the id of one that is kept here."""

    file_data: Annotated[
        Annotated[str, Meta(max_length=40_000_000)] | None,
        Meta(description="The file in base64, alone or as a `data:` URL."),
    ] = None
    file_id: Annotated[
        Annotated[str, Meta(max_length=64)] | None,
        Meta(description="Id of a file of `/v1/files`, in place of `file_data`."),
    ] = None
    filename: Annotated[
        Annotated[str, Meta(max_length=300)] | None,
        Meta(description="The file's name; its ending tells the type of texts."),
    ] = None


class FileIn(msgspec.Struct, frozen=True, tag_field="type", tag="file"):
    """A file, of any type that can be uploaded as a document. Its text is read here."""

    file: Annotated[FileDataIn, Meta(description="The file.")]


class FunctionCallIn(msgspec.Struct, frozen=True):
    """The function of a tool call."""

    name: Annotated[str, Meta(max_length=256, description="Name of the function.")]
    arguments: Annotated[str, Meta(max_length=MAX_TEXT, description="Arguments as JSON text.")] = "{}"


class ToolCallIn(msgspec.Struct, frozen=True):
    """A tool call of the assistant."""

    id: Annotated[str, Meta(max_length=512, description="Id of the call.")]
    function: Annotated[FunctionCallIn, Meta(description="The function that was called.")]
    type: Annotated[Literal["function"], Meta(description="Always `function`.")] = "function"


LongText = Annotated[str, Meta(max_length=MAX_TEXT)]
Text = LongText | Annotated[list[OnlyTextIn], Meta(max_length=MAX_PARTS)]


class SystemIn(msgspec.Struct, frozen=True, tag_field="role", tag="system"):
    """Instructions for the model."""

    content: Annotated[Text, Meta(description="The instructions.")]


class DeveloperIn(msgspec.Struct, frozen=True, tag_field="role", tag="developer"):
    """Instructions for the model, under OpenAI's newer name."""

    content: Annotated[Text, Meta(description="The instructions.")]


class UserMessageIn(msgspec.Struct, frozen=True, tag_field="role", tag="user"):
    """A message of the user."""

    content: Annotated[
        LongText | Annotated[list[TextIn | ImageIn | FileIn], Meta(max_length=MAX_PARTS)],
        Meta(description="Text, or a list of text, image and file parts."),
    ]


class AssistantIn(msgspec.Struct, frozen=True, tag_field="role", tag="assistant", omit_defaults=True):
    """An earlier answer of the assistant."""

    content: Annotated[
        LongText | Annotated[list[TextIn | RefusalIn], Meta(max_length=MAX_PARTS)] | None,
        Meta(description="The answer; null if there were only tool calls."),
    ] = None
    tool_calls: Annotated[
        Annotated[list[ToolCallIn], Meta(max_length=MAX_TOOLS)] | None,
        Meta(description="Tool calls that the assistant asked for."),
    ] = None


class ToolIn(msgspec.Struct, frozen=True, tag_field="role", tag="tool"):
    """The result of a tool call."""

    content: Annotated[Text, Meta(description="The result.")]
    tool_call_id: Annotated[str, Meta(max_length=512, description="Id of the tool call.")]


MessageIn = SystemIn | DeveloperIn | UserMessageIn | AssistantIn | ToolIn


class StreamOptionsIn(msgspec.Struct, frozen=True):
    """Options of a stream."""

    include_usage: Annotated[bool | None, Meta(description="Send a last chunk with the token usage.")] = None
    include_obfuscation: Annotated[
        bool | None, Meta(description="Streams are not obfuscated; `true` is named in `X-Headrace-Ignored`.")
    ] = None


def wants_usage(options: StreamOptionsIn | None) -> bool:
    """Whether the last chunk is to have the token usage."""
    return bool(options and options.include_usage)


Stop = Annotated[str, Meta(max_length=1000)]
Stops = Annotated[
    Stop | Annotated[list[Stop], Meta(max_length=16)] | None,
    Meta(description="Up to 16 sequences at which the model stops."),
]
Seed = Annotated[int, Meta(ge=-(2**63), le=2**63 - 1, description="Seed for reproducible sampling.")]
PresencePenalty = Annotated[float, Meta(ge=-2, le=2, description="Penalty for tokens that have appeared at all.")]
FrequencyPenalty = Annotated[
    float, Meta(ge=-2, le=2, description="Penalty for tokens by how often they have appeared.")
]
Word = Annotated[str, Meta(max_length=512)]
FOR_VENDOR = Meta(description="Passed on to the provider.")
JSON_FOR_VENDOR = Meta(description="Passed on to the provider.", extra={"max_bytes": 256 * 1024})
UNAVAILABLE = Meta(description="Not supported; rejected if set.", extra={"max_bytes": 16 * 1024})


class CompletionIn(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A chat completion request. Parameters beyond these are passed on to the provider."""

    model: Annotated[
        str,
        Meta(
            min_length=1,
            max_length=200,
            examples=["ollama/llama3.2:3b"],
            description="`provider/name`, a bare name of the default provider, `agent/NAME`, or `auto`.",
        ),
    ]
    messages: Annotated[list[MessageIn], Meta(min_length=1, max_length=2000, description="The conversation so far.")]
    stream: Annotated[bool | None, Meta(description="Stream the answer as Server-Sent Events.")] = None
    stream_options: Annotated[StreamOptionsIn | None, Meta(description="Options of the stream.")] = None
    truncation: Annotated[
        Literal["auto", "disabled"] | None,
        Meta(description="`auto`: leave out the beginning of a conversation too long for the model."),
    ] = None

    # passed on to the model
    temperature: Temperature | None = None
    top_p: Annotated[float, Meta(ge=0, le=1, description="Probability mass for nucleus sampling.")] | None = None
    max_tokens: (
        Annotated[int, Meta(ge=1, le=2**31 - 1, description="Older name of `max_completion_tokens`.")] | None
    ) = None
    max_completion_tokens: (
        Annotated[int, Meta(ge=1, le=2**31 - 1, description="Maximum number of tokens to generate.")] | None
    ) = None
    stop: Stops = None
    seed: Seed | None = None
    presence_penalty: PresencePenalty | None = None
    frequency_penalty: FrequencyPenalty | None = None
    tools: OfferedTools | None = None
    tool_choice: ToolChoice = None
    parallel_tool_calls: Annotated[
        bool | None, Meta(description="Whether the model may call several tools at once.")
    ] = None
    response_format: ResponseFormat = None
    reasoning_effort: (
        Annotated[str, Meta(max_length=20, description="Effort of reasoning models, such as `low` or `high`.")] | None
    ) = None

    # accepted only at certain values (`reject_unsupported`)
    n: (
        Annotated[
            int,
            Meta(
                ge=1,
                le=MAX_CHOICES,
                description="Number of choices. More than 1 needs a model of a provider that has it, without an agent.",
            ),
        ]
        | None
    ) = None
    modalities: Annotated[
        Annotated[list[Word], Meta(max_length=10, extra={"max_bytes": 16 * 1024})] | None,
        Meta(description='Must be `["text"]`.'),
    ] = None
    audio: Annotated[Any, UNAVAILABLE] = None
    functions: Annotated[Any, Meta(description="Not supported; use `tools`.", extra={"max_bytes": 256 * 1024})] = None
    function_call: Annotated[
        Any, Meta(description="Not supported; use `tool_choice`.", extra={"max_bytes": 16 * 1024})
    ] = None

    # for the vendor alone
    logprobs: Annotated[bool | None, Meta(description="Return the log probabilities of the tokens.")] = None
    top_logprobs: (
        Annotated[int, Meta(ge=0, le=20, description="How many of the most likely tokens to return at each place.")]
        | None
    ) = None
    user: Annotated[Word | None, FOR_VENDOR] = None
    logit_bias: Annotated[dict[str, int | float] | None, JSON_FOR_VENDOR] = None
    web_search_options: Annotated[Any, JSON_FOR_VENDOR] = None
    metadata: Annotated[
        Annotated[dict[Annotated[str, Meta(max_length=64)], Annotated[str, Meta(max_length=512)]], Meta(max_length=16)]
        | None,
        Meta(
            description="Up to 16 pairs of your own, with keys of 64 and values of 512 characters. They come back with the "
            "job, in lists and in webhooks, and are passed on to the provider.",
            extra={"max_bytes": 128 * 1024},
        ),
    ] = None
    store: Annotated[bool | None, FOR_VENDOR] = None
    service_tier: Annotated[Word | None, FOR_VENDOR] = None
    prediction: Annotated[Any, JSON_FOR_VENDOR] = None
    verbosity: Annotated[Word | None, FOR_VENDOR] = None
    safety_identifier: Annotated[Word | None, FOR_VENDOR] = None
    prompt_cache_key: Annotated[Word | None, FOR_VENDOR] = None
    prompt_cache_retention: Annotated[Word | None, FOR_VENDOR] = None


PASSED_THROUGH = (
    "temperature",
    "top_p",
    "seed",
    "presence_penalty",
    "frequency_penalty",
    "tools",
    "tool_choice",
    "parallel_tool_calls",
    "response_format",
    "reasoning_effort",
)

FOR_VENDORS = (
    *("user", "metadata", "store", "service_tier", "prediction", "verbosity", "safety_identifier", "prompt_cache_key"),
    *("prompt_cache_retention", "logit_bias", "web_search_options", "logprobs", "top_logprobs"),
)
"""Parameters of OpenAI's that are passed on as they came."""

UNSUPPORTED = {
    "audio": "audio output is not supported. Omit audio.",
    "functions": "functions is deprecated. Use tools.",
    "function_call": "function_call is deprecated. Use tool_choice.",
}


def reject_unsupported(request: CompletionIn) -> None:
    """Raise InputError for parameters that can't be honoured."""
    if request.modalities is not None and request.modalities != ["text"]:
        raise InputError('modalities must be ["text"].', field="modalities")
    for name, why in UNSUPPORTED.items():
        if getattr(request, name):
            raise InputError(why, field=name)
    _check_parts(request)
    check_tools(request.tools, request.tool_choice)
    check_response_format(request.response_format)


def _check_parts(request: CompletionIn) -> None:
    contents = (getattr(message, "content", None) for message in request.messages)
    if sum(len(content) for content in contents if isinstance(content, list)) > MAX_PARTS:
        raise InputError(f"messages must have at most {MAX_PARTS:,} parts together.", field="messages")


def model_options(request: CompletionIn, extras: dict[str, Any]) -> dict[str, Any]:
    """Return what the model is called with, only what was given; `extras` are parameters that the request alone knows."""
    options = {name: value for name in PASSED_THROUGH if (value := getattr(request, name)) is not None}
    max_tokens = request.max_completion_tokens or request.max_tokens
    if max_tokens is not None:
        options["max_tokens"] = max_tokens
        options["max_tokens_name"] = "max_tokens" if request.max_completion_tokens is None else "max_completion_tokens"
    if request.stop:
        options["stop"] = [request.stop] if isinstance(request.stop, str) else request.stop
    choices = {"n": request.n} if (request.n or 1) > 1 else {}
    told = {name: value for name in FOR_VENDORS if (value := getattr(request, name)) is not None}
    if extra := told | choices | extras:
        options["extra"] = extra
    return options
