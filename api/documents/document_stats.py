"""Routes of document statistics, for owners: storage, states, types, vectors, failures."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

import msgspec
from litestar import Router, get
from msgspec import Meta

from api.auth.principals import MayManageDocuments
from api.documents.collection_schemas import CollectionsOut, StatesOut
from api.documents.collections import LIST_EXAMPLE, list_collection_page
from api.http.paging import Cursor, Limit
from api.http.rows import from_row
from api.openapi.operations import described
from api.resources import AppResources
from schema.postgres.connections import Db
from schema.queries.documents import document_stats

TAGS = ["documents"]


class StorageOut(msgspec.Struct, frozen=True):
    """Storage that a tenant's documents take."""

    stored_bytes: Annotated[int, Meta(description="Bytes stored.")]
    limit_bytes: Annotated[int | None, Meta(description="Most bytes that the tenant may store; null is unlimited.")]


class MediaTypeOut(msgspec.Struct, frozen=True, kw_only=True):
    """Documents of one media type."""

    media_type: Annotated[str, Meta(description="The media type, such as `application/pdf`.")]
    documents: Annotated[int, Meta(description="How many documents there are.")]
    bytes: Annotated[int, Meta(description="Bytes of their newest versions.")]


class VectorSpaceOut(msgspec.Struct, frozen=True, kw_only=True):
    """Vectors of one embedder."""

    name: Annotated[str, Meta(description="Name of the embedder.")]
    dimensions: Annotated[int, Meta(description="Dimensions of its vectors.")]
    vectors: Annotated[int, Meta(description="How many vectors there are.")]


class DocumentStatsOut(msgspec.Struct, frozen=True, kw_only=True):
    """Statistics of all documents of a tenant."""

    storage: Annotated[StorageOut, Meta(description="Storage in use.")]
    documents: Annotated[int, Meta(description="How many documents there are.")]
    chunks: Annotated[int, Meta(description="How many searchable chunks they have.")]
    states: Annotated[StatesOut, Meta(description="Documents by state.")]
    types: Annotated[list[MediaTypeOut], Meta(description="Documents by media type.")]
    spaces: Annotated[list[VectorSpaceOut], Meta(description="Vectors by embedder.")]
    oldest_waiting: Annotated[
        datetime | None, Meta(description="Since when the longest-waiting document is queued; null if none is.")
    ]
    failures_24h: Annotated[
        dict[str, int], Meta(description="Documents that failed in the last 24 hours, by error code.")
    ]


EXAMPLE = {
    "storage": {"stored_bytes": 48_318_208, "limit_bytes": 10_737_418_240},
    "documents": 112,
    "chunks": 4_870,
    "states": {"queued": 2, "running": 1, "ready": 108, "failed": 1},
    "types": [{"media_type": "application/pdf", "documents": 112, "bytes": 48_318_208}],
    "spaces": [{"name": "minilm", "dimensions": 384, "vectors": 4_870}],
    "oldest_waiting": "2026-03-02T08:15:30Z",
    "failures_24h": {"encrypted": 1},
}


@get("/", opt=described(response=EXAMPLE), summary="Get document statistics", tags=TAGS)
async def get_document_stats(principal: MayManageDocuments, resources: AppResources) -> DocumentStatsOut:
    """Counts every document of your tenant, also those that are private to a user."""
    async with principal.tx(resources.core.pool) as db:
        return await _read_stats(db, principal.tenant_id)


@get(
    "/collections",
    opt=described(response=LIST_EXAMPLE),
    summary="List collections with statistics",
    tags=TAGS,
)
async def list_collection_stats(
    principal: MayManageDocuments, resources: AppResources, cursor: Cursor = None, limit: Limit = 20
) -> CollectionsOut:
    """Returns the same as GET /api/collections."""
    return await list_collection_page(principal, resources, cursor, limit)


async def _read_stats(db: Db, tenant_id: UUID) -> DocumentStatsOut:
    sums = await document_stats.get_document_totals(db, tenant_id)
    return DocumentStatsOut(
        storage=StorageOut(sums.stored_bytes, sums.max_storage_bytes),
        documents=sums.documents,
        chunks=sums.chunks,
        states=StatesOut(**await document_stats.count_states(db, tenant_id)),
        types=[from_row(MediaTypeOut, row) for row in await document_stats.list_types(db, tenant_id)],
        spaces=[from_row(VectorSpaceOut, row) for row in await document_stats.list_spaces(db, tenant_id)],
        oldest_waiting=sums.oldest_waiting,
        failures_24h=await document_stats.count_failures(db, tenant_id),
    )


routes = Router("/admin/knowledge", route_handlers=[get_document_stats, list_collection_stats])
