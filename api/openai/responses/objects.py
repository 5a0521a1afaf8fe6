"""Responses as they are sent, field by field as OpenAI's SDKs expect them."""

from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

import msgspec
from msgspec import Meta

from schema.events import UsageRecorded
from schema.events.base import CachedTokens, CacheWriteTokens, CostIfTold, Notice, ReasoningTokens

Status = Literal["queued", "in_progress", "completed", "incomplete", "failed", "cancelled"]
Item = dict[str, Any]
OfProvider = Annotated[Any, Meta(description="As the provider of a model of this API says; omitted if it doesn't.")]
REPORTED = (
    *("moderation", "tool_usage", "prompt_cache_diagnostics", "input_transformations", "access_programs", "image"),
)


class InputDetailsOut(msgspec.Struct, frozen=True):
    """More about the tokens of the input."""

    cached_tokens: CachedTokens = 0
    cache_write_tokens: CacheWriteTokens = 0
    cache_write_tokens_details: Annotated[
        dict[str, int] | msgspec.UnsetType,
        Meta(description="How long they are kept, as the provider says; omitted if it doesn't."),
    ] = msgspec.UNSET


class OutputDetailsOut(msgspec.Struct, frozen=True):
    """More about the tokens of the output."""

    reasoning_tokens: ReasoningTokens = 0


class ResponseUsageOut(msgspec.Struct, frozen=True):
    """Token usage."""

    input_tokens: Annotated[int, Meta(description="Tokens of the input.")]
    input_tokens_details: Annotated[InputDetailsOut, Meta(description="More about them.")]
    output_tokens: Annotated[int, Meta(description="Tokens of the output.")]
    output_tokens_details: Annotated[OutputDetailsOut, Meta(description="More about them.")]
    total_tokens: Annotated[int, Meta(description="Sum of both.")]
    cost_usd: CostIfTold = msgspec.UNSET


class ResponseErrorOut(msgspec.Struct, frozen=True):
    """Why a response failed."""

    code: Annotated[str, Meta(description="`server_error`, `rate_limit_exceeded`, `invalid_prompt` and so on.")]
    message: Annotated[str, Meta(description="What went wrong, for people.")]


class IncompleteDetailsOut(msgspec.Struct, frozen=True):
    """Why a response is incomplete."""

    reason: Annotated[str, Meta(description="`max_output_tokens`, `content_filter` or `cancelled`.")]


class ConversationRefOut(msgspec.Struct, frozen=True):
    """A conversation by its id."""

    id: Annotated[str, Meta(description="Id of the conversation: `conv_…`.")]


class ResponseOut(msgspec.Struct, frozen=True, kw_only=True):
    """A response."""

    id: Annotated[str, Meta(description="Id of the response: `resp_` and the id of its job.")]
    object: Annotated[Literal["response"], Meta(description="Always `response`.")] = "response"
    created_at: Annotated[int, Meta(description="When it was created, in seconds since 1970.")]
    completed_at: Annotated[int | None, Meta(description="When it ended; null while it has not.")]
    status: Annotated[Status, Meta(description="State of the response.")]
    background: Annotated[bool, Meta(description="As in the request.")]
    error: Annotated[ResponseErrorOut | None, Meta(description="Why it failed; null if it did not.")]
    incomplete_details: Annotated[
        IncompleteDetailsOut | None, Meta(description="Why it is incomplete; null if it is not.")
    ]
    instructions: Annotated[str | None, Meta(description="As in the request.")]
    max_output_tokens: Annotated[int | None, Meta(description="As in the request.")]
    max_tool_calls: Annotated[int | None, Meta(description="As in the request.")]
    metadata: Annotated[dict[str, str], Meta(description="As in the request.")]
    model: Annotated[
        str, Meta(description="The model that answered, as `provider/name`, with the name that the provider told.")
    ]
    output: Annotated[
        list[dict[str, Any]],
        Meta(
            description="Items: `message`, `reasoning`, `function_call` for your client to run, `mcp_call` for a tool that an "
            "agent has run."
        ),
    ]
    parallel_tool_calls: Annotated[bool, Meta(description="As in the request.")]
    previous_response_id: Annotated[str | None, Meta(description="As in the request.")]
    conversation: Annotated[ConversationRefOut | None, Meta(description="The conversation that it belongs to.")]
    prompt_cache_key: Annotated[str | None, Meta(description="As in the request.")]
    reasoning: Annotated[dict[str, Any], Meta(description="As in the request.")]
    safety_identifier: Annotated[str | None, Meta(description="As in the request.")]
    service_tier: Annotated[
        str | None, Meta(description="How the provider served it; as in the request until it has said.")
    ]
    store: Annotated[bool, Meta(description="As in the request.")]
    temperature: Annotated[float | None, Meta(description="As in the request.")]
    text: Annotated[dict[str, Any], Meta(description="As in the request.")]
    tool_choice: Annotated[Any, Meta(description="As in the request.")]
    tools: Annotated[list[dict[str, Any]], Meta(description="As in the request.")]
    top_logprobs: Annotated[int | None, Meta(description="As in the request.")]
    top_p: Annotated[float | None, Meta(description="As in the request.")]
    truncation: Annotated[str, Meta(description="As in the request.")]
    usage: Annotated[ResponseUsageOut | None, Meta(description="Token usage; null while it is unknown.")]
    user: Annotated[str | None, Meta(description="As in the request.")]
    prompt_cache_options: Annotated[Any, Meta(description="As in the request; omitted if not.")] = msgspec.UNSET
    prompt_cache_retention: Annotated[Any, Meta(description="As in the request; omitted if not.")] = msgspec.UNSET
    moderation: OfProvider = msgspec.UNSET
    tool_usage: OfProvider = msgspec.UNSET
    prompt_cache_diagnostics: OfProvider = msgspec.UNSET
    input_transformations: OfProvider = msgspec.UNSET
    access_programs: OfProvider = msgspec.UNSET
    image: OfProvider = msgspec.UNSET
    notice: Annotated[
        Notice | msgspec.UnsetType,
        Meta(description="Not in OpenAI's API: what to know of the answer besides its text; omitted otherwise."),
    ] = msgspec.UNSET


def response_id(job_id: UUID) -> str:
    """Return the id of a job's response."""
    return f"resp_{job_id.hex}"


def unix_time(at: str) -> int:
    """Return the time of an event in seconds since 1970."""
    return int(datetime.fromisoformat(at).timestamp())


def usage_out(usage: UsageRecorded | None, reported: dict[str, Any]) -> ResponseUsageOut | None:
    """Return token counts as responses have them, with what only the provider `reported`."""
    if usage is None:
        return None
    kept = reported.get("input_tokens_details", {}).get("cache_write_tokens_details", msgspec.UNSET)
    return ResponseUsageOut(
        usage.input_tokens,
        InputDetailsOut(usage.cached_tokens, usage.cache_write_tokens, kept),
        usage.output_tokens,
        OutputDetailsOut(usage.reasoning_tokens),
        usage.input_tokens + usage.output_tokens,
        usage.cost_usd,
    )


RESPONSE_EXAMPLE: dict[str, Any] = {
    "id": "resp_019a5c9e6f0a7c119f530c9d2f6f6b1e",
    "object": "response",
    "created_at": 1_777_882_530,
    "completed_at": 1_777_882_532,
    "status": "completed",
    "background": False,
    "error": None,
    "incomplete_details": None,
    "instructions": None,
    "max_output_tokens": None,
    "max_tool_calls": None,
    "metadata": {},
    "model": "ollama/llama3.2:3b",
    "output": [
        {
            "id": "msg_019a5c9e6f0a7c119f530c9d2f6f6b1e_0",
            "type": "message",
            "status": "completed",
            "role": "assistant",
            "content": [
                {
                    "type": "output_text",
                    "text": "A headrace is the channel that leads water to a mill wheel.",
                    "annotations": [],
                    "logprobs": [],
                }
            ],
        }
    ],
    "parallel_tool_calls": True,
    "previous_response_id": None,
    "conversation": None,
    "prompt_cache_key": None,
    "reasoning": {"effort": None, "summary": None},
    "safety_identifier": None,
    "service_tier": None,
    "store": True,
    "temperature": None,
    "text": {"format": {"type": "text"}},
    "tool_choice": "auto",
    "tools": [],
    "top_logprobs": None,
    "top_p": None,
    "truncation": "disabled",
    "usage": {
        "input_tokens": 14,
        "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
        "output_tokens": 15,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": 29,
    },
    "user": None,
}
