"""One call of a model: the chain of an agent's models is tried, words go out as they come, tool calls are gathered."""

from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any

import msgspec

from graphs.agents.contract import AgentRun, AgentSpec
from graphs.agents.emitter import Emitter
from graphs.providers.contract import (
    Finished,
    Message,
    Part,
    Progress,
    ReasoningDelta,
    TextDelta,
    TextPart,
    ToolCallDelta,
    ToolCallPart,
)
from graphs.providers.fallback import stream_with_fallback
from graphs.tool_calls import ToolCalls
from schema import events


@dataclass
class Reply:
    """What a model said. `calls` are tool calls as {id, name, arguments}, with the model's own ids."""

    text: str = ""
    calls: list[dict[str, str]] = field(default_factory=list)
    finish: str = "stop"
    model: str = ""
    input_tokens: int = 0
    output_tokens: int = 0
    estimated: bool = False

    def message(self, ids: list[str]) -> Message:
        """The reply as a message of the conversation, its calls under our ids."""
        parts: list[Part] = [TextPart(self.text)] if self.text else []
        parts += [ToolCallPart(i, c["name"], c["arguments"]) for i, c in zip(ids, self.calls, strict=True)]
        return Message("assistant", tuple(parts))


async def call_model(
    run: AgentRun,
    agent: AgentSpec,
    tell: Emitter,
    messages: list[Message],
    *,
    tools: tuple[dict[str, Any], ...] = (),
    response_format: dict[str, Any] | None = None,
    aloud: bool = True,
) -> Reply:
    """Ask the agent's models and return the reply; `aloud` tells the words as they come. Raises ProviderError."""
    choices = await run.chain(agent)
    reply, calls = Reply(model=choices[0].full_name), ToolCalls()
    # Stop words and the like are the caller's for the answer, not for what the graph asks by itself.
    given = run.request if aloud or tools else msgspec.structs.replace(run.request, stop=(), max_tokens=None)
    request = msgspec.structs.replace(
        given,
        messages=tuple(messages),
        tools=tools,
        tool_choice=given.tool_choice if tools else None,
        response_format=response_format or (given.response_format if aloud and not tools else None),
    )

    def switched(before: str, code: str, after: str) -> None:
        reply.model = after
        tell.event(events.JobProgress(text=f"{before} did not answer ({code}); {after} is asked."))

    async with aclosing(stream_with_fallback(choices, request, run.breakers, switched)) as deltas:
        async for delta in deltas:
            match delta:
                case TextDelta(text):
                    reply.text += text
                    if aloud:
                        tell.text(text)
                case ReasoningDelta(text):
                    run.emit(events.ReasoningDelta(text=text))
                case ToolCallDelta():
                    calls.add(delta)
                case Progress(text, done, total):
                    run.emit(events.JobProgress(text=text, done=done or None, total=total or None))
                case Finished(reason, usage):
                    reply.finish, reply.estimated = reason, usage.estimated
                    reply.input_tokens, reply.output_tokens = usage.input_tokens, usage.output_tokens
    reply.calls = calls.plain
    return reply
