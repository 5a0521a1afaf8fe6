"""The blocks of messages, as Anthropic's clients send them. Others of their fields are left out, and named (`ignored.py`)."""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

MAX_TEXT = 8_000_000
"""Characters of one text: more than any model reads. HEADRACE_MAX_BODY bounds all of them together."""

MAX_DATA = 40_000_000
"""Characters of a file in base64."""

MAX_BLOCKS = 10_000
Id = Annotated[str, Meta(min_length=1, max_length=20_000, description="Id of the call, as the answer had it.")]


class CacheControl(msgspec.Struct, frozen=True, omit_defaults=True):
    """A mark for Anthropic's cache: the prompt up to here is kept. Others cache by themselves or not at all."""

    type: Annotated[str, Meta(max_length=40, description="`ephemeral`.")]
    ttl: Annotated[str, Meta(max_length=20, description="How long it is kept: `5m` or `1h`.")] | None = None


Mark = Annotated[CacheControl | None, Meta(description="Mark the end of this block for the cache.")]


class TextBlockIn(msgspec.Struct, frozen=True, tag_field="type", tag="text"):
    """Text."""

    text: Annotated[str, Meta(max_length=MAX_TEXT, description="The text.")]
    cache_control: Mark = None


# A tag works only in a union: alone, msgspec does not require it.
class OnlyTextBlockIn(msgspec.Struct, frozen=True):
    """Text, where nothing else is allowed."""

    type: Annotated[Literal["text"], Meta(description="Always `text`.")]
    text: Annotated[str, Meta(max_length=MAX_TEXT, description="The text.")]
    cache_control: Mark = None


class SourceIn(msgspec.Struct, frozen=True):
    """Where an image or a document is."""

    type: Annotated[str, Meta(max_length=40, description="`base64`, `url`, `text`, `content` or `file`.")]
    media_type: Annotated[str, Meta(max_length=100, description="Media type of `data`.")] | None = None
    data: Annotated[str, Meta(max_length=MAX_DATA, description="The bytes in base64, or the text.")] | None = None
    url: (
        Annotated[
            str, Meta(max_length=20_000, pattern="^https?://", description="An address that the provider can fetch.")
        ]
        | None
    ) = None
    file_id: Annotated[str, Meta(max_length=64, description="Id of a file of `/v1/files`, of `file`.")] | None = None
    content: Annotated[
        Annotated[str, Meta(max_length=MAX_TEXT)]
        | Annotated[list[OnlyTextBlockIn], Meta(max_length=MAX_BLOCKS)]
        | None,
        Meta(description="The text, of `content`."),
    ] = None


class ImageBlockIn(msgspec.Struct, frozen=True, tag_field="type", tag="image"):
    """An image."""

    source: Annotated[SourceIn, Meta(description="Where it is: `base64` or `url`.")]
    cache_control: Mark = None


class DocumentBlockIn(msgspec.Struct, frozen=True, tag_field="type", tag="document"):
    """A document. Anthropic's models get a PDF as it is; for others its text is read here, as that of every file by its id."""

    source: Annotated[SourceIn, Meta(description="Where it is.")]
    title: Annotated[str, Meta(max_length=2000, description="Its title.")] | None = None
    context: Annotated[str, Meta(max_length=MAX_TEXT, description="What it is about.")] | None = None
    cache_control: Mark = None


class SearchResultBlockIn(msgspec.Struct, frozen=True, tag_field="type", tag="search_result"):
    """A passage that a search has found."""

    source: Annotated[str, Meta(max_length=20_000, description="Where it is from.")]
    title: Annotated[str, Meta(max_length=2000, description="Its title.")]
    content: Annotated[list[OnlyTextBlockIn], Meta(max_length=MAX_BLOCKS, description="Its text.")]
    cache_control: Mark = None


class ThinkingBlockIn(msgspec.Struct, frozen=True, tag_field="type", tag="thinking"):
    """A thought of the assistant, as it was answered."""

    thinking: Annotated[str, Meta(max_length=MAX_TEXT, description="The thought; empty if it isn't shown.")]
    signature: Annotated[str, Meta(max_length=MAX_DATA, description="Its signature, unchanged.")] = ""


class RedactedThinkingBlockIn(msgspec.Struct, frozen=True, tag_field="type", tag="redacted_thinking"):
    """A hidden thought of the assistant, as it was answered."""

    data: Annotated[str, Meta(max_length=MAX_DATA, description="Its data, unchanged.")]


class ToolUseBlockIn(msgspec.Struct, frozen=True, tag_field="type", tag="tool_use"):
    """A call of a tool."""

    id: Id
    name: Annotated[str, Meta(max_length=256, description="The tool.")]
    input: Annotated[
        msgspec.Raw,
        Meta(description="The arguments of the call, an object.", extra_json_schema={"type": "object"}),
    ]
    cache_control: Mark = None


class ToolReferenceBlockIn(msgspec.Struct, frozen=True, tag_field="type", tag="tool_reference"):
    """The name of a tool that a search for tools has found."""

    tool_name: Annotated[str, Meta(max_length=256, description="The tool.")]


ResultBlock = TextBlockIn | ImageBlockIn | DocumentBlockIn | SearchResultBlockIn | ToolReferenceBlockIn


class ToolResultBlockIn(msgspec.Struct, frozen=True, tag_field="type", tag="tool_result"):
    """What a call has returned."""

    tool_use_id: Id
    content: Annotated[
        Annotated[str, Meta(max_length=MAX_TEXT)] | Annotated[list[ResultBlock], Meta(max_length=MAX_BLOCKS)] | None,
        Meta(description="Text, or blocks of text and images."),
    ] = None
    is_error: Annotated[bool | None, Meta(description="Whether the call has failed.")] = None
    cache_control: Mark = None


Block = (
    TextBlockIn
    | ImageBlockIn
    | DocumentBlockIn
    | SearchResultBlockIn
    | ThinkingBlockIn
    | RedactedThinkingBlockIn
    | ToolUseBlockIn
    | ToolResultBlockIn
)
