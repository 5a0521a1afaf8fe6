"""The documents that a job's user may search, for the tool `search_documents`."""

from collections.abc import Sequence
from uuid import UUID

from schema.errors import NotFound
from schema.postgres.connections import tenant_tx
from schema.queries.documents.search import list_searchable
from tools.builtin.search_documents import MAX_NEAREST
from tools.contract import Passage
from workers.retrieval.request import FoundPassage, SearchRequest
from workers.retrieval.scope import describe_collections, select_collections
from workers.retrieval.search import Searcher


class TenantDocuments:
    """`tools.contract.DocumentSearch` for one job. `collections` (names or ids) are those that the chat is limited to; None
    is all. Results are re-ranked if the searcher has a cross-encoder."""

    def __init__(
        self,
        searcher: Searcher,
        *,
        tenant_id: UUID,
        user_id: UUID | None,
        collections: Sequence[str] | None = None,
    ) -> None:
        self._searcher = searcher
        self._tenant_id, self._user_id, self._collections = tenant_id, user_id, collections

    async def search(self, query: str, *, collection: str | None, k: int) -> Sequence[Passage]:
        """Return up to `k` passages, best first, or the nearest ones as near misses. Raises NotFound for a collection that
        doesn't exist or is not the chat's."""
        names = self._collections if collection is None else [await self._resolve_collection(collection)]
        request = SearchRequest(
            tenant_id=self._tenant_id,
            reader=self._user_id,
            visible_user_id=self._user_id,
            query=query,
            collections=names,
            k=k,
            rerank=self._searcher.reranker is not None,
        )
        result = await self._searcher.search(request)
        found = result.passages if result.found else result.passages[:MAX_NEAREST]
        return [to_passage(one, near_miss=not result.found) for one in found]

    async def _resolve_collection(self, collection: str) -> str:
        """Return the id of a collection that the chat may search."""
        async with tenant_tx(self._searcher.pool, self._tenant_id, user_id=self._user_id) as db:
            rows = await list_searchable(db, self._tenant_id)
        allowed = rows if self._collections is None else select_collections(rows, self._collections)
        try:
            return str(select_collections(allowed, [collection])[0].id)
        except NotFound:
            raise NotFound(f"No such collection: {collection[:100]!r}. {describe_collections(allowed)}") from None


def to_passage(found: FoundPassage, *, near_miss: bool = False) -> Passage:
    """Return what the model is shown and answers cite."""
    return Passage(
        text=found.text,
        document_id=str(found.document_id),
        document=found.title or found.document,
        page=found.page,
        heading=found.heading or None,
        score=round(found.score, 4),
        chunk_id=str(found.chunk_id),
        near_miss=near_miss,
    )
