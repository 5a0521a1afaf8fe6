"""Ids for tool calls of vendors that send none: derived from the conversation, so that a repeated request gets the same."""

from collections.abc import Sequence
from hashlib import blake2b

import msgspec

from graphs.providers.contract import Message


def make_call_id(messages: Sequence[Message], index: int) -> str:
    """Return the id of call number `index` in the answer to these messages.

    The next step of the conversation has more messages and so other ids: a result that is stored by id is never taken for
    another call's.
    """
    return f"call_{blake2b(msgspec.json.encode(messages), digest_size=8).hexdigest()}_{index}"
