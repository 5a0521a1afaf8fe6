"""What a search is asked to look through, and what that is in the database."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from uuid import UUID

from schema.db import Db
from schema.errors import InputError, NotFound
from schema.queries.documents.search import (
    MOST_DOCUMENTS,
    Filters,
    Scope,
    SearchableCollection,
    Space,
    find_scope,
    list_searchable,
    list_unknown_documents,
)

LISTED = 20


@dataclass(frozen=True)
class Part:
    """Collections whose vectors lie in one space. `collections` None: all of the scope's are."""

    space: Space
    embedder: str
    collections: Sequence[UUID] | None


@dataclass(frozen=True)
class Searched:
    """A scope and the spaces that its vectors lie in."""

    scope: Scope
    parts: Sequence[Part] = field(default_factory=tuple)


async def resolve(
    db: Db, tenant_id: UUID, reader: UUID | None, *, collections: Sequence[str] | None, filters: Filters
) -> Searched:
    """Return what is searched. Collections are named by name or id, None is all of them.

    Raises NotFound for a collection or document that isn't there for this reader, InputError for a filter that leaves more
    than MOST_DOCUMENTS.
    """
    rows = await list_searchable(db, tenant_id)
    chosen = rows if collections is None else choose(rows, collections)
    await _require_documents(db, tenant_id, reader, filters.documents)
    ids = None if collections is None else [row.id for row in chosen]
    scope = await find_scope(db, tenant_id, reader, collections=ids, filters=filters)
    if scope.found > MOST_DOCUMENTS:
        raise InputError(f"The filters match more than {MOST_DOCUMENTS:,} documents. Narrow them.", field="filters")
    return Searched(scope, parts_of(chosen, everything=collections is None))


def choose(rows: Sequence[SearchableCollection], names: Sequence[str]) -> list[SearchableCollection]:
    """Return the collections of these names or ids, each once, in the order of the names. Raises NotFound."""
    by_name = {row.name: row for row in rows} | {str(row.id): row for row in rows}
    chosen: dict[UUID, SearchableCollection] = {}
    for name in names:
        row = by_name.get(name) or by_name.get(name.strip().lower())
        if row is None:
            raise NotFound(f"No such collection: {name[:100]!r}. GET /api/collections lists them.", field="collections")
        chosen[row.id] = row
    return list(chosen.values())


def listed(rows: Sequence[SearchableCollection]) -> str:
    """Return the sentence that says which collections there are."""
    names = [row.name for row in rows]
    more = f" and {len(names) - LISTED} more" if len(names) > LISTED else ""
    return f"There are: {', '.join(names[:LISTED])}{more}." if names else "There is none yet."


def parts_of(rows: Sequence[SearchableCollection], *, everything: bool) -> list[Part]:
    """Return the collections by space. Those that hold nothing yet have none."""
    by_space: dict[Space, list[SearchableCollection]] = {}
    for row in rows:
        if row.space is not None:
            by_space.setdefault(row.space, []).append(row)
    alone = len(by_space) == 1
    return [
        Part(space, own[0].embedder, None if alone and everything else [row.id for row in own])
        for space, own in by_space.items()
    ]


async def _require_documents(db: Db, tenant_id: UUID, reader: UUID | None, ids: Sequence[UUID] | None) -> None:
    if not ids:
        return
    if unknown := await list_unknown_documents(db, tenant_id, reader, ids):
        raise NotFound(f"No such document: {unknown[0]}.", field="documents")


def narrowed(scope: Scope, part: Part) -> Scope:
    """Return the scope within one part."""
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
