"""Models' windows: what certainly doesn't fit isn't sent, and histories are measured.

We have no tokenizer of every model, so there are two measures. A refusal must be right: only what has more characters than any
language needs for that many tokens is refused here, and the rest is the vendor's to judge. A history is better too short than
too long, so it is measured generously.
"""

from collections.abc import AsyncGenerator, Iterable, Sequence
from typing import Any

import msgspec

from graphs.providers.contract import Delta, Message, ModelInfo, ModelRequest, Provider, ToolCallPart
from graphs.providers.errors import ContextTooLong

MAX_CHARS_PER_TOKEN = 8
"""English prose has 4 to 5 characters for a token in today's vocabularies; a text that averages more than 8 is hardly one."""

MIN_CHARS_PER_TOKEN = 3
"""As Vietnamese has. Chinese has one or two: its texts are measured in bytes, of which a character has three."""

PER_MESSAGE = 6


def measure(messages: Iterable[Message]) -> int:
    """Return how many tokens messages have at most, as a rule."""
    return sum(PER_MESSAGE + -(-_size(message) // MIN_CHARS_PER_TOKEN) for message in messages)


def check_window(provider: str, request: ModelRequest, window: int | None) -> None:
    """Raises ContextTooLong for a request that can't fit into the model's window of tokens, if that is known."""
    if window is None:
        return
    chars = sum(_chars(message) for message in request.messages)
    chars += len(msgspec.json.encode(request.tools)) if request.tools else 0
    if chars > MAX_CHARS_PER_TOKEN * window:
        raise ContextTooLong(
            f"The request has {chars:,} characters, which is more than {request.model}'s window of {window:,} tokens "
            f"holds: it was not sent to {provider}. Send less, or a model with a larger window."
        )


class WindowedProvider:
    """A `Provider` around another one that refuses what its model's window can't hold, without a call."""

    def __init__(self, provider: Provider, window: int) -> None:
        self.name = provider.name
        self._provider, self._window = provider, window

    def stream(self, request: ModelRequest) -> AsyncGenerator[Delta, None]:
        """See `Provider.stream`. Raises ContextTooLong, at once."""
        check_window(self.name, request, self._window)
        return self._provider.stream(request)  # itself: a generator around it would cost each token a microsecond

    async def list_models(self) -> list[ModelInfo]:
        """As the wrapped provider."""
        return await self._provider.list_models()

    async def check_key(self) -> None:
        """As the wrapped provider."""
        await self._provider.check_key()


def with_window(provider: Provider, window: int | None) -> Provider:
    """Return the provider, wrapped if its model's window is known."""
    return provider if window is None else WindowedProvider(provider, window)


def _size(message: Message) -> int:
    """Return a message's size: characters, but bytes where its script isn't an alphabet."""
    text = message.text
    size = len(text) if text.isascii() else max(len(text), sum(len(char.encode()) for char in text if char > "\u2e7f"))
    return size + _arguments(message.parts)


def _chars(message: Message) -> int:
    return len(message.text) + _arguments(message.parts)


def _arguments(parts: Sequence[Any]) -> int:
    return sum(len(part.name) + len(part.arguments) for part in parts if isinstance(part, ToolCallPart))
