"""What is remembered about the caller (G8): to be read, and to be forgotten. Agents remember with the tool `remember`."""

from datetime import datetime
from uuid import UUID

import msgspec
from litestar import Router, delete, get
from litestar.params import FromPath

from api.errors import problems
from api.paging import Cursor, Limit, read_cursor, write_cursor
from api.principals import Principal, SignedIn
from api.resources import Opened
from schema.errors import NotFound
from schema.queries import memories

NO_MEMORY = "There is no such memory of yours."
NOBODY = (
    "An API key that stands for its tenant has no memories: they are a person's. Sign in, or use a key of a person."
)


class MemoryOut(msgspec.Struct, frozen=True, kw_only=True):
    """Something that is remembered about you."""

    id: UUID
    text: str
    created_at: datetime


class MemoriesOut(msgspec.Struct, frozen=True):
    """A page of memories, the newest first."""

    items: list[MemoryOut]
    next_cursor: str | None


@get("/", responses=problems("not_found"), summary="What is remembered about you")
async def list_(principal: SignedIn, resources: Opened, cursor: Cursor = None, limit: Limit = 20) -> MemoriesOut:
    user_id, after = _user_of(principal), read_cursor(cursor, UUID)
    async with principal.tx(resources.ports.pool) as db:
        rows = await memories.list_memories(db, principal.tenant_id, user_id, limit=limit + 1, after=after)
    items = [MemoryOut(**row) for row in rows[:limit]]
    return MemoriesOut(items, write_cursor(items[-1].id) if len(rows) > limit else None)


@delete("/{memory_id:uuid}", responses=problems("not_found"), summary="Have one thing forgotten")
async def forget(memory_id: FromPath[UUID], principal: SignedIn, resources: Opened) -> None:
    user_id = _user_of(principal)
    async with principal.tx(resources.ports.pool) as db:
        if not await memories.delete_memory(db, principal.tenant_id, user_id, memory_id):
            raise NotFound(NO_MEMORY)


@delete("/", responses=problems("not_found"), summary="Have everything forgotten")
async def forget_all(principal: SignedIn, resources: Opened) -> None:
    """Everything that is remembered about you. What you said stays in your sessions."""
    user_id = _user_of(principal)
    async with principal.tx(resources.ports.pool) as db:
        await memories.delete_memories(db, principal.tenant_id, user_id)


def _user_of(principal: Principal) -> UUID:
    if principal.user_id is None:
        raise NotFound(NOBODY)
    return principal.user_id


routes = Router("/memories", route_handlers=[list_, forget, forget_all], tags=["memories"])
