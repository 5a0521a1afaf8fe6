"""How a request of the route matrix is described: what its fields refer to, and what else it sends (`operation_table.py`)."""

from dataclasses import dataclass, field
from typing import Any

from schema.identity.rights import Right


@dataclass(frozen=True)
class Ref:
    """What a field names. Somebody else's is always answered as one that nobody has; with `missing`, by 404."""

    kind: str
    missing: bool = True


def thing(kind: str) -> Ref:
    """Something that is there or not: a stranger's is 404."""
    return Ref(kind)


def word(kind: str) -> Ref:
    """A filter, or a name that the body is refused for: nothing tells a stranger's from one that nobody has."""
    return Ref(kind, missing=False)


@dataclass(frozen=True)
class Call:
    """A request that is right: the right that it needs, what its fields refer to, what else it `send`s (`{fresh}` is new
    every time; `file.NAME` is one of a form), and the status that it `gets`. `plain` are fields whose text names nothing."""

    right: Right
    refers: dict[str, Ref] = field(default_factory=dict)
    plain: str = ""
    send: dict[str, Any] = field(default_factory=dict)
    gets: int = 200


CALLBACK_PLAIN = "body.callback_url body.callback_events[]"
AUDIT = {"query.actor": word("actor"), "query.target": word("target")}
AUDIT_PLAIN = "query.action query.result query.cursor query.since query.until"
KEY_PLAIN = "body.name body.front_end_prompts"
PERSON = {"path.user_id": thing("user")}
USER_PLAIN = "body.name body.password"
