"""Estimates token counts for vendors that don't report them. Never for billing if the vendor's figure exists."""

from collections.abc import Iterable

from graphs.providers.contract import Message

CHARS_PER_TOKEN = 4  # OpenAI's rule of thumb for English; Vietnamese has about 3, so it is underestimated
PER_MESSAGE = 4  # the role and separators around a message in the usual chat templates


def estimate_tokens(chars: int) -> int:
    """Estimate the tokens of a text by its length; 0 only for 0."""
    return -(-chars // CHARS_PER_TOKEN)


def estimate_input(messages: Iterable[Message]) -> int:
    """Estimate the tokens of a prompt with these messages. Images are not counted."""
    return sum(PER_MESSAGE + estimate_tokens(len(m.text)) for m in messages)
