"""Responses for the route matrix: an ended job of a holder that was asked for as one, with its log."""

import zlib
from datetime import UTC, datetime, timedelta
from typing import Any

from schema.events import JobQueued, JobSucceeded, MessageCompleted, encode_frame
from schema.ids import new_id

AT = "2026-01-31T12:00:00.000Z"


def add_response(holder: Any) -> str:
    """Add a response to what a holder has, and return its id."""
    job_id, model = new_id(), f"openai/{holder.letter}"
    now, messages = datetime.now(UTC), [{"role": "user", "content": holder.marker}]
    holder.insert(
        "jobs",
        id=job_id,
        payload={"options": {}, "response": "{}", "messages": messages},
        **{"kind": "chat", "queue": "chat", "priority": 5, "max_tries": 3, "state": "succeeded", "attempt": 1},
        **{"model": model, "user_id": holder.user_id, "finished_at": now, "deadline_at": now + timedelta(hours=1)},
    )
    events = (JobQueued(kind="chat", model=model), MessageCompleted(text=holder.marker), JobSucceeded())
    frames = b"".join(encode_frame(event, job_id, seq, AT) for seq, event in enumerate(events, 1))
    holder.insert("job_logs", job_id=job_id, last_seq=len(events), frames=zlib.compress(frames))
    return f"resp_{job_id.hex}"


def add_item(holder: Any) -> str:
    """Add a response, and return the id of an item of its output."""
    return f"msg_{add_response(holder).removeprefix('resp_')}_0"
