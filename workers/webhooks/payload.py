"""What a message says: type, time, and thin data: ids, state, times, usage and links. The result comes with it for those who
asked for it, cut at 256 KB.
"""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import msgspec

from schema.queries.webhooks.outbox import OutboxMessage

MAX_RESULT_BYTES = 256 * 1024
KEPT_WHEN_CUT = ("finish_reason", "model", "message_id")


def message_name(event_id: UUID) -> str:
    """Return the `webhook-id` of an event: the same for each attempt and receiver."""
    return f"msg_{event_id.hex}"


def build_body(message: OutboxMessage) -> bytes:
    """Return the bytes to sign and send."""
    data: dict[str, Any] = {**message.data, "sequence": message.sequence, "links": _links(message)}
    if message.includes_result and message.type.startswith("job."):
        data |= _result(message.outcome)
    return msgspec.json.encode({"type": message.type, "timestamp": _utc(message.occurred_at), "data": data})


def _utc(at: datetime) -> str:
    return at.astimezone(UTC).isoformat().replace("+00:00", "Z")


def _links(message: OutboxMessage) -> dict[str, str]:
    links: dict[str, str] = {}
    if message.job_id is not None:
        links |= {"job": f"/api/jobs/{message.job_id}", "events": f"/api/jobs/{message.job_id}/events"}
    if session_id := message.data.get("session_id"):
        links["session"] = f"/api/sessions/{session_id}"
    if message.document_id is not None:
        links["document"] = f"/api/documents/{message.document_id}"
    return links


def _result(outcome: dict[str, Any] | None) -> dict[str, Any]:
    """Return the fields of a result: none is there when the job was deleted, or has been tried again since."""
    if outcome is None:
        return {"result": None, "result_gone": True}
    result, found = outcome["result"], dict[str, Any]()
    if outcome["error"] is not None:
        found["error"] = {name: outcome["error"].get(name) for name in ("code", "message")}
    if result is None or len(msgspec.json.encode(result)) <= MAX_RESULT_BYTES:
        return found | {"result": result, "result_cut": False}
    return found | {"result": _cut(result), "result_cut": True}


def _cut(result: dict[str, Any]) -> dict[str, Any]:
    """Return the beginning of a result's text, and little else, in at most MAX_RESULT_BYTES."""
    kept = {name: result[name] for name in KEPT_WHEN_CUT if name in result}
    text = result["text"] if isinstance(result.get("text"), str) else ""
    room = MAX_RESULT_BYTES - len(msgspec.json.encode({**kept, "text": ""}))
    while len(msgspec.json.encode(text)) - 2 > room:
        # A character takes one to six bytes, so this comes close in a few steps, and from above.
        text = text[: min(len(text) - 1, max(len(text) * room // (len(msgspec.json.encode(text)) - 2), 0))]
    return {**kept, "text": text}
