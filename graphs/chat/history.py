"""How much of a session's conversation a model is shown. Clients that send the conversation themselves decide that (`/v1`),
unless they ask for it to be trimmed.

Where the model's window is known, tokens decide; where it isn't, the number of messages.
"""

from collections.abc import Sequence

from graphs.providers.contract import Message
from graphs.providers.windows import measure

MAX_MESSAGES = 10
HISTORY_SHARE = 0.5
"""How much of a window a session's history may take; the rest is for prompts, tools, passages and the answer."""

ANSWER_SHARE = 0.25
"""How much of a window is left for the answer to a conversation that the client sent, if it names no limit."""


def trim(messages: Sequence[Message], *, limit: int = MAX_MESSAGES, window: int | None = None) -> list[Message]:
    """Return the system messages and the last others, starting with a user message: as many as `HISTORY_SHARE` of the model's
    window holds, or `limit` if that is unknown.

    Most vendors refuse an answer without its question, or a tool result without its call.
    """
    if window is not None:
        return trim_to(messages, int(window * HISTORY_SHARE))
    system, others = _split(messages)
    return [*system, *others[_start(others, max(0, len(others) - limit)) :]]


def trim_to(messages: Sequence[Message], tokens: int) -> list[Message]:
    """Return the system messages and as many of the last others as these tokens hold, but at least the last question."""
    system, others = _split(messages)
    left, start = tokens - measure(system), len(others)
    while start and (left := left - measure(others[start - 1 : start])) >= 0:
        start -= 1
    return [*system, *others[_start(others, start) :]]


def for_client(messages: Sequence[Message], window: int | None, max_tokens: int | None) -> list[Message]:
    """Return a client's conversation without its beginning, where that doesn't fit into the window beside the answer. Messages
    keep their order."""
    if window is None:
        return list(messages)
    answer = min(max_tokens or int(window * ANSWER_SHARE), window // 2)
    kept = {id(message) for message in trim_to(messages, window - answer)}
    return [message for message in messages if id(message) in kept]


def _split(messages: Sequence[Message]) -> tuple[list[Message], list[Message]]:
    system = [message for message in messages if message.role in ("system", "developer")]
    return system, [message for message in messages if message.role not in ("system", "developer")]


def _start(others: Sequence[Message], start: int) -> int:
    """Return where to begin so that the first message is a user's: later if there is one, else at the question before."""
    if start == 0:
        return 0
    first = next((i for i in range(start, len(others)) if others[i].role == "user"), None)
    if first is None:  # a long series of tool calls: go back to the question that started it
        first = next((i for i in range(min(start, len(others) - 1), -1, -1) if others[i].role == "user"), start)
    return first
