"""Estimates of token counts, for vendors that do not count. Never for bills where a vendor's figure exists."""

from collections.abc import Iterable

from graphs.providers.contract import Message

CHARS_PER_TOKEN = 4  # OpenAI's rule of thumb for English; Vietnamese needs about 3, so its counts come out low
PER_MESSAGE = 4  # the role and separators around a message in the usual chat templates


def estimate_tokens(chars: int) -> int:
    """About how many tokens so many characters are; 0 only for nothing."""
    return -(-chars // CHARS_PER_TOKEN)


def estimate_input(messages: Iterable[Message]) -> int:
    """About how many tokens these messages are as a prompt. Pictures are not counted."""
    return sum(PER_MESSAGE + estimate_tokens(len(m.text)) for m in messages)
