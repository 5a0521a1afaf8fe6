"""One call of a model: tries the agent's models in order, streams text as it arrives, collects tool calls."""

from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any

import msgspec

from graphs.agents.contract import AgentRun, AgentSpec
from graphs.agents.emitter import Emitter
from graphs.agents.state import used_key
from graphs.providers.contract import (
    ExtraDelta,
    Finished,
    Message,
    Part,
    Progress,
    ReasoningDelta,
    RefusalDelta,
    TextDelta,
    TextPart,
    ToolCallDelta,
    ToolCallPart,
    Usage,
)
from graphs.providers.extras import merge_extra
from graphs.providers.fallback import ChainModel, stream_with_fallback
from graphs.tool_calls import ToolCalls
from schema import events


@dataclass
class Reply:
    """A model's reply. `calls` are tool calls as {id, name, arguments}, with the model's own ids, and perhaps the vendor's
    extra; `extra` is that of the whole reply. `model` is the one that was asked, `resolved_model` what its vendor calls it."""

    text: str = ""
    calls: list[dict[str, Any]] = field(default_factory=list)
    finish: str = "stop"
    model: str = ""
    input_tokens: int = 0
    output_tokens: int = 0
    estimated: bool = False
    own_key: bool = False
    cached_tokens: int = 0
    cache_write_tokens: int = 0
    reasoning_tokens: int = 0
    cache_write_1h_tokens: int = 0
    refusal: str = ""
    extra: dict[str, Any] = field(default_factory=dict)
    resolved_model: str = ""
    system_fingerprint: str = ""
    service_tier: str = ""

    def end(self, finished: Finished, candidates: Sequence[ChainModel]) -> None:
        """Take what the last delta says."""
        self.finish = finished.reason
        self.resolved_model, self.system_fingerprint = finished.model, finished.system_fingerprint
        self.service_tier = finished.service_tier
        self.count(finished.usage, candidates)

    def count(self, usage: Usage, candidates: Sequence[ChainModel]) -> None:
        """Take the usage of the call; whose key it was made with is known by the model that answered."""
        self.estimated, self.input_tokens, self.output_tokens = usage.estimated, usage.input_tokens, usage.output_tokens
        self.cached_tokens, self.cache_write_tokens = usage.cached_tokens, usage.cache_write_tokens
        self.reasoning_tokens, self.cache_write_1h_tokens = usage.reasoning_tokens, usage.cache_write_1h_tokens
        self.own_key = any(one.own_key for one in candidates if one.full_name == self.model)

    @property
    def usage(self) -> dict[str, Any]:
        """The usage as fields of a graph's state: tokens by the tenant's own key are counted once more, apart, and all by the
        model that was called and, where that may cost more, the length of the prompt."""
        own = [self.input_tokens, self.output_tokens] if self.own_key else [0, 0]
        parts = [self.cached_tokens, self.cache_write_tokens, self.reasoning_tokens, self.cache_write_1h_tokens]
        return {
            "input_tokens": self.input_tokens,
            "output_tokens": self.output_tokens,
            "own_key_input_tokens": self.input_tokens if self.own_key else 0,
            "own_key_output_tokens": self.output_tokens if self.own_key else 0,
            "cached_tokens": self.cached_tokens,
            "cache_write_tokens": self.cache_write_tokens,
            "reasoning_tokens": self.reasoning_tokens,
            "cache_write_1h_tokens": self.cache_write_1h_tokens,
            "estimated": self.estimated,
            "used": {used_key(self.model, self.input_tokens): [self.input_tokens, self.output_tokens, *own, *parts]},
        }

    @property
    def vendor(self) -> str:
        """The vendor that answered, to which extras go back."""
        return self.model.partition("/")[0]

    @property
    def answer(self) -> dict[str, Any]:
        """What the reply has besides text and calls, as fields of a graph's state if it is the run's answer."""
        has_extra = bool(self.extra) or any("extra" in call for call in self.calls)
        return {
            "refusal": self.refusal,
            "extra": self.extra,
            "vendor": self.vendor if has_extra else "",
            "resolved_model": self.resolved_model,
            "system_fingerprint": self.system_fingerprint,
            "service_tier": self.service_tier,
        }

    def message(self, ids: list[str]) -> Message:
        """Return the reply as a message of the conversation, with our ids for its calls."""
        said = self.text or self.refusal
        parts: list[Part] = [TextPart(said)] if said else []
        parts += [
            ToolCallPart(i, c["name"], c["arguments"], c.get("extra", {})) for i, c in zip(ids, self.calls, strict=True)
        ]
        return Message("assistant", tuple(parts), self.extra, vendor=self.vendor)


async def call_model(
    run: AgentRun,
    agent: AgentSpec,
    emitter: Emitter,
    messages: list[Message],
    *,
    tools: tuple[dict[str, Any], ...] = (),
    response_format: dict[str, Any] | None = None,
    stream_text: bool = True,
    max_tokens: int | None = None,
) -> Reply:
    """Call the agent's models and return the reply; `stream_text` emits the text as it arrives. `max_tokens` is for what the
    graph asks for itself. Raises ProviderError."""
    choices = await run.chain(agent)
    reply, calls = Reply(model=choices[0].full_name), ToolCalls()
    # The caller's stop words and token limit apply to the answer, not to what the graph asks for itself.
    base_request = (
        run.request if stream_text or tools else msgspec.structs.replace(run.request, stop=(), max_tokens=max_tokens)
    )
    request = msgspec.structs.replace(
        base_request,
        messages=tuple(messages),
        tools=tools,
        tool_choice=base_request.tool_choice if tools else None,
        response_format=response_format or (base_request.response_format if stream_text and not tools else None),
    )

    def on_switch(before: str, code: str, after: str) -> None:
        reply.model = after
        emitter.emit(events.JobProgress(text=f"{before} did not answer ({code}); {after} is asked."))

    async with aclosing(stream_with_fallback(choices, request, run.breakers, on_switch)) as deltas:
        async for delta in deltas:
            match delta:
                case TextDelta(text, logprobs):
                    reply.text += text
                    if stream_text:
                        emitter.emit_text(text, logprobs)
                case RefusalDelta(text, logprobs):
                    reply.refusal += text
                    if stream_text:
                        emitter.emit_refusal(text, logprobs)
                case ExtraDelta(more):
                    reply.extra = merge_extra(reply.extra, more)
                case ReasoningDelta(text, signature, redacted):
                    run.emit(events.ReasoningDelta(text=text, signature=signature, redacted=redacted))
                case ToolCallDelta():
                    calls.add(delta)
                case Progress(text, done, total):
                    run.emit(events.JobProgress(text=text, done=done or None, total=total or None))
                case Finished():
                    reply.end(delta, choices)
    reply.calls = calls.in_order
    return reply
