"""What a tenant's documents come to, for its owners (A9): storage, states, types, vectors, failures."""

from datetime import datetime
from uuid import UUID

import msgspec
from litestar import Router, get

from api.documents.collection_shapes import CollectionsOut, StatesOut
from api.documents.collections import list_collections
from api.paging import Cursor, Limit
from api.principals import MayManageDocuments
from api.resources import Opened
from schema.db import Db
from schema.queries import knowledge

TAGS = ["documents"]


class StorageOut(msgspec.Struct, frozen=True):
    """The bytes that the tenant's documents take, and how many they may; null is no limit."""

    stored_bytes: int
    limit_bytes: int | None


class MediaTypeOut(msgspec.Struct, frozen=True, kw_only=True):
    """Documents of one type, and the bytes of their newest versions."""

    media_type: str
    documents: int
    bytes: int


class SpaceOut(msgspec.Struct, frozen=True, kw_only=True):
    """How many vectors there are of one embedder."""

    name: str
    dimensions: int
    vectors: int


class KnowledgeOut(msgspec.Struct, frozen=True, kw_only=True):
    """All documents of a tenant in figures. `oldest_waiting` is since when the first of those waits that are queued;
    `failures_24h` are those of the last day, by the code of their reason."""

    storage: StorageOut
    documents: int
    chunks: int
    states: StatesOut
    types: list[MediaTypeOut]
    spaces: list[SpaceOut]
    oldest_waiting: datetime | None
    failures_24h: dict[str, int]


@get("/", summary="Documents in figures", tags=TAGS)
async def get_document_stats(principal: MayManageDocuments, resources: Opened) -> KnowledgeOut:
    """Everybody's, private ones too."""
    async with principal.tx(resources.ports.pool) as db:
        return await _figures(db, principal.tenant_id)


@get("/collections", summary="List collections in figures", tags=TAGS)
async def list_collection_stats(
    principal: MayManageDocuments, resources: Opened, cursor: Cursor = None, limit: Limit = 20
) -> CollectionsOut:
    """The list of GET /api/collections."""
    return await list_collections(principal, resources, cursor, limit)


async def _figures(db: Db, tenant_id: UUID) -> KnowledgeOut:
    sums = await knowledge.get_sums(db, tenant_id)
    return KnowledgeOut(
        storage=StorageOut(sums["stored_bytes"], sums["max_storage_bytes"]),
        documents=sums["documents"],
        chunks=sums["chunks"],
        states=StatesOut(**await knowledge.count_states(db, tenant_id)),
        types=[MediaTypeOut(**row) for row in await knowledge.list_types(db, tenant_id)],
        spaces=[SpaceOut(**row) for row in await knowledge.list_spaces(db, tenant_id)],
        oldest_waiting=sums["oldest_waiting"],
        failures_24h=await knowledge.count_failures(db, tenant_id),
    )


routes = Router("/admin/knowledge", route_handlers=[get_document_stats, list_collection_stats])
