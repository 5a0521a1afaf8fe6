"""How an answer is stored: the parts of its message, its usage, and the result in the job's row."""

from collections.abc import Sequence
from typing import Any

import msgspec
from msgspec import UNSET

from schema.events import MessageCompleted, UsageRecorded
from schema.events.base import ModelUsage
from schema.model_catalog.catalog import Catalog
from schema.model_catalog.prices import MAX_NANOS, to_usd
from schema.queries.jobs.attempts import Charge

MAX_COUNT = 2**53
"""The largest integer that Redis' Lua counts exactly."""

PARTS = ("cached_tokens", "cache_write_tokens", "reasoning_tokens", "cache_write_1h_tokens")
"""Counts that are parts of the tokens that were sent, or came back."""


def text_parts(text: str) -> list[dict[str, Any]]:
    """Return text as the parts of a stored message."""
    return [{"type": "text", "text": text}]


def answer_parts(completed: MessageCompleted) -> list[dict[str, Any]]:
    """Return an answer as the parts of a stored message: its text or refusal, and its calls of the client's tools."""
    said, calls = completed.text or completed.refusal or "", [_call_part(call) for call in completed.tool_calls or ()]
    return [*(text_parts(said) if said or not calls else ()), *calls]


def _call_part(call: dict[str, Any]) -> dict[str, Any]:
    extra = {name: value for name, value in call.items() if name not in ("id", "type", "function")}
    part = {"type": "tool_call", "id": call["id"], **call["function"]}
    return {**part, "extra": extra} if extra else part


def usage_fields(usage: UsageRecorded | None) -> dict[str, Any] | None:
    """Return usage as it is stored and charged."""
    if usage is None:
        return None
    read, written = _count(usage.input_tokens), _count(usage.output_tokens)
    parts = {name: _count(getattr(usage, name)) for name in PARTS}
    return {
        "input_tokens": read,
        "output_tokens": written,
        "estimated": usage.estimated,
        **{name: count for name, count in parts.items() if count},
        **({} if usage.cost_usd is UNSET else {"cost_usd": usage.cost_usd}),
    }


def _count(tokens: int) -> int:
    """Return tokens as they may be charged: never below 0, which would give money back, nor more than is counted exactly."""
    return max(0, min(tokens, MAX_COUNT))


def usage_by_model(usage: UsageRecorded | None) -> tuple[ModelUsage, ...]:
    """Return what was used of each model, as it is charged; the one that answered is first."""
    if usage is None:
        return ()
    whole = ModelUsage(
        model=usage.model,
        input_tokens=usage.input_tokens,
        output_tokens=usage.output_tokens,
        own_key_input_tokens=usage.own_key_input_tokens,
        own_key_output_tokens=usage.own_key_output_tokens,
        **{name: getattr(usage, name) for name in PARTS},
        prompt_tokens=usage.prompt_tokens,
    )
    models = sorted(usage.models or [whole], key=lambda used: used.model != usage.model)
    return tuple(
        ModelUsage(
            model=used.model,
            input_tokens=_count(used.input_tokens),
            output_tokens=_count(used.output_tokens),
            own_key_input_tokens=_count(used.own_key_input_tokens),
            own_key_output_tokens=_count(used.own_key_output_tokens),
            **{name: _count(getattr(used, name)) for name in PARTS},
            prompt_tokens=used.prompt_tokens,
        )
        for used in models
    )


def charge_models(used: Sequence[ModelUsage], catalog: Catalog) -> tuple[list[Charge], list[str]]:
    """Return what each model cost, and the models whose price is unknown: they are charged nothing."""
    costs = [catalog.charge(one) for one in used]
    charges = [Charge(one, nanos or 0) for one, nanos in zip(used, costs, strict=True)]
    return charges, [one.model for one, nanos in zip(used, costs, strict=True) if nanos is None]


def with_cost(usage: UsageRecorded, charges: Sequence[Charge], unpriced: Sequence[str]) -> UsageRecorded:
    """Return usage with what it cost, which is unknown if the price of one model is."""
    nanos = min(MAX_NANOS, sum(charge.cost_nanos for charge in charges))
    return msgspec.structs.replace(usage, cost_usd=None if unpriced else to_usd(nanos))


def message_detail(completed: MessageCompleted) -> dict[str, Any]:
    """Return what an answer has besides its text."""
    found = {
        "agent": completed.agent,
        "data": completed.data,
        "renderer": completed.renderer,
        "cached": completed.cached or None,
        "citations": completed.citations,
        "notice": msgspec.to_builtins(completed.notice),
        "refusal": completed.refusal,
    }
    return {name: value for name, value in found.items() if value is not None}


def vendor_extra(completed: MessageCompleted) -> dict[str, Any]:
    """Return what goes back to the answer's vendor with its message, as a part of the stored message's detail."""
    found = {"extra": completed.extra, "vendor": completed.vendor}
    return {name: value for name, value in found.items() if value}


def job_result(completed: MessageCompleted, usage: UsageRecorded | None, model: str) -> dict[str, Any]:
    """Return the result of a job that succeeded. `model` is the job's, for answers without usage."""
    result: dict[str, Any] = {
        "text": completed.text,
        "finish_reason": completed.finish_reason,
        "model": usage.model if usage else model,
        "resolved_model": completed.resolved_model,
        "usage": usage_fields(usage),
        "tool_calls": completed.tool_calls or None,
        "message_id": completed.message_id,
    }
    absent = {name for name in ("tool_calls", "message_id", "resolved_model") if result[name] is None}
    return {name: value for name, value in result.items() if name not in absent} | message_detail(completed)
