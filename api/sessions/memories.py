"""Routes to list and delete what agents remember about the caller. Agents store memories with the tool `remember`."""

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

import msgspec
from litestar import Router, delete, get
from litestar.params import PathParameter
from msgspec import Meta

from api.auth.principals import Principal, SignedIn
from api.http.errors import problems
from api.http.paging import Cursor, Limit, NextCursor, read_cursor, write_cursor
from api.http.rows import from_row
from api.openapi.operations import described
from api.resources import AppResources
from schema.errors import Forbidden, NotFound
from schema.queries.sessions import memories

NO_MEMORY = "No such memory."
NO_USER = "Memories belong to users, and this API key belongs to its tenant. Sign in, or use a user's key."


class MemoryOut(msgspec.Struct, frozen=True, kw_only=True):
    """Something that agents remember about you."""

    id: Annotated[UUID, Meta(description="Id of the memory.")]
    text: Annotated[str, Meta(description="What is remembered.")]
    created_at: Annotated[datetime, Meta(description="When it was remembered.")]


class MemoriesOut(msgspec.Struct, frozen=True):
    """A page of memories, newest first."""

    items: Annotated[list[MemoryOut], Meta(description="The memories of this page.")]
    next_cursor: NextCursor


MEMORY_EXAMPLE: dict[str, Any] = {
    "id": "019a5c9e-8a10-7b21-9c32-4d5e6f708192",
    "text": "Prefers short answers.",
    "created_at": "2026-05-04T08:15:32Z",
}


@get(
    "/",
    opt=described(response={"items": [MEMORY_EXAMPLE], "next_cursor": None}),
    responses=problems("not_found"),
    summary="List memories",
)
async def list_memories(
    principal: SignedIn, resources: AppResources, cursor: Cursor = None, limit: Limit = 20
) -> MemoriesOut:
    """What agents remember about you, newest first."""
    user_id, after = _require_user(principal), read_cursor("memories", cursor, UUID)
    async with principal.tx(resources.core.pool) as db:
        rows = await memories.list_memories(db, principal.tenant_id, user_id, limit=limit + 1, after=after)
    items = [from_row(MemoryOut, row) for row in rows[:limit]]
    return MemoriesOut(items, write_cursor("memories", items[-1].id) if len(rows) > limit else None)


@delete("/{memory_id:uuid}", responses=problems("not_found"), summary="Delete a memory")
async def delete_memory(
    memory_id: Annotated[UUID, PathParameter(description="Id of the memory.")],
    principal: SignedIn,
    resources: AppResources,
) -> None:
    user_id = _require_user(principal)
    async with principal.tx(resources.core.pool) as db:
        if not await memories.delete_memory(db, principal.tenant_id, user_id, memory_id):
            raise NotFound(NO_MEMORY)


@delete("/", responses=problems("not_found"), summary="Delete all memories")
async def delete_memories(principal: SignedIn, resources: AppResources) -> None:
    """Deletes everything that agents remember about you. Your sessions are not changed."""
    user_id = _require_user(principal)
    async with principal.tx(resources.core.pool) as db:
        await memories.delete_memories(db, principal.tenant_id, user_id)


def _require_user(principal: Principal) -> UUID:
    if principal.user_id is None:
        raise Forbidden(NO_USER)
    return principal.user_id


routes = Router("/memories", route_handlers=[list_memories, delete_memory, delete_memories], tags=["memories"])
