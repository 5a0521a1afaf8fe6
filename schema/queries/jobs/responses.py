"""Jobs that were asked for as responses (`/v1/responses`): their payload has the request under `response`, as JSON text.

Responses that are `hidden` were not to be stored, or were deleted while their job ran: nobody finds them by their id. They are
jobs all the same.
"""

from typing import Any
from uuid import UUID

import msgspec

from schema.postgres.connections import Db, fetch_one
from schema.states import State

FOUND = "tenant_id = %(tenant_id)s AND id = %(id)s AND payload ? 'response' AND NOT payload ? 'hidden'"

FIND = f"SELECT id, state, payload ->> 'response' AS request FROM jobs WHERE {FOUND}"

FIND_MESSAGES = f"""
SELECT jsonb_build_object('messages', payload -> 'messages', 'messages_in_order', payload -> 'messages_in_order') AS shown
FROM jobs WHERE {FOUND}
"""

HIDE = f"UPDATE jobs SET payload = payload || '{{\"hidden\": true}}' WHERE {FOUND} RETURNING id"


class FoundResponse(msgspec.Struct, frozen=True, kw_only=True):
    """A response that can be retrieved: the state of its job, and its request as it is stored."""

    id: UUID
    state: State
    request: str


async def find_response(db: Db, tenant_id: UUID, job_id: UUID) -> FoundResponse | None:
    """Return a response, as far as this transaction sees it."""
    return await fetch_one(db, FIND, {"tenant_id": tenant_id, "id": job_id}, into=FoundResponse)


async def find_response_messages(db: Db, tenant_id: UUID, job_id: UUID) -> dict[str, Any]:
    """Return the messages that the model of a response was shown, the instructions among them, as its payload has them."""
    row = await fetch_one(db, FIND_MESSAGES, {"tenant_id": tenant_id, "id": job_id})
    return {} if row is None else row["shown"]


async def hide_response(db: Db, tenant_id: UUID, job_id: UUID) -> bool:
    """Have a response found no more, while its job goes on."""
    return await fetch_one(db, HIDE, {"tenant_id": tenant_id, "id": job_id}) is not None
