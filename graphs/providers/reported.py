"""What vendors report, made safe where it enters: token counts that are none, and characters that Postgres can't store.

A tenant may name any server as a vendor, so nothing here may be taken on trust: a negative count would give money back.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from graphs.providers.contract import (
    Delta,
    ExtraDelta,
    Message,
    ReasoningDelta,
    RefusalDelta,
    TextDelta,
    ToolCallDelta,
    Usage,
)
from graphs.providers.tokens import estimate_input, estimate_tokens
from schema import storable as cleaning

MAX_TOKENS = 10**9
"""Far more than any model reads or writes in one call; sums of it fit into what Postgres and Lua count exactly."""


REPORTED = (
    *("moderation", "metadata", "tool_usage", "prompt_cache_diagnostics", "input_transformations"),
    *("access_programs", "image"),
)
"""Fields of a vendor's answer as a whole that its clients get as they came."""

COUNTED = frozenset({"cached_tokens", "cache_write_tokens", "reasoning_tokens"})
"""Details of usage that are counted here, and come back as they are counted."""

MAX_REPORTED, MAX_COUNTS = 100_000, 32

MAX_NAME = 200
"""Characters of a model's name, and of a server's version."""


def usage_from(
    read: Any,
    written: Any,
    *,
    messages: Sequence[Message],
    chars: int,
    cached: Any = None,
    cache_write: Any = None,
    reasoning: Any = None,
    cache_write_1h: Any = None,
) -> Usage:
    """Return the usage of a call. A count that is missing, or is no whole number from 0 to MAX_TOKENS, is estimated from the
    prompt's `messages`, or from the `chars` of the answer. `cached`, `cache_write` and `reasoning` are parts of the two,
    `cache_write_1h` one of what was written; one that is no such number counts as 0, and none is more than its whole."""
    input_tokens, output_tokens = reported_count(read), reported_count(written)
    estimated = input_tokens is None or output_tokens is None
    input_tokens = estimate_input(messages) if input_tokens is None else input_tokens
    output_tokens = estimate_tokens(chars) if output_tokens is None else output_tokens
    written_to_cache = min(reported_count(cache_write) or 0, input_tokens)
    return Usage(
        input_tokens,
        output_tokens,
        estimated,
        cached_tokens=min(reported_count(cached) or 0, input_tokens),
        cache_write_tokens=written_to_cache,
        reasoning_tokens=min(reported_count(reasoning) or 0, output_tokens),
        cache_write_1h_tokens=min(reported_count(cache_write_1h) or 0, written_to_cache),
    )


def reported_count(value: Any) -> int | None:
    """Return a count of tokens, or None for what is none."""
    return value if type(value) is int and 0 <= value <= MAX_TOKENS else None  # a bool is an int, too


def reported_name(value: Any) -> str:
    """Return what a vendor calls its model or its server's version; empty for what is no such name."""
    return cleaning.storable_text(value) if isinstance(value, str) and len(value) <= MAX_NAME else ""


def reported_fields(response: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a vendor says of an answer as a whole, of what headrace doesn't count and decide itself, such as
    `moderation`; without what is longer than such things are."""
    found = {name: response[name] for name in REPORTED if response.get(name) not in (None, {}, [])}
    return cleaning.storable(found) if len(repr(found)) <= MAX_REPORTED else {}


def reported_details(**details: Any) -> dict[str, Any]:
    """Return the counts of details of usage that `Usage` has no place for, by the names that OpenAI's Responses API has for
    the details: `input_tokens_details`, `output_tokens_details`."""
    counts = {name: _counts(value) for name, value in details.items() if isinstance(value, dict)}
    return {name: found for name, found in counts.items() if found}


def _counts(details: dict[str, Any]) -> dict[str, Any]:
    return {
        name: value if reported_count(value) is not None else _counts(value)
        for name, value in list(details.items())[:MAX_COUNTS]
        if name not in COUNTED
        and len(name) <= MAX_NAME
        and (reported_count(value) is not None or isinstance(value, dict))
    }


def reported_logprobs(value: Any) -> list[dict[str, Any]] | None:
    """Return the logprobs of some tokens in OpenAI's shape, or None if there are none."""
    if not isinstance(value, list):
        return None
    return [cleaning.storable(token) for token in value if isinstance(token, dict)] or None


def storable(delta: Delta) -> Delta:
    """Return the delta without what Postgres stores in neither text nor JSON: U+0000, halves of surrogate pairs."""
    match delta:
        case TextDelta(text) | ReasoningDelta(text) | RefusalDelta(text):
            clean = cleaning.storable_text(text)
            return delta if clean == text else msgspec.structs.replace(delta, text=clean)
        case ToolCallDelta(index, id, name, arguments, extra):
            texts = (cleaning.storable_text(text) for text in (id, name, arguments))
            return ToolCallDelta(index, *texts, extra=cleaning.storable(extra))
        case ExtraDelta(extra):
            return ExtraDelta(cleaning.storable(extra))
        case _:
            return delta
