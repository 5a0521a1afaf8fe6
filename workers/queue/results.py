"""What is stored of an answer: its parts, its usage, and the result in the job's row."""

from typing import Any

import msgspec

from schema.events import MessageCompleted, UsageRecorded


def parts_of(text: str) -> list[dict[str, Any]]:
    """Return words as a message is stored."""
    return [{"type": "text", "text": text}]


def usage_of(used: UsageRecorded | None) -> dict[str, Any] | None:
    """Return what was used as it is stored and charged."""
    if used is None:
        return None
    return {"input_tokens": used.input_tokens, "output_tokens": used.output_tokens, "estimated": used.estimated}


def detail_of(said: MessageCompleted) -> dict[str, Any]:
    """Return what an answer says besides its words."""
    found = {"agent": said.agent, "data": said.data, "renderer": said.renderer}
    found |= {"cached": said.cached or None, "citations": said.citations}
    found |= {"notice": msgspec.to_builtins(said.notice)}
    return {name: value for name, value in found.items() if value is not None}


def result_of(said: MessageCompleted, used: UsageRecorded | None, model: str) -> dict[str, Any]:
    """Return the result of a job that has answered; `model` is the job's own."""
    result: dict[str, Any] = {
        "text": said.text,
        "finish_reason": said.finish_reason,
        "model": used.model if used else model,
        "usage": usage_of(used),
        "tool_calls": said.tool_calls or None,
        "message_id": said.message_id,
    }
    left_out = {name for name in ("tool_calls", "message_id") if result[name] is None}
    return {name: value for name, value in result.items() if name not in left_out} | detail_of(said)
