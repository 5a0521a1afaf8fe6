"""The documents of whoever a job works for, as the tool `search_documents` asks for them."""

from collections.abc import Sequence
from uuid import UUID

from schema.db import tenant_tx
from schema.errors import NotFound
from schema.queries.documents.search import list_searchable
from tools.contract import Passage
from workers.retrieval.request import FoundPassage, SearchRequest
from workers.retrieval.scope import choose, listed
from workers.retrieval.search import Searcher


class TenantDocuments:
    """`tools.contract.DocumentSearch` for one job. `collections`, names or ids, are those that the chat was asked to keep to,
    None is all of them. The searcher's cross-encoder has the last word if it has one. What does not answer the question is
    not given: no passages mean that it is not in the documents."""

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
        """Return up to `k` passages, best first. Raises NotFound for a collection that isn't there, or not for this chat."""
        names = self._collections if collection is None else [await self._allowed(collection)]
        ask = SearchRequest(
            tenant_id=self._tenant_id,
            reader=self._user_id,
            visible_user_id=self._user_id,
            query=query,
            collections=names,
            k=k,
            rerank=self._searcher.reranker is not None,
        )
        findings = await self._searcher.search(ask)
        return [passage_of(one) for one in findings.passages] if findings.found else []

    async def _allowed(self, collection: str) -> str:
        """Return the collection's id if the chat may search it."""
        async with tenant_tx(self._searcher.pool, self._tenant_id, user_id=self._user_id) as db:
            rows = await list_searchable(db, self._tenant_id)
        mine = rows if self._collections is None else choose(rows, self._collections)
        try:
            return str(choose(mine, [collection])[0].id)
        except NotFound:
            raise NotFound(f"No such collection: {collection[:100]!r}. {listed(mine)}") from None


def passage_of(found: FoundPassage) -> Passage:
    """Return what a model is shown and an answer cites."""
    return Passage(
        text=found.text,
        document_id=str(found.document_id),
        document=found.title or found.document,
        page=found.page,
        heading=found.heading or None,
        score=round(found.score, 4),
        chunk_id=str(found.chunk_id),
    )
