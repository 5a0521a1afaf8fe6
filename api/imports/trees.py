"""Which branch of a tree of messages is the conversation: the one that ends with a given message, or with the newest one."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from api.imports.conversations import EARLIEST, Unknown


def branch_to(messages: Mapping[str, Any], current: Any, parent: str) -> list[dict[str, Any]]:
    """Return the messages from the root to the current one; `parent` is the field with the id of the one before. Raises Unknown
    where they go in a circle."""
    branch, seen = list[dict[str, Any]](), set[str]()
    while isinstance(current, str) and isinstance(messages.get(current), dict):
        if current in seen:
            raise Unknown("the messages of a chat are each other's parents")
        seen.add(current)
        branch.append(messages[current])
        current = messages[current].get(parent)
    return branch[::-1]


def newest(times: Mapping[str, datetime | None]) -> str | None:
    """Return the id of the newest message, of those that stand in order; one without a time has that of the one before it."""
    found, latest, at = None, EARLIEST, EARLIEST
    for each, known in times.items():
        at = known or at
        if at >= latest:
            found, latest = each, at
    return found
