"""How much of a session's conversation a model is shown. Clients that send the conversation themselves decide that (`/v1`)."""

from collections.abc import Sequence

from graphs.providers.contract import Message

MAX_MESSAGES = 10


def trim(messages: Sequence[Message], *, limit: int = MAX_MESSAGES) -> list[Message]:
    """Return the system messages and the last `limit` others, starting with a user message.

    Most vendors refuse an answer without its question, or a tool result without its call.
    """
    system = [message for message in messages if message.role in ("system", "developer")]
    others = [message for message in messages if message.role not in ("system", "developer")]
    if len(others) <= limit:
        return [*system, *others]
    start = len(others) - limit
    first = next((i for i in range(start, len(others)) if others[i].role == "user"), None)
    if first is None:  # a long series of tool calls: go back to the question that started it
        first = next((i for i in range(start, -1, -1) if others[i].role == "user"), start)
    return [*system, *others[first:]]
