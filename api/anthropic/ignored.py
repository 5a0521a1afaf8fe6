"""What of the objects in a request has no effect, for the header that names it. The request's own fields: `options.py`."""

from typing import Any

from api.anthropic.options import TOOL_FIELDS
from api.anthropic.schemas import CreateMessageIn
from api.http.bodies.json_body import decode_any
from api.http.bodies.unread_fields import NOTHING, unread_fields
from graphs.providers.extras import Members, unread_members

FORMAT: Members = dict.fromkeys(("type", "schema"))
FOR_OTHERS: dict[str, Members] = {
    "thinking": dict.fromkeys(("type", "budget_tokens")),
    "output_config": {"effort": None, "format": FORMAT},
    "metadata": {"user_id": None},
}
"""What is read of objects without a struct where another maker's model is asked: its effort and format are made of them."""


def ignored_inside(body: bytes, *, native: bool) -> list[str]:
    """Return the names of fields of objects in a valid request that change nothing, each once. `native`: one of Anthropic's
    models is asked, which gets its tools, its thinking and its effort as they are. Marks for its cache are not named: they ask
    for nothing."""
    sent: dict[str, Any] = decode_any(body)
    found = dict.fromkeys(name for name in unread_fields(sent, CreateMessageIn) if "." in name)
    if native:
        found |= dict.fromkeys(unread_members(_format(sent), FORMAT, "output_config.format"))
        found |= dict.fromkeys(unread_members(sent.get("metadata"), FOR_OTHERS["metadata"], "metadata"))
        return list(found)
    for name, known in FOR_OTHERS.items():
        found |= dict.fromkeys(unread_members(sent.get(name), known, name))
    for tool in sent.get("tools") or ():
        found |= {
            f"tools.{name}": None for name, value in tool.items() if name not in TOOL_FIELDS and value not in NOTHING
        }
    return list(found)


def _format(sent: dict[str, Any]) -> Any:
    return (sent.get("output_config") or {}).get("format")
