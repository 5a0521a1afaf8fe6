"""What `POST /v1/chat/completions` takes. Unknown arguments are refused by name, as OpenAI does; known ones that would be
silently wrong are refused in `refuse_unsupported`; harmless ones are taken and not used.

Messages are read tolerantly, because clients send back what they were given, with whatever fields that has.
"""

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from schema.errors import InputError


class TextIn(msgspec.Struct, frozen=True, tag_field="type", tag="text"):
    """Words."""

    text: str


class OnlyTextIn(msgspec.Struct, frozen=True):
    """Words where nothing else is taken. A tag would do only among others: alone, msgspec does not ask for it."""

    type: Literal["text"]
    text: str


class RefusalIn(msgspec.Struct, frozen=True, tag_field="type", tag="refusal"):
    """Words of an assistant that would not answer."""

    refusal: str


class ImageUrlIn(msgspec.Struct, frozen=True, omit_defaults=True):
    """A picture: a `data:` URL, or an address that the model's provider can fetch."""

    url: Annotated[str, Meta(min_length=1)]
    detail: Literal["auto", "low", "high"] | None = None


class ImageIn(msgspec.Struct, frozen=True, tag_field="type", tag="image_url"):
    """A picture."""

    image_url: ImageUrlIn


class FunctionCallIn(msgspec.Struct, frozen=True):
    """Which function the assistant wanted called; `arguments` is JSON text."""

    name: str
    arguments: str = "{}"


class ToolCallIn(msgspec.Struct, frozen=True):
    """A call that the assistant asked for."""

    id: str
    function: FunctionCallIn
    type: Literal["function"] = "function"


Text = str | list[OnlyTextIn]


class SystemIn(msgspec.Struct, frozen=True, tag_field="role", tag="system"):
    """What the assistant is told."""

    content: Text


class DeveloperIn(msgspec.Struct, frozen=True, tag_field="role", tag="developer"):
    """The same, by OpenAI's newer name."""

    content: Text


class UserMessageIn(msgspec.Struct, frozen=True, tag_field="role", tag="user"):
    """What the user says and shows."""

    content: str | list[TextIn | ImageIn]


class AssistantIn(msgspec.Struct, frozen=True, tag_field="role", tag="assistant", omit_defaults=True):
    """What the assistant said before."""

    content: str | list[TextIn | RefusalIn] | None = None
    tool_calls: list[ToolCallIn] | None = None


class ToolIn(msgspec.Struct, frozen=True, tag_field="role", tag="tool"):
    """What a tool answered."""

    content: Text
    tool_call_id: str


MessageIn = SystemIn | DeveloperIn | UserMessageIn | AssistantIn | ToolIn


class FunctionIn(msgspec.Struct, frozen=True):
    """The name of a function that is offered."""

    name: Annotated[str, Meta(pattern="^[a-zA-Z0-9_.-]{1,64}$")]


class OfferedToolIn(msgspec.Struct, frozen=True):
    """A tool that the model may call. Read only to be checked: tools are passed on as they came."""

    type: Literal["function"]
    function: FunctionIn


class StreamOptionsIn(msgspec.Struct, frozen=True):
    """`include_usage` asks for a last chunk with the tokens used."""

    include_usage: bool | None = None


Penalty = Annotated[float, Meta(ge=-2, le=2)] | None
Tokens = Annotated[int, Meta(ge=1, le=2**31 - 1)] | None
Stop = Annotated[str, Meta(max_length=1000)]


class CompletionIn(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, omit_defaults=True):
    """OpenAI's chat completion request."""

    model: Annotated[str, Meta(min_length=1, max_length=200, examples=["ollama/llama3.2:3b"])]
    messages: Annotated[list[MessageIn], Meta(min_length=1, max_length=2000)]
    stream: bool | None = None
    stream_options: StreamOptionsIn | None = None

    # passed on to the model
    temperature: Annotated[float, Meta(ge=0, le=2)] | None = None
    top_p: Annotated[float, Meta(ge=0, le=1)] | None = None
    max_tokens: Tokens = None
    max_completion_tokens: Tokens = None
    stop: Stop | Annotated[list[Stop], Meta(max_length=16)] | None = None
    seed: Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)] | None = None
    presence_penalty: Penalty = None
    frequency_penalty: Penalty = None
    tools: Annotated[list[dict[str, Any]], Meta(max_length=128)] | None = None
    tool_choice: Literal["none", "auto", "required"] | dict[str, Any] | None = None
    parallel_tool_calls: bool | None = None
    response_format: dict[str, Any] | None = None
    reasoning_effort: Annotated[str, Meta(max_length=20)] | None = None

    # right only at these values (`refuse_unsupported`)
    n: int | None = None
    logprobs: bool | None = None
    top_logprobs: int | None = None
    logit_bias: dict[str, float] | None = None
    modalities: list[str] | None = None
    audio: Any = None
    functions: Any = None
    function_call: Any = None
    web_search_options: Any = None

    # change nothing about the answer
    user: str | None = None
    metadata: dict[str, Any] | None = None
    store: bool | None = None
    service_tier: str | None = None
    prediction: Any = None
    verbosity: str | None = None
    safety_identifier: str | None = None
    prompt_cache_key: str | None = None
    prompt_cache_retention: str | None = None


PASSED_ON = (
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

UNSUPPORTED = {
    "logprobs": "log probabilities are not available; leave logprobs out.",
    "top_logprobs": "log probabilities are not available; leave top_logprobs out.",
    "logit_bias": "logit_bias is not supported; leave it out.",
    "audio": "spoken answers are not supported; leave audio out.",
    "functions": "functions is the old way; send tools.",
    "function_call": "function_call is the old way; send tool_choice.",
    "web_search_options": "web search is not offered this way; leave web_search_options out.",
}


def refuse_unsupported(wanted: CompletionIn) -> None:
    """Raise InputError for what could only be answered wrongly."""
    if wanted.n not in (None, 1):
        raise InputError(
            "n must be 1: there is one answer to a request. Send the request again for another.", field="n"
        )
    if wanted.modalities is not None and wanted.modalities != ["text"]:
        raise InputError('modalities must be ["text"].', field="modalities")
    for name, why in UNSUPPORTED.items():
        if getattr(wanted, name):
            raise InputError(why[0].upper() + why[1:], field=name)
    _check_tools(wanted)
    if wanted.response_format is not None:
        _check_format(wanted.response_format)


def _check_tools(wanted: CompletionIn) -> None:
    for place, tool in enumerate(wanted.tools or []):
        try:
            msgspec.convert(tool, OfferedToolIn)
        except msgspec.ValidationError as error:
            raise InputError(
                f'tools[{place}] must be {{"type": "function", "function": {{"name": …}}}} with a name of letters, '
                "digits, _, . and -, at most 64 of them.",
                field=f"tools[{place}]",
            ) from error
    if wanted.tool_choice not in (None, "none", "auto") and not wanted.tools:
        raise InputError("tool_choice needs tools; send them too, or leave tool_choice out.", field="tool_choice")


def _check_format(wanted: dict[str, Any]) -> None:
    kind = wanted.get("type")
    if kind not in ("text", "json_object", "json_schema"):
        raise InputError("response_format.type must be text, json_object or json_schema.", field="response_format.type")
    if kind == "json_schema" and not isinstance((wanted.get("json_schema") or {}).get("schema"), dict):
        raise InputError(
            "response_format.json_schema.schema must be a JSON Schema.", field="response_format.json_schema.schema"
        )


def options_of(wanted: CompletionIn) -> dict[str, Any]:
    """Return what the model is called with, only what was given."""
    options = {name: value for name in PASSED_ON if (value := getattr(wanted, name)) is not None}
    max_tokens = wanted.max_completion_tokens or wanted.max_tokens
    if max_tokens is not None:
        options["max_tokens"] = max_tokens
    if wanted.stop:
        options["stop"] = [wanted.stop] if isinstance(wanted.stop, str) else wanted.stop
    return options
