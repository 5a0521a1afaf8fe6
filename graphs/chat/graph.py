"""One node that answers. (The history is trimmed before: a node of its own would add 0.3 ms before the first token.) As long as
it is the only one, `graphs/runner.py` calls it without the graph around it.

Events leave through `Question.emit` as `schema.events` structs, the moment they happen. That call costs 1 µs a token;
LangGraph's custom stream would cost 30 µs (a queue, a task and a wait each), LangChain callbacks 0.7 ms.
"""

from contextlib import aclosing
from typing import Any

import msgspec
from langgraph.graph import END, START, StateGraph
from langgraph.graph.state import CompiledStateGraph
from langgraph.runtime import Runtime

from graphs.chat.context import Question
from graphs.chat.state import ChatState
from graphs.providers.contract import (
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


def build_chat() -> CompiledStateGraph[Any, Question, Any, Any]:
    """Return the compiled graph."""
    graph = StateGraph(ChatState, context_schema=Question)
    graph.add_node("answer", answer)
    graph.add_edge(START, "answer")
    graph.add_edge("answer", END)
    return graph.compile()


async def answer(state: ChatState, runtime: Runtime[Question]) -> ChatState:
    """Call the model and emit its deltas; the last events are the whole message and its usage."""
    question = runtime.context
    emit = question.emit
    texts: list[str] = []
    refusals: list[str] = []
    extra: dict[str, Any] = {}
    calls = ToolCalls()
    request = msgspec.structs.replace(question.request, messages=tuple(question.messages))
    async with aclosing(question.provider.stream(request)) as deltas:
        async for delta in deltas:
            match delta:
                case TextDelta(text, logprobs):
                    texts.append(text)
                    emit(events.MessageDelta(text=text, logprobs=logprobs))
                case RefusalDelta(text, logprobs):
                    refusals.append(text)
                    emit(events.MessageDelta(refusal=text, logprobs=logprobs))
                case ExtraDelta(more):
                    extra = merge_extra(extra, more)
                case ReasoningDelta(text):
                    emit(events.ReasoningDelta(text=text))
                case ToolCallDelta():
                    emit(events.MessageDelta(tool_calls=[calls.add(delta)]))
                case Progress(text, done, total):
                    emit(events.JobProgress(text=text, done=done or None, total=total or None))
                case Finished(reason, usage, model, fingerprint):
                    has_extra = bool(extra or calls.have_extra)
                    emit(
                        events.MessageCompleted(
                            text="".join(texts),
                            finish_reason=reason,
                            tool_calls=calls.all_as_openai(),
                            refusal="".join(refusals) or None,
                            extra=extra or None,
                            vendor=question.model.partition("/")[0] if has_extra else None,
                            resolved_model=model or None,
                            system_fingerprint=fingerprint or None,
                        )
                    )
                    emit(_usage(question.model, usage))
    return {"messages": question.messages}


def _usage(model: str, usage: Usage) -> events.UsageRecorded:
    return events.UsageRecorded(
        model=model,
        input_tokens=usage.input_tokens,
        output_tokens=usage.output_tokens,
        estimated=usage.estimated,
        cached_tokens=usage.cached_tokens,
        cache_write_tokens=usage.cache_write_tokens,
        reasoning_tokens=usage.reasoning_tokens,
    )
