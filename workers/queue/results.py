"""How an answer is stored: the parts of its message, its usage, and the result in the job's row."""

from typing import Any

import msgspec

from schema.events import MessageCompleted, UsageRecorded

MAX_COUNT = 2**53
"""The largest integer that Redis' Lua counts exactly."""


def text_parts(text: str) -> list[dict[str, Any]]:
    """Return text as the parts of a stored message."""
    return [{"type": "text", "text": text}]


def usage_fields(usage: UsageRecorded | None) -> dict[str, Any] | None:
    """Return usage as it is stored and charged."""
    if usage is None:
        return None
    read, written = _count(usage.input_tokens), _count(usage.output_tokens)
    return {"input_tokens": read, "output_tokens": written, "estimated": usage.estimated}


def _count(tokens: int) -> int:
    """Return tokens as they may be charged: never below 0, which would give money back, nor more than is counted exactly."""
    return max(0, min(tokens, MAX_COUNT))


def own_key_tokens(usage: UsageRecorded | None) -> tuple[int, int]:
    """Return the tokens, in and out, that the tenant's own provider key was used for; they cost nothing."""
    return (_count(usage.own_key_input_tokens), _count(usage.own_key_output_tokens)) if usage else (0, 0)


def message_detail(completed: MessageCompleted) -> dict[str, Any]:
    """Return what an answer has besides its text."""
    found = {
        "agent": completed.agent,
        "data": completed.data,
        "renderer": completed.renderer,
        "cached": completed.cached or None,
        "citations": completed.citations,
        "notice": msgspec.to_builtins(completed.notice),
    }
    return {name: value for name, value in found.items() if value is not None}


def job_result(completed: MessageCompleted, usage: UsageRecorded | None, model: str) -> dict[str, Any]:
    """Return the result of a job that succeeded. `model` is the job's, for answers without usage."""
    result: dict[str, Any] = {
        "text": completed.text,
        "finish_reason": completed.finish_reason,
        "model": usage.model if usage else model,
        "usage": usage_fields(usage),
        "tool_calls": completed.tool_calls or None,
        "message_id": completed.message_id,
    }
    absent = {name for name in ("tool_calls", "message_id") if result[name] is None}
    return {name: value for name, value in result.items() if name not in absent} | message_detail(completed)
