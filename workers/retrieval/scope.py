"""Resolves the collections and filters of a search to what is searched in the database."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from uuid import UUID

from schema.errors import InputError, NotFound
from schema.postgres.connections import Db
from schema.queries.documents.search import (
    MAX_DOCUMENTS,
    Filters,
    Scope,
    SearchableCollection,
    Space,
    find_scope,
    list_searchable,
    list_unknown_documents,
)

MAX_LISTED = 20


@dataclass(frozen=True)
class ScopePart:
    """The collections whose vectors are in one space. `collections` None: all of the scope."""

    space: Space
    embedder: str
    collections: Sequence[UUID] | None


@dataclass(frozen=True)
class ResolvedScope:
    """A scope, in parts by vector space."""

    scope: Scope
    parts: Sequence[ScopePart] = field(default_factory=tuple)


async def resolve_scope(
    db: Db, tenant_id: UUID, reader: UUID | None, *, collections: Sequence[str] | None, filters: Filters
) -> ResolvedScope:
    """Return what is searched. `collections` are names or ids; None is all.

    Raises NotFound for a collection or document that this reader can't see, InputError for filters that match more than
    MAX_DOCUMENTS.
    """
    rows = await list_searchable(db, tenant_id)
    chosen = rows if collections is None else select_collections(rows, collections)
    await _require_documents(db, tenant_id, reader, filters.documents)
    ids = None if collections is None else [row.id for row in chosen]
    scope = await find_scope(db, tenant_id, reader, collections=ids, filters=filters)
    if scope.found > MAX_DOCUMENTS:
        raise InputError(f"The filters match more than {MAX_DOCUMENTS:,} documents. Narrow them.", field="filters")
    return ResolvedScope(scope, split_by_space(chosen, everything=collections is None))


def select_collections(rows: Sequence[SearchableCollection], names: Sequence[str]) -> list[SearchableCollection]:
    """Return the collections with these names or ids, each once, in the order of `names`. Raises NotFound."""
    by_name = {row.name: row for row in rows} | {str(row.id): row for row in rows}
    chosen: dict[UUID, SearchableCollection] = {}
    for name in names:
        row = by_name.get(name) or by_name.get(name.strip().lower())
        if row is None:
            raise NotFound(f"No such collection: {name[:100]!r}. GET /api/collections lists them.", field="collections")
        chosen[row.id] = row
    return list(chosen.values())


def describe_collections(rows: Sequence[SearchableCollection]) -> str:
    """Return a sentence that lists the collections."""
    names = [row.name for row in rows]
    more = f" and {len(names) - MAX_LISTED} more" if len(names) > MAX_LISTED else ""
    return f"There are: {', '.join(names[:MAX_LISTED])}{more}." if names else "There is none yet."


def split_by_space(rows: Sequence[SearchableCollection], *, everything: bool) -> list[ScopePart]:
    """Return the collections by vector space. Empty collections have none and are left out."""
    by_space: dict[Space, list[SearchableCollection]] = {}
    for row in rows:
        if row.space is not None:
            by_space.setdefault(row.space, []).append(row)
    only_one = len(by_space) == 1
    return [
        ScopePart(space, own[0].embedder, None if only_one and everything else [row.id for row in own])
        for space, own in by_space.items()
    ]


async def _require_documents(db: Db, tenant_id: UUID, reader: UUID | None, ids: Sequence[UUID] | None) -> None:
    if not ids:
        return
    if unknown := await list_unknown_documents(db, tenant_id, reader, ids):
        raise NotFound(f"No such document: {unknown[0]}.", field="documents")


def narrow(scope: Scope, part: ScopePart) -> Scope:
    """Return the scope limited to one part."""
    if part.collections is None:
        return scope
    return Scope(
        tenant_id=scope.tenant_id,
        reader=scope.reader,
        collections=part.collections,
        documents=scope.documents,
        found=scope.found,
        chunks=scope.chunks,
    )
