"""Finds responses, and items of them, by the ids that clients have. What is another tenant's is not there, in any place."""

import re
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from api.auth.principals import Principal
from api.openai.responses.fold import ResponseFold
from api.openai.responses.frames import fold_frames, settled
from api.openai.responses.objects import Item, response_id
from api.openai.responses.stored_request import StoredRequest, read_request
from api.resources import Resources
from graphs.messages import read_stored
from schema.errors import NotFound
from schema.events import read_frames
from schema.queries.conversations.conversations import find_items_by_id
from schema.queries.jobs.jobs import JobStatus, find_job_status
from schema.queries.jobs.responses import find_response, find_response_messages
from schema.states import TERMINAL
from workers.stream.relay import queued_event, queued_frame

RESPONSE_ID = re.compile(r"resp_([0-9a-f]{32})")
ITEM_ID = re.compile(r"(?:msg|rs|fc|mcp)_([0-9a-f]{32})_(\d{1,5})")


@dataclass(frozen=True)
class KnownResponse:
    """A response that the caller may see: its job, its request and, where they were asked for, its messages."""

    job: JobStatus
    request: StoredRequest
    messages: list[dict[str, Any]]


def response_path(job_id: UUID) -> str:
    """Return the path of a job's response."""
    return f"/v1/responses/{response_id(job_id)}"


def no_response(response_id: str, field: str | None = None) -> NotFound:
    """Return the error for a response that nobody may see."""
    return NotFound(f"Response with id '{response_id[:80]}' not found.", field=field)


async def get_response(
    resources: Resources, principal: Principal, response_id: str, *, field: str | None = None, messages: bool = False
) -> KnownResponse:
    """Return a stored response. Raises NotFound, which names `field`."""
    match = RESPONSE_ID.fullmatch(response_id)
    known = await _find(resources, principal, UUID(match[1]), messages=messages) if match else None
    if known is None:
        raise no_response(response_id, field)
    return known


async def find_response_of_job(resources: Resources, principal: Principal, job_id: UUID) -> KnownResponse | None:
    """Return the response of a job, unless it was deleted."""
    return await _find(resources, principal, job_id, messages=False)


async def _find(resources: Resources, principal: Principal, job_id: UUID, *, messages: bool) -> KnownResponse | None:
    tenant_id = principal.tenant_id
    async with principal.tx(resources.core.pool) as db:
        found = await find_response(db, tenant_id, job_id)
        job = await find_job_status(db, tenant_id, job_id) if found else None
        shown = await find_response_messages(db, tenant_id, job_id) if found and messages else {}
    if found is None or job is None:
        return None
    return KnownResponse(job, read_request(found.request), read_stored(shown) or [])


async def fold_now(resources: Resources, principal: Principal, job: JobStatus, request: StoredRequest) -> ResponseFold:
    """Return a response as it is now: from the log if its job has ended, otherwise from Redis. Words of lost attempts are no
    part of it: they only matter to a stream that has sent them."""
    hub, first = resources.core.hub, queued_frame(job.id, job.created_at, queued_event(job))
    if job.state in TERMINAL:
        body = await hub.read_log(principal.tenant_id, job.id)
    else:
        batches = await hub.read_stream(principal.tenant_id, job.id, after=0)
        origin = max((batch.origin for batch in batches), default=0)
        body = b"".join(batch.body for batch in batches if batch.origin == origin)
    frames = list(read_frames(body or b""))
    if not frames or frames[0].seq > 1:
        frames = [*read_frames(first), *frames]
    return fold_frames(job.id, request, settled(frames))[0]


async def find_items(resources: Resources, principal: Principal, ids: list[str], *, most: int = 100) -> dict[str, Item]:
    """Return the items of responses and of conversations that these ids name. Raises NotFound for one that isn't there."""
    wanted = {item_id: UUID(match[1]) for item_id in ids if (match := ITEM_ID.fullmatch(item_id))}
    found: dict[str, Item] = {}
    for job_id in list(dict.fromkeys(wanted.values()))[:most]:
        known = await _find(resources, principal, job_id, messages=False)
        if known is not None:
            fold = await fold_now(resources, principal, known.job, known.request)
            found |= {item["id"]: item for item in fold.response().output}
    if missing := [item_id for item_id in ids if item_id not in found]:
        async with principal.tx(resources.core.pool) as db:
            kept = await find_items_by_id(db, principal.tenant_id, missing)
        found |= {one.id: one.item for one in kept}
    for item_id in ids:
        if item_id not in found:
            raise NotFound(f"Item with id '{item_id[:80]}' not found.", field="input")
    return found
