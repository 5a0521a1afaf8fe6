"""The request of `POST /v1/messages`, as Anthropic's SDKs and the tools built on them send it.

What its messages and tools become is in `conversation.py` and `options.py`; the blocks of messages are in `block_schemas.py`.
"""

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from api.anthropic.block_schemas import MAX_TEXT, Block, CacheControl, OnlyTextBlockIn
from schema.events.base import CostIfTold

MAX_TOOLS = 512
MAX_MESSAGES = 100_000
MAX_BLOCKS = 10_000
JSON_FOR_VENDOR = Meta(
    description="Passed on to Anthropic's models; named in `X-Headrace-Ignored` for others.",
    extra={"max_bytes": 64 * 1024},
)
LongText = Annotated[str, Meta(max_length=MAX_TEXT)]
Model = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=200,
        examples=["anthropic/claude-sonnet-5"],
        description="`provider/name`, `agent/NAME`, `auto`, or a bare name: of Anthropic if it starts with `claude-`, else of "
        "the default provider.",
    ),
]


class TurnIn(msgspec.Struct, frozen=True):
    """A turn of the conversation."""

    role: Annotated[
        Literal["user", "assistant", "system"],
        Meta(description="Who says it. `system` stands for instructions in the middle of a conversation."),
    ]
    content: Annotated[
        LongText | Annotated[list[Block], Meta(max_length=MAX_BLOCKS)],
        Meta(description="Text, or a list of blocks."),
    ]


class ToolChoiceIn(msgspec.Struct, frozen=True):
    """Whether the model calls tools."""

    type: Annotated[
        Literal["auto", "any", "tool", "none"],
        Meta(
            description="`auto`: as it likes; `any`: at least one; `tool`: the one that is named; `none`: not at all."
        ),
    ]
    name: Annotated[str, Meta(max_length=256, description="The tool to call, for `tool`.")] | None = None
    disable_parallel_tool_use: Annotated[bool | None, Meta(description="Let the model call at most one at once.")] = (
        None
    )


class Prompt(msgspec.Struct, frozen=True, kw_only=True):
    """What the model reads: of a request for a message, and of one that counts its tokens."""

    model: Model
    messages: Annotated[
        list[TurnIn], Meta(min_length=1, max_length=MAX_MESSAGES, description="The conversation so far.")
    ]
    system: Annotated[
        LongText | Annotated[list[OnlyTextBlockIn], Meta(max_length=MAX_BLOCKS)] | None,
        Meta(description="Instructions for the model."),
    ] = None
    tools: (
        Annotated[
            list[Annotated[dict[str, Any], Meta(extra={"max_bytes": 64 * 1024})]],
            Meta(
                max_length=MAX_TOOLS,
                description="Tools that the model may call; your client runs them. Each has at most 64 KB of JSON, and all "
                "together 2 MB.",
                extra={"max_bytes": 2 * 1024 * 1024},
            ),
        ]
        | None
    ) = None
    tool_choice: Annotated[ToolChoiceIn | None, Meta(description="Whether the model calls tools.")] = None
    thinking: Annotated[
        dict[str, Any] | None,
        Meta(
            description="Whether and how the model thinks: `type` is `adaptive`, `enabled` with `budget_tokens`, or "
            "`disabled`. Other makers' models take `output_config.effort` or the budget as their effort, if they reason.",
            extra={"max_bytes": 16 * 1024},
        ),
    ] = None
    output_config: Annotated[
        dict[str, Any] | None,
        Meta(
            description="`effort`, and `format` with a JSON Schema for the answer; at most 256 KB of JSON.",
            extra={"max_bytes": 256 * 1024},
        ),
    ] = None
    cache_control: Annotated[CacheControl | None, Meta(description="Mark the end of the prompt for the cache.")] = None
    context_management: Annotated[Any, JSON_FOR_VENDOR] = None
    mcp_servers: Annotated[Any, Meta(description="Not supported; rejected if set.", extra={"max_bytes": 64 * 1024})] = (
        None
    )


class CreateMessageIn(Prompt, frozen=True, kw_only=True):
    """A request for a message. Fields beyond these are ignored, and named in `X-Headrace-Ignored`."""

    max_tokens: Annotated[int, Meta(ge=1, le=2**31 - 1, description="Maximum number of tokens to generate.")]
    stream: Annotated[bool | None, Meta(description="Stream the answer as Server-Sent Events.")] = None
    stop_sequences: (
        Annotated[
            list[Annotated[str, Meta(max_length=1000)]],
            Meta(max_length=64, description="Sequences at which the model stops."),
        ]
        | None
    ) = None
    temperature: (
        Annotated[float, Meta(ge=0, le=2, description="Sampling temperature; models that take none don't get it.")]
        | None
    ) = None
    top_p: Annotated[float, Meta(ge=0, le=1, description="Probability mass for nucleus sampling.")] | None = None
    top_k: Annotated[int, Meta(ge=0, le=2**31 - 1, description="Sample from the most probable tokens only.")] | None = (
        None
    )
    metadata: Annotated[
        dict[str, Any] | None,
        Meta(
            description="`user_id`, which comes back with the job, in lists and in webhooks. Passed on to Anthropic's models.",
            extra={"max_bytes": 64 * 1024},
        ),
    ] = None
    service_tier: Annotated[str, Meta(max_length=64, description=str(JSON_FOR_VENDOR.description))] | None = None
    container: Annotated[Any, JSON_FOR_VENDOR] = None
    inference_geo: Annotated[str, Meta(max_length=64, description=str(JSON_FOR_VENDOR.description))] | None = None
    thread: Annotated[
        Any,
        Meta(
            description="Not supported; rejected if set, with the code by which Anthropic's SDKs go on without it.",
            extra={"max_bytes": 64 * 1024},
        ),
    ] = None
    speed: Annotated[str, Meta(max_length=64, description=str(JSON_FOR_VENDOR.description))] | None = None


class CountTokensIn(Prompt, frozen=True, kw_only=True):
    """A prompt whose tokens are to be counted."""


class MessageUsageOut(msgspec.Struct, frozen=True, kw_only=True):
    """Token usage. The whole prompt is the sum of the three counts of input."""

    input_tokens: Annotated[
        int, Meta(description="Tokens of the prompt that were neither read from the cache nor put in.")
    ]
    cache_creation_input_tokens: Annotated[int, Meta(description="Tokens put into the provider's cache.")] = 0
    cache_creation: Annotated[
        dict[str, int],
        Meta(
            description="Of these, those kept for five minutes, and for an hour: `ephemeral_5m_…`, `ephemeral_1h_input_tokens`."
        ),
    ] = msgspec.field(default_factory=lambda: {"ephemeral_5m_input_tokens": 0, "ephemeral_1h_input_tokens": 0})
    cache_read_input_tokens: Annotated[int, Meta(description="Tokens read from the provider's cache.")] = 0
    output_tokens: Annotated[int, Meta(description="Tokens in the answer, those of its thoughts included.")]
    output_tokens_details: Annotated[dict[str, int], Meta(description="`thinking_tokens`: those of its thoughts.")] = (
        msgspec.field(default_factory=lambda: {"thinking_tokens": 0})
    )
    cost_usd: CostIfTold = msgspec.UNSET


class AssistantMessageOut(msgspec.Struct, frozen=True, kw_only=True):
    """A message of the assistant."""

    id: Annotated[str, Meta(description="Id of the message: `msg_` and the id of its job.")]
    type: Annotated[Literal["message"], Meta(description="Always `message`.")] = "message"
    role: Annotated[Literal["assistant"], Meta(description="Always `assistant`.")] = "assistant"
    model: Annotated[str, Meta(description="The model that answered, as `provider/name`.")]
    content: Annotated[
        list[dict[str, Any]], Meta(description="Blocks: `thinking`, `redacted_thinking`, `text` and `tool_use`.")
    ]
    stop_reason: Annotated[
        str | None, Meta(description="`end_turn`, `max_tokens`, `tool_use` or `refusal`; null when a stream begins.")
    ] = None
    stop_sequence: Annotated[str | None, Meta(description="Always null: providers don't tell which it was.")] = None
    stop_details: Annotated[dict[str, Any] | None, Meta(description="Why the model refused, if it did.")] = None
    usage: Annotated[MessageUsageOut, Meta(description="Token usage.")]


class PromptTokensOut(msgspec.Struct, frozen=True):
    """How long a prompt is."""

    input_tokens: Annotated[
        int, Meta(description="Tokens of the prompt: Anthropic's count for its models, else estimated.")
    ]


MESSAGE_EXAMPLE: dict[str, Any] = {
    "id": "msg_019a5c9e6f0a7c119f530c9d2f6f6b1e",
    "type": "message",
    "role": "assistant",
    "model": "anthropic/claude-sonnet-5",
    "content": [{"type": "text", "text": "A headrace is the channel that leads water to a mill wheel."}],
    "stop_reason": "end_turn",
    "stop_sequence": None,
    "stop_details": None,
    "usage": {
        "input_tokens": 14,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": 0,
        "output_tokens": 15,
        "output_tokens_details": {"thinking_tokens": 0},
    },
}
