"""Ids for tool calls of vendors that give none: a function of the conversation, so that a repeated request has the same."""

from collections.abc import Sequence
from hashlib import blake2b

import msgspec

from graphs.providers.contract import Message


def make_call_id(messages: Sequence[Message], index: int) -> str:
    """The id of call number `index` in the answer to these messages.

    The next step of the same conversation has more messages, so its calls have other ids: what is kept by id (a finished
    tool's result) is never taken for another call's.
    """
    return f"call_{blake2b(msgspec.json.encode(messages), digest_size=8).hexdigest()}_{index}"
