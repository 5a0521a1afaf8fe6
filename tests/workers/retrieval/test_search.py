"""Searches on real rows: what is found, in which order, for whom, and what is returned if nothing is relevant."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any
from uuid import UUID

import psycopg
import pytest

from graphs.embeddings.registry import OpenEmbedder, open_embedder
from schema.errors import HeadraceError, InputError, NotFound, Unavailable
from schema.postgres.connections import Pool, pool_for
from schema.queries.documents.search import Filters
from schema.tracing.spans import entry_span
from tests.conftest import TestTenant, make_tenant
from tests.recorded_spans import recorded_spans
from tests.retrieval.document_tables import MINILM, DocumentRows, DocumentTables
from tests.schema.queries.test_search import make_user
from workers.retrieval.documents import TenantDocuments
from workers.retrieval.request import SearchRequest, SearchResult
from workers.retrieval.search import Searcher

OTHER = "test/pairs"


class FakeEmbedder:
    """An embedder with fixed vectors by embedder name; it records its calls."""

    def __init__(self, vectors: Mapping[str, Sequence[float]], error: HeadraceError | None = None) -> None:
        self.vectors, self.error = vectors, error
        self.calls: list[tuple[str, str, str]] = []

    async def embed(self, texts: Sequence[str], *, purpose: str, embedder: str) -> list[list[float]]:
        self.calls += [(text, purpose, embedder) for text in texts]
        if self.error is not None:
            raise self.error
        return [list(self.vectors[embedder]) for _ in texts]


class MiniLM:
    """all-MiniLM-L6-v2."""

    opened = open_embedder()

    async def embed(self, texts: Sequence[str], *, purpose: str = "query", embedder: str = MINILM) -> list[list[float]]:
        return await self.opened.embed(list(texts))


EAST, NORTH, WEST = [1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [-1.0, 0.0, 0.1]
LIKE_EAST = [0.9, 0.1, 0.0]


@pytest.fixture
async def pool(database_url: str) -> AsyncIterator[Pool]:
    async with pool_for(database_url, "headrace_app", max_size=4) as opened:
        yield opened


@pytest.fixture
def tables(database_url: str, tenant: TestTenant) -> DocumentTables:
    return DocumentTables(database_url, tenant.id)


def add_documents(
    tables: DocumentTables, *documents: DocumentRows, name: str = "rivers", embedder: str = "three"
) -> dict[str, list[UUID]]:
    """Add a collection with these documents, whose vectors have three dimensions."""
    space = tables.space(f"test/{embedder}", 3)
    return tables.add(tables.collection(name, space=space, embedder=embedder), *documents, space=space)


def request(tables: DocumentTables, query: str, **options: Any) -> SearchRequest:
    return SearchRequest(tenant_id=tables.tenant_id, reader=options.pop("reader", None), query=query, **options)


def names(result: SearchResult) -> list[str]:
    return [one.document for one in result.passages]


async def test_a_search_is_a_span_and_so_is_embedding_its_question(pool: Pool, tables: DocumentTables) -> None:
    class East:
        async def embed(self, texts: Sequence[str], model: str) -> list[list[float]]:
            return [EAST for _ in texts]

    class Opened:
        async def embed(self, texts: Sequence[str], *, purpose: str, embedder: str) -> list[list[float]]:
            return await OpenEmbedder(East(), "ollama", "bge-m3", 3).embed(texts)

    add_documents(tables, DocumentRows(name="meaning", passages=["the wheel turns"], vectors=[EAST]))
    with recorded_spans() as recorded, entry_span("attempt", "consumer"):
        await Searcher(pool, Opened()).search(request(tables, "what the heron said"))
    embedded, searched = recorded.one("embeddings bge-m3"), recorded.one("retrieval")
    assert searched.context is not None
    assert embedded.parent is not None
    assert searched.context.span_id == embedded.parent.span_id
    said = {"gen_ai.operation.name": "retrieval", "headrace.retrieval.mode": "hybrid", "headrace.retrieval.passages": 1}
    assert said.items() <= dict(searched.attributes or {}).items()
    assert "heron" not in searched.to_json() + embedded.to_json()


async def test_a_match_by_vector_and_by_words_comes_first(pool: Pool, tables: DocumentTables) -> None:
    add_documents(
        tables,
        DocumentRows(name="meaning", passages=["the wheel turns"], vectors=[EAST]),
        DocumentRows(name="both", passages=["no sluice here, a sluice there"], vectors=[LIKE_EAST]),
        DocumentRows(name="words", passages=["the sluice is open"], vectors=[WEST]),
    )
    searcher = Searcher(pool, FakeEmbedder({"three": EAST}))
    hybrid = await searcher.search(request(tables, "sluice"))
    assert "both" == names(hybrid)[0]
    assert {"vector": 2, "text": 1} == dict(hybrid.passages[0].ranks)
    assert ["meaning", "both", "words"] == names(await searcher.search(request(tables, "sluice", mode="vector")))
    assert ["both", "words"] == names(await searcher.search(request(tables, "sluice", mode="text")))


async def test_the_score_of_a_vector_search_is_the_cosine(pool: Pool, tables: DocumentTables) -> None:
    add_documents(tables, DocumentRows(name="a", passages=["x", "y"], vectors=[EAST, WEST]))
    result = await Searcher(pool, FakeEmbedder({"three": EAST})).search(request(tables, "q", mode="vector"))
    assert [pytest.approx(1.0, abs=1e-3), 0.0] == [one.score for one in result.passages]
    assert -0.99 > (result.passages[1].cosine or 0)


async def test_a_query_is_embedded_by_the_embedder_of_the_collection(pool: Pool, tables: DocumentTables) -> None:
    add_documents(tables, DocumentRows(name="a", passages=["x"], vectors=[EAST]))
    embedder = FakeEmbedder({"three": EAST})
    await Searcher(pool, embedder).search(request(tables, "Why?"))
    assert [("Why?", "query", "three")] == embedder.calls
    await Searcher(pool, embedder).search(request(tables, "Why?", mode="text"))
    assert 1 == len(embedder.calls)


async def test_collections_of_two_embedders_are_searched_together(pool: Pool, tables: DocumentTables) -> None:
    add_documents(tables, DocumentRows(name="a", passages=["the weir"], vectors=[EAST]))
    pairs = tables.space(OTHER, 2)
    one = tables.collection("pairs", space=pairs, embedder=OTHER)
    tables.add(one, DocumentRows(name="b", passages=["the lock"], vectors=[[0.0, 1.0]]), space=pairs)
    embedder = FakeEmbedder({"three": EAST, OTHER: [0.0, 1.0]})
    result = await Searcher(pool, embedder).search(request(tables, "q", mmr=0.5))
    assert {"a", "b"} == set(names(result))
    assert [{"vector": 1}, {"vector": 1}] == [dict(found.ranks) for found in result.passages]


async def test_while_the_embedder_changes_the_old_vectors_are_searched(pool: Pool, tables: DocumentTables) -> None:
    space, pairs = tables.space("test/three", 3), tables.space(OTHER, 2)
    changing = tables.collection("c", space=space, embedder="three", next_space=pairs, next_embedder=OTHER)
    made = tables.add(changing, DocumentRows(name="a", passages=["x", "y"], vectors=[EAST, NORTH]), space=space)
    tables.embed(pairs, {made["a"][0]: [0.0, 1.0]})
    embedder = FakeEmbedder({"three": NORTH})
    result = await Searcher(pool, embedder).search(request(tables, "q", mode="vector"))
    assert made["a"][::-1] == [one.chunk_id for one in result.passages]
    assert ["three"] == [embedder for _, _, embedder in embedder.calls]


@pytest.mark.parametrize("mode", ["hybrid", "vector", "text"])
@pytest.mark.parametrize("options", [{}, {"mmr": 0.5}], ids=["plain", "spread out"])
async def test_nothing_of_other_users_or_tenants_is_found_in_any_mode(
    pool: Pool, tables: DocumentTables, database_url: str, mode: str, options: dict[str, Any]
) -> None:
    ada, ben = make_user(tables), make_user(tables)
    other = DocumentTables(database_url, make_tenant(database_url).id)
    add_documents(other, DocumentRows(name="foreign", passages=["the weir"], vectors=[EAST]))
    add_documents(
        tables,
        DocumentRows(name="shared", passages=["the weir is open"], vectors=[LIKE_EAST]),
        DocumentRows(name="ada", passages=["the weir is hers"], vectors=[EAST], user_id=ada),
        DocumentRows(name="ben", passages=["the weir is his"], vectors=[EAST], user_id=ben),
    )
    searcher = Searcher(pool, FakeEmbedder({"three": EAST}))
    for reader, expected in ((ada, {"shared", "ada"}), (None, {"shared"})):
        for visible_user_id in {None, reader}:
            calls = request(tables, "weir", reader=reader, visible_user_id=visible_user_id, mode=mode, **options)
            assert expected == set(names(await searcher.search(calls)))
    with pytest.raises(NotFound, match="No such document"):
        await searcher.search(
            request(tables, "weir", reader=ada, filters=Filters(documents=[tables.document_id("ben")]))
        )
    foreign = Filters(documents=[other.document_id("foreign")])
    with pytest.raises(NotFound, match="No such document"):
        await searcher.search(request(tables, "weir", reader=ada, filters=foreign))


async def test_collections_are_given_by_name_or_id_and_unknown_ones_are_not_found(
    pool: Pool, tables: DocumentTables
) -> None:
    add_documents(tables, DocumentRows(name="a", passages=["the weir"], vectors=[EAST]), name="rivers")
    add_documents(tables, DocumentRows(name="b", passages=["the weir"], vectors=[EAST]), name="roads")
    tables.collection("empty")
    searcher = Searcher(pool, FakeEmbedder({"three": EAST}))
    assert ["a"] == names(await searcher.search(request(tables, "weir", collections=["rivers"])))
    found = (await searcher.search(request(tables, "weir", collections=["roads"]))).passages[0]
    by_id = request(tables, "weir", collections=[str(found.collection_id)])
    assert ["b"] == names(await searcher.search(by_id))
    assert SearchResult() == await searcher.search(request(tables, "weir", collections=["empty"]))
    with pytest.raises(NotFound, match="No such collection: 'lakes'") as refused:
        await searcher.search(request(tables, "weir", collections=["rivers", "lakes"]))
    assert "collections" == refused.value.field


async def test_the_same_text_in_two_documents_is_shown_once(pool: Pool, tables: DocumentTables) -> None:
    add_documents(tables, *(DocumentRows(name=name, passages=["the weir"], vectors=[EAST]) for name in "abc"))
    result = await Searcher(pool, FakeEmbedder({"three": EAST})).search(request(tables, "weir"))
    assert 1 == len(result.passages)


async def test_results_are_diversified_on_request(pool: Pool, tables: DocumentTables) -> None:
    passages = ["the weir is open", "the weir is open now", "a lock"]
    add_documents(tables, DocumentRows(name="a", passages=passages, vectors=[EAST, LIKE_EAST, [0.5, 0.8, 0.0]]))
    searcher = Searcher(pool, FakeEmbedder({"three": EAST}))
    plain = await searcher.search(request(tables, "q", mode="vector", k=2))
    spread = await searcher.search(request(tables, "q", mode="vector", k=2, mmr=0.3))
    assert [[0, 1], [0, 2]] == [[one.place for one in result.passages] for result in (plain, spread)]


async def test_passages_below_the_minimum_score_are_left_out(pool: Pool, tables: DocumentTables) -> None:
    add_documents(tables, DocumentRows(name="a", passages=["x", "y"], vectors=[EAST, NORTH]))
    result = await Searcher(pool, FakeEmbedder({"three": EAST})).search(
        request(tables, "q", mode="vector", min_score=0.5)
    )
    assert [0] == [one.place for one in result.passages]


async def test_without_an_embedder_only_words_are_searched_and_the_result_says_so(
    pool: Pool, tables: DocumentTables
) -> None:
    add_documents(tables, DocumentRows(name="a", passages=["the weir"], vectors=[EAST]))
    searcher = Searcher(pool, FakeEmbedder({}, Unavailable("No worker embeds.")))
    result = await searcher.search(request(tables, "weir"))
    assert (["a"], True) == (names(result), result.found)
    assert "Only words were searched, because the query could not be embedded: No worker embeds." == result.degraded
    with pytest.raises(Unavailable, match="No worker embeds"):
        await searcher.search(request(tables, "weir", mode="vector"))


async def test_vectors_of_another_length_are_not_compared(pool: Pool, tables: DocumentTables) -> None:
    add_documents(tables, DocumentRows(name="a", passages=["the weir"], vectors=[EAST]))
    result = await Searcher(pool, FakeEmbedder({"three": [1.0]})).search(request(tables, "weir"))
    assert ["a"] == names(result)
    assert "another length" in (result.degraded or "")


@pytest.mark.parametrize("query", ["", " ", "?!", "weir " * 2_000_000, "a:* & !(b", "'\"\\"])
async def test_any_query_is_accepted(pool: Pool, tables: DocumentTables, query: str) -> None:
    add_documents(tables, DocumentRows(name="a", passages=["the weir"], vectors=[EAST]))
    result = await Searcher(pool, FakeEmbedder({"three": WEST})).search(request(tables, query))
    assert any(sign.isalnum() for sign in query) == bool(result.passages)


async def test_a_tenant_without_documents_finds_nothing(pool: Pool, tables: DocumentTables) -> None:
    embedder = FakeEmbedder({})
    assert SearchResult() == await Searcher(pool, embedder).search(request(tables, "weir"))
    assert [] == embedder.calls


class FakeReranker:
    """Rates passages with the word `lock` high."""

    async def rate(self, query: str, texts: Sequence[str]) -> list[float]:
        return [0.9 if "lock" in text else 0.1 for text in texts]


async def test_a_cross_encoder_decides_the_order(pool: Pool, tables: DocumentTables) -> None:
    add_documents(tables, DocumentRows(name="a", passages=["the weir", "the lock"], vectors=[EAST, NORTH]))
    searcher = Searcher(pool, FakeEmbedder({"three": EAST}), FakeReranker())
    result = await searcher.search(request(tables, "weir", rerank=True))
    assert [("the lock", 0.9), ("the weir", 0.1)] == [(one.text, one.score) for one in result.passages]
    with pytest.raises(InputError, match="has no reranker"):
        await Searcher(pool, FakeEmbedder({})).search(request(tables, "weir", rerank=True))


@pytest.fixture(scope="module")
def meaning(database_url: str) -> DocumentTables:
    """A tenant with a few documents and their real vectors."""
    texts = [
        "Employees are entitled to 25 days of paid leave each calendar year.",
        "The headrace carries water from the weir to the turbines of the mill.",
        "Quản lý công nợ: khách hàng phải thanh toán trong vòng 30 ngày.",
    ]
    vectors = asyncio.run(MiniLM().embed(texts))
    tables = DocumentTables(database_url, make_tenant(database_url).id)
    space = tables.space(MINILM, 384)
    documents = [
        DocumentRows(name=name, passages=[text], vectors=[vector])
        for name, text, vector in zip(("leave", "mill", "debt"), texts, vectors, strict=True)
    ]
    tables.add(tables.collection("handbook", space=space, embedder="minilm"), *documents, space=space)
    return tables


@pytest.mark.parametrize(
    ("query", "document"),
    [
        ("How much holiday do I get?", "leave"),
        ("Which channel feeds the water wheels?", "mill"),
        ("cong no khach hang", "debt"),
    ],
)
async def test_questions_find_the_document_with_the_answer(
    pool: Pool, meaning: DocumentTables, query: str, document: str
) -> None:
    result = await Searcher(pool, MiniLM()).search(request(meaning, query))
    assert (document, True) == (names(result)[0], result.found)


@pytest.mark.parametrize(
    "query", ["Who won the football world cup in 1998?", "best pizza dough recipe", "bitcoin price"]
)
async def test_a_question_without_an_answer_in_the_documents_is_not_found(
    pool: Pool, meaning: DocumentTables, query: str
) -> None:
    result = await Searcher(pool, MiniLM()).search(request(meaning, query))
    assert not result.found
    assert result.passages


def documents_of(pool: Pool, tables: DocumentTables, *collections: str) -> TenantDocuments:
    searcher = Searcher(pool, MiniLM())
    return TenantDocuments(searcher, tenant_id=tables.tenant_id, user_id=None, collections=collections or None)


async def test_an_agent_gets_passages_that_it_can_cite(pool: Pool, meaning: DocumentTables) -> None:
    (first, *_) = await documents_of(pool, meaning).search("How much holiday do I get?", collection=None, k=2)
    assert ("leave", 1, None) == (first.document, first.page, first.heading)
    assert 0.0 < first.score <= 1.0
    assert [first] == await documents_of(pool, meaning).search("How much holiday?", collection="handbook", k=1)


async def test_an_agent_gets_the_nearest_passages_as_near_misses_without_an_answer(
    pool: Pool, meaning: DocumentTables
) -> None:
    nearest = await documents_of(pool, meaning).search("bitcoin price", collection=None, k=5)
    assert [True, True] == [one.near_miss for one in nearest]


async def test_an_agent_that_names_an_unknown_collection_gets_the_list_of_collections(
    pool: Pool, meaning: DocumentTables
) -> None:
    with pytest.raises(NotFound, match=r"No such collection: 'lakes'\. There are: handbook\."):
        await documents_of(pool, meaning).search("x", collection="lakes", k=5)


async def test_a_chat_limited_to_collections_searches_no_others(pool: Pool, tables: DocumentTables) -> None:
    add_documents(tables, DocumentRows(name="a", passages=["the weir"], vectors=[EAST]), name="rivers")
    add_documents(tables, DocumentRows(name="b", passages=["the weir"], vectors=[EAST]), name="roads")
    searcher = Searcher(pool, FakeEmbedder({"three": EAST}))
    documents = TenantDocuments(searcher, tenant_id=tables.tenant_id, user_id=None, collections=["rivers"])
    assert ["a"] == [one.document for one in await documents.search("weir", collection=None, k=5)]
    with pytest.raises(NotFound, match=r"There are: rivers\."):
        await documents.search("weir", collection="roads", k=5)


async def test_passages_deleted_during_the_search_are_left_out(pool: Pool, tables: DocumentTables) -> None:
    made = add_documents(tables, DocumentRows(name="a", passages=["the weir", "a weir"], vectors=[EAST, EAST]))

    class Removing(FakeEmbedder):
        async def embed(self, texts: Sequence[str], *, purpose: str, embedder: str) -> list[list[float]]:
            with psycopg.connect(tables.database_url) as db:
                db.execute("DELETE FROM chunks WHERE id = %s", (made["a"][0],))
            return await super().embed(texts, purpose=purpose, embedder=embedder)

    result = await Searcher(pool, Removing({"three": EAST})).search(request(tables, "weir"))
    assert made["a"][1:] == [one.chunk_id for one in result.passages]
