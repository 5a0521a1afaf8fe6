"""The events that an answer is made of: its pieces, the whole, and what it used."""

from typing import Annotated, Any

import msgspec
from msgspec import UNSET, Meta

from schema.events.base import (
    CachedTokens,
    CacheWrite1hTokens,
    CacheWriteTokens,
    CostIfTold,
    Event,
    ModelUsage,
    Notice,
    OwnKeyTokens,
    PromptTokens,
    ReasoningTokens,
)


class MessageDelta(Event, frozen=True):
    """More of the answer: text, a refusal, or pieces of tool calls that the caller's own tools must answer (OpenAI's shape)."""

    type = "message.delta"
    text: Annotated[str, Meta(description="Append this to the answer so far.")] = ""
    tool_calls: Annotated[
        list[dict[str, Any]] | None, Meta(description="Pieces of calls of the caller's own tools, in OpenAI's shape.")
    ] = None
    refusal: Annotated[str, Meta(description="Append this to the words with which the model refuses to answer.")] = ""
    logprobs: Annotated[
        list[dict[str, Any]] | None,
        Meta(description="Log probabilities of the tokens of `text` or `refusal`, in OpenAI's shape, if asked for."),
    ] = None


class ChoiceDelta(Event, frozen=True):
    """More of another choice than the first, where several were asked for (`n`)."""

    type = "choice.delta"
    choice: Annotated[int, Meta(description="The choice's index, from 1.")]
    delta: Annotated[dict[str, Any], Meta(description="More of it, in OpenAI's shape.")] = {}  # noqa: RUF012 -- copied
    logprobs: Annotated[
        list[dict[str, Any]] | None, Meta(description="Log probabilities of its tokens, in OpenAI's shape.")
    ] = None
    finish_reason: Annotated[str | None, Meta(description="Why the choice ended, with its last event.")] = None


class MessageCompleted(Event, frozen=True):
    """The complete answer. `message_id` is the stored message, if the job belongs to a session. `agent` is the agent that
    answered; `data` is the answer as an object, if the agent's output format has one, and `renderer` a hint how to show it.
    `cached`: an earlier answer was reused. `citations` are the passages that the answer is based on, as in
    `citation.added`. `notice` has what to know of the answer besides its text: its codes are `no_language_model`,
    `agents_off`, `output_format_missed`, `images_not_shown` and `not_in_sources`; its message says what to do."""

    type = "message.completed"
    text: Annotated[str, Meta(description="The complete answer.")]
    finish_reason: Annotated[
        str, Meta(description="Why the answer ended: `stop`, `length`, `tool_calls` and so on.")
    ] = "stop"
    message_id: Annotated[str | None, Meta(description="The stored message, where the job belongs to a session.")] = (
        None
    )
    tool_calls: Annotated[
        list[dict[str, Any]] | None, Meta(description="Calls of the caller's own tools, in OpenAI's shape.")
    ] = None
    agent: Annotated[str | None, Meta(description="The agent that answered; null for the model alone.")] = None
    data: Annotated[Any, Meta(description="The answer as an object, where the agent's output format has one.")] = None
    renderer: Annotated[dict[str, Any] | None, Meta(description="A hint how to show `data`.")] = None
    cached: Annotated[bool, Meta(description="Whether an earlier answer was reused.")] = False
    citations: Annotated[
        list[dict[str, Any]] | None,
        Meta(description="The passages that the answer is based on, as in `citation.added`."),
    ] = None
    notice: Annotated[Notice | None, Meta(description="What to know of the answer besides its text, if anything.")] = (
        None
    )
    refusal: Annotated[str | None, Meta(description="The words with which the model refused, if it did.")] = None
    extra: Annotated[
        dict[str, Any] | None,
        Meta(description="Fields of the answer that only its provider understands. They must go back to it unchanged."),
    ] = None
    vendor: Annotated[str | None, Meta(description="The provider that `extra` is from, and goes back to.")] = None
    choices: Annotated[
        list[dict[str, Any]] | None,
        Meta(description="The other choices, in OpenAI's shape, where several were asked for."),
    ] = None
    resolved_model: Annotated[str | None, Meta(description="The model that answered, in its provider's words.")] = None
    system_fingerprint: Annotated[str | None, Meta(description="The provider's version of its server.")] = None
    service_tier: Annotated[str | None, Meta(description="How the provider served it, in its words.")] = None
    reported: Annotated[
        dict[str, Any] | None,
        Meta(description="What else its provider says of the answer, such as `moderation`; for clients of `/v1`."),
    ] = None
    sealed_reasoning: Annotated[
        str | None,
        Meta(description="What goes back to the provider, sealed: for clients of `/v1/responses` that asked for it."),
    ] = None


class UsageRecorded(Event, frozen=True):
    """Tokens that the job used; `estimated` if the provider did not count them."""

    type = "usage.recorded"
    model: Annotated[str, Meta(description="The model that answered, as `provider/name`.")]
    input_tokens: Annotated[int, Meta(description="Tokens that were sent.")]
    output_tokens: Annotated[int, Meta(description="Tokens that came back.")]
    estimated: Annotated[bool, Meta(description="Whether the counts are estimates: the provider sent none.")] = False
    own_key_input_tokens: OwnKeyTokens = 0
    own_key_output_tokens: OwnKeyTokens = 0
    cached_tokens: CachedTokens = 0
    cache_write_tokens: CacheWriteTokens = 0
    reasoning_tokens: ReasoningTokens = 0
    cache_write_1h_tokens: CacheWrite1hTokens = 0
    prompt_tokens: PromptTokens = 0
    models: Annotated[list[ModelUsage] | None, Meta(description="The tokens by model, if several were called.")] = None
    cost_usd: CostIfTold = UNSET

    def with_own_key(self) -> "UsageRecorded":
        """Return the usage as all of the tenant's own provider key."""
        own = {"own_key_input_tokens": self.input_tokens, "own_key_output_tokens": self.output_tokens}
        return msgspec.structs.replace(self, **own)
