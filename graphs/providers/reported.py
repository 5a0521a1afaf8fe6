"""What vendors report, made safe where it enters: token counts that are none, and characters that Postgres can't store.

A tenant may name any server as a vendor, so nothing here may be taken on trust: a negative count would give money back.
"""

from collections.abc import Sequence
from typing import Any

import msgspec

from graphs.providers.contract import Delta, Message, ReasoningDelta, TextDelta, ToolCallDelta, Usage
from graphs.providers.tokens import estimate_input, estimate_tokens
from schema import storable as cleaning

MAX_TOKENS = 10**9
"""Far more than any model reads or writes in one call; sums of it fit into what Postgres and Lua count exactly."""


def usage_from(read: Any, written: Any, *, messages: Sequence[Message], chars: int) -> Usage:
    """Return the usage of a call. A count that is missing, or is no whole number from 0 to MAX_TOKENS, is estimated from the
    prompt's `messages`, or from the `chars` of the answer."""
    input_tokens, output_tokens = _count(read), _count(written)
    return Usage(
        estimate_input(messages) if input_tokens is None else input_tokens,
        estimate_tokens(chars) if output_tokens is None else output_tokens,
        estimated=input_tokens is None or output_tokens is None,
    )


def _count(value: Any) -> int | None:
    return value if type(value) is int and 0 <= value <= MAX_TOKENS else None  # a bool is an int, too


def storable(delta: Delta) -> Delta:
    """Return the delta without U+0000, which Postgres stores in neither text nor JSON."""
    match delta:
        case TextDelta(text) | ReasoningDelta(text) if "\0" in text:
            return msgspec.structs.replace(delta, text=text.replace("\0", ""))
        case ToolCallDelta(_, id, name, arguments) if "\0" in id or "\0" in name or "\0" in arguments or delta.extra:
            cleaned = (text.replace("\0", "") for text in (id, name, arguments))
            return ToolCallDelta(delta.index, *cleaned, extra=cleaning.storable(delta.extra))
        case _:
            return delta
