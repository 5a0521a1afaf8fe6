"""What a chat without an agent does: one call of a model. A plain function: there is nothing to decide between steps and no
state to keep, and a run of LangGraph takes half a millisecond. (The history is trimmed before.)

Events leave through `Question.emit` as `schema.events` structs, the moment they happen. That call costs 1 µs a token;
LangGraph's custom stream would cost 30 µs (a queue, a task and a wait each), LangChain callbacks 0.7 ms.
"""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

import msgspec

from graphs.chat.choices import OtherChoices
from graphs.chat.context import Question
from graphs.providers.calls.metrics import measured_call
from graphs.providers.calls.span import noting
from graphs.providers.contract import (
    ChoiceDelta,
    Delta,
    ExtraDelta,
    Finished,
    Progress,
    ReasoningDelta,
    RefusalDelta,
    TextDelta,
    ToolCallDelta,
    Usage,
)
from graphs.providers.extras import merge_extra
from graphs.tool_calls import ToolCalls
from schema import events
from schema.model_catalog.prices import long_prompt


async def answer(question: Question) -> None:
    """Call the model and emit its deltas; the last events are the whole message and its usage. Raises ProviderError."""
    request = msgspec.structs.replace(question.request, messages=tuple(question.messages))
    with measured_call(question.provider.name, request, own_key=question.own_key) as span:
        await _answer(question, noting(span, question.provider.stream(request)))


async def _answer(question: Question, stream: AsyncGenerator[Delta, None]) -> None:
    emit = question.emit
    texts: list[str] = []
    refusals: list[str] = []
    extra: dict[str, Any] = {}
    calls, choices = ToolCalls(), OtherChoices()
    async with aclosing(stream) as deltas:
        async for delta in deltas:
            match delta:
                case TextDelta(text, logprobs):
                    texts.append(text)
                    emit(events.MessageDelta(text=text, logprobs=logprobs))
                case RefusalDelta(text, logprobs):
                    refusals.append(text)
                    emit(events.MessageDelta(refusal=text, logprobs=logprobs))
                case ChoiceDelta():
                    if (event := choices.add(delta)) is not None:
                        emit(event)
                case ExtraDelta(more):
                    extra = merge_extra(extra, more)
                case ReasoningDelta(text, signature, redacted):
                    emit(events.ReasoningDelta(text=text, signature=signature, redacted=redacted))
                case ToolCallDelta():
                    emit(events.MessageDelta(tool_calls=[calls.add(delta)]))
                case Progress(text, done, total):
                    emit(events.JobProgress(text=text, done=done or None, total=total or None))
                case Finished(reason, usage, model, fingerprint, tier, reported):
                    has_extra = bool(extra or calls.have_extra)
                    emit(
                        events.MessageCompleted(
                            text="".join(texts),
                            finish_reason=reason,
                            tool_calls=calls.all_as_openai(),
                            refusal="".join(refusals) or None,
                            extra=extra or None,
                            vendor=question.model.partition("/")[0] if has_extra else None,
                            choices=choices.all(),
                            resolved_model=model or None,
                            system_fingerprint=fingerprint or None,
                            service_tier=tier or None,
                            reported=reported or None,
                        )
                    )
                    emit(_usage(question.model, usage))


def _usage(model: str, usage: Usage) -> events.UsageRecorded:
    return events.UsageRecorded(
        model=model,
        input_tokens=usage.input_tokens,
        output_tokens=usage.output_tokens,
        estimated=usage.estimated,
        cached_tokens=usage.cached_tokens,
        cache_write_tokens=usage.cache_write_tokens,
        reasoning_tokens=usage.reasoning_tokens,
        cache_write_1h_tokens=usage.cache_write_1h_tokens,
        prompt_tokens=long_prompt(usage.input_tokens),
    )
