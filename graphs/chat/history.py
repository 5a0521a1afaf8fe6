"""How much of a conversation a model is shown (G1)."""

from collections.abc import Sequence

from graphs.providers.contract import Message

KEPT = 10


def trim(messages: Sequence[Message], *, kept: int = KEPT) -> list[Message]:
    """Return the system's messages and the last `kept` others, beginning with a user's.

    An answer without its question, or a tool's result without its call, would be refused by most vendors.
    """
    system = [message for message in messages if message.role in ("system", "developer")]
    others = [message for message in messages if message.role not in ("system", "developer")]
    if len(others) <= kept:
        return [*system, *others]
    start = len(others) - kept
    first = next((i for i in range(start, len(others)) if others[i].role == "user"), None)
    if first is None:  # a long run of tools: go back to the question that began it
        first = next((i for i in range(start, -1, -1) if others[i].role == "user"), start)
    return [*system, *others[first:]]
