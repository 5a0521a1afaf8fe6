"""Searches as users make them, on real rows: what is found, in which order, for whom, and what is said when nothing fits."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any
from uuid import UUID

import psycopg
import pytest

from graphs.embeddings.registry import open_embedder
from schema.db import Pool, pool_for
from schema.errors import HeadraceError, InputError, NotFound, Unavailable
from schema.queries.documents.search import Filters
from tests.conftest import TestTenant, make_tenant
from tests.retrieval.shelf import MINILM, Shelf, Written
from tests.schema.queries.test_search import make_user
from workers.retrieval.documents import TenantDocuments
from workers.retrieval.request import SearchRequest, SearchResult
from workers.retrieval.search import Searcher

OTHER = "test/pairs"


class Fixed:
    """An embedder whose vectors are written down; what it is asked for is kept. A query without a vector fails."""

    def __init__(self, vectors: Mapping[str, Sequence[float]], error: HeadraceError | None = None) -> None:
        self.vectors, self.error = vectors, error
        self.asked: list[tuple[str, str, str]] = []

    async def embed(self, texts: Sequence[str], *, purpose: str, embedder: str) -> list[list[float]]:
        self.asked += [(text, purpose, embedder) for text in texts]
        if self.error is not None:
            raise self.error
        return [list(self.vectors[embedder]) for _ in texts]


class Real:
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
def shelf(database_url: str, tenant: TestTenant) -> Shelf:
    return Shelf(database_url, tenant.id)


def stock(shelf: Shelf, *documents: Written, name: str = "rivers", embedder: str = "three") -> dict[str, list[UUID]]:
    """Add a collection with these documents, whose vectors have three dimensions."""
    space = shelf.space(f"test/{embedder}", 3)
    return shelf.add(shelf.collection(name, space=space, embedder=embedder), *documents, space=space)


def ask(shelf: Shelf, query: str, **how: Any) -> SearchRequest:
    return SearchRequest(tenant_id=shelf.tenant_id, reader=how.pop("reader", None), query=query, **how)


def names(findings: SearchResult) -> list[str]:
    return [one.document for one in findings.passages]


async def test_what_fits_in_meaning_and_in_words_comes_first(pool: Pool, shelf: Shelf) -> None:
    stock(
        shelf,
        Written(name="meaning", passages=["the wheel turns"], vectors=[EAST]),
        Written(name="both", passages=["no sluice here, a sluice there"], vectors=[LIKE_EAST]),
        Written(name="words", passages=["the sluice is open"], vectors=[WEST]),
    )
    searcher = Searcher(pool, Fixed({"three": EAST}))
    hybrid = await searcher.search(ask(shelf, "sluice"))
    assert "both" == names(hybrid)[0]
    assert {"vector": 2, "text": 1} == dict(hybrid.passages[0].ranks)
    assert ["meaning", "both", "words"] == names(await searcher.search(ask(shelf, "sluice", mode="vector")))
    assert ["both", "words"] == names(await searcher.search(ask(shelf, "sluice", mode="text")))


async def test_the_score_of_a_vector_search_is_the_cosine(pool: Pool, shelf: Shelf) -> None:
    stock(shelf, Written(name="a", passages=["x", "y"], vectors=[EAST, WEST]))
    findings = await Searcher(pool, Fixed({"three": EAST})).search(ask(shelf, "q", mode="vector"))
    assert [pytest.approx(1.0, abs=1e-3), 0.0] == [one.score for one in findings.passages]
    assert -0.99 > (findings.passages[1].cosine or 0)


async def test_a_question_is_embedded_as_one_by_the_embedder_of_what_is_searched(pool: Pool, shelf: Shelf) -> None:
    stock(shelf, Written(name="a", passages=["x"], vectors=[EAST]))
    embeds = Fixed({"three": EAST})
    await Searcher(pool, embeds).search(ask(shelf, "Why?"))
    assert [("Why?", "query", "three")] == embeds.asked
    await Searcher(pool, embeds).search(ask(shelf, "Why?", mode="text"))
    assert 1 == len(embeds.asked)


async def test_collections_of_two_embedders_are_searched_together(pool: Pool, shelf: Shelf) -> None:
    stock(shelf, Written(name="a", passages=["the weir"], vectors=[EAST]))
    pairs = shelf.space(OTHER, 2)
    one = shelf.collection("pairs", space=pairs, embedder=OTHER)
    shelf.add(one, Written(name="b", passages=["the lock"], vectors=[[0.0, 1.0]]), space=pairs)
    embeds = Fixed({"three": EAST, OTHER: [0.0, 1.0]})
    findings = await Searcher(pool, embeds).search(ask(shelf, "q", mmr=0.5))
    assert {"a", "b"} == set(names(findings))
    assert [{"vector": 1}, {"vector": 1}] == [dict(found.ranks) for found in findings.passages]


async def test_while_the_embedder_changes_the_old_vectors_are_searched(pool: Pool, shelf: Shelf) -> None:
    space, pairs = shelf.space("test/three", 3), shelf.space(OTHER, 2)
    changing = shelf.collection("c", space=space, embedder="three", next_space=pairs, next_embedder=OTHER)
    made = shelf.add(changing, Written(name="a", passages=["x", "y"], vectors=[EAST, NORTH]), space=space)
    shelf.embed(pairs, {made["a"][0]: [0.0, 1.0]})
    embeds = Fixed({"three": NORTH})
    findings = await Searcher(pool, embeds).search(ask(shelf, "q", mode="vector"))
    assert made["a"][::-1] == [one.chunk_id for one in findings.passages]
    assert ["three"] == [embedder for _, _, embedder in embeds.asked]


@pytest.mark.parametrize("mode", ["hybrid", "vector", "text"])
@pytest.mark.parametrize("how", [{}, {"mmr": 0.5}], ids=["plain", "spread out"])
async def test_nothing_of_other_people_or_tenants_is_found_in_any_mode(
    pool: Pool, shelf: Shelf, database_url: str, mode: str, how: dict[str, Any]
) -> None:
    ada, ben = make_user(shelf), make_user(shelf)
    other = Shelf(database_url, make_tenant(database_url).id)
    stock(other, Written(name="foreign", passages=["the weir"], vectors=[EAST]))
    stock(
        shelf,
        Written(name="shared", passages=["the weir is open"], vectors=[LIKE_EAST]),
        Written(name="ada", passages=["the weir is hers"], vectors=[EAST], user_id=ada),
        Written(name="ben", passages=["the weir is his"], vectors=[EAST], user_id=ben),
    )
    searcher = Searcher(pool, Fixed({"three": EAST}))
    for reader, expected in ((ada, {"shared", "ada"}), (None, {"shared"})):
        for sees in {None, reader}:
            asked = ask(shelf, "weir", reader=reader, visible_user_id=sees, mode=mode, **how)
            assert expected == set(names(await searcher.search(asked)))
    with pytest.raises(NotFound, match="No such document"):
        await searcher.search(ask(shelf, "weir", reader=ada, filters=Filters(documents=[shelf.document_id("ben")])))
    foreign = Filters(documents=[other.document_id("foreign")])
    with pytest.raises(NotFound, match="No such document"):
        await searcher.search(ask(shelf, "weir", reader=ada, filters=foreign))


async def test_collections_are_named_by_name_or_id_and_unknown_ones_are_refused(pool: Pool, shelf: Shelf) -> None:
    stock(shelf, Written(name="a", passages=["the weir"], vectors=[EAST]), name="rivers")
    stock(shelf, Written(name="b", passages=["the weir"], vectors=[EAST]), name="roads")
    shelf.collection("empty")
    searcher = Searcher(pool, Fixed({"three": EAST}))
    assert ["a"] == names(await searcher.search(ask(shelf, "weir", collections=["rivers"])))
    found = (await searcher.search(ask(shelf, "weir", collections=["roads"]))).passages[0]
    by_id = ask(shelf, "weir", collections=[str(found.collection_id)])
    assert ["b"] == names(await searcher.search(by_id))
    assert SearchResult() == await searcher.search(ask(shelf, "weir", collections=["empty"]))
    with pytest.raises(NotFound, match="No such collection: 'lakes'") as refused:
        await searcher.search(ask(shelf, "weir", collections=["rivers", "lakes"]))
    assert "collections" == refused.value.field


async def test_the_same_text_in_two_documents_is_shown_once(pool: Pool, shelf: Shelf) -> None:
    stock(shelf, *(Written(name=name, passages=["the weir"], vectors=[EAST]) for name in "abc"))
    findings = await Searcher(pool, Fixed({"three": EAST})).search(ask(shelf, "weir"))
    assert 1 == len(findings.passages)


async def test_results_spread_out_where_that_is_wished(pool: Pool, shelf: Shelf) -> None:
    passages = ["the weir is open", "the weir is open now", "a lock"]
    stock(shelf, Written(name="a", passages=passages, vectors=[EAST, LIKE_EAST, [0.5, 0.8, 0.0]]))
    searcher = Searcher(pool, Fixed({"three": EAST}))
    plain = await searcher.search(ask(shelf, "q", mode="vector", k=2))
    spread = await searcher.search(ask(shelf, "q", mode="vector", k=2, mmr=0.3))
    assert [[0, 1], [0, 2]] == [[one.place for one in findings.passages] for findings in (plain, spread)]


async def test_passages_below_the_wished_score_are_left_out(pool: Pool, shelf: Shelf) -> None:
    stock(shelf, Written(name="a", passages=["x", "y"], vectors=[EAST, NORTH]))
    findings = await Searcher(pool, Fixed({"three": EAST})).search(ask(shelf, "q", mode="vector", min_score=0.5))
    assert [0] == [one.place for one in findings.passages]


async def test_without_an_embedder_words_alone_answer_and_it_says_so(pool: Pool, shelf: Shelf) -> None:
    stock(shelf, Written(name="a", passages=["the weir"], vectors=[EAST]))
    searcher = Searcher(pool, Fixed({}, Unavailable("No worker embeds.")))
    findings = await searcher.search(ask(shelf, "weir"))
    assert (["a"], True) == (names(findings), findings.found)
    assert "Searched by words alone, because meaning could not be compared: No worker embeds." == findings.degraded
    with pytest.raises(Unavailable, match="No worker embeds"):
        await searcher.search(ask(shelf, "weir", mode="vector"))


async def test_an_embedder_whose_vectors_have_another_length_now_is_not_compared(pool: Pool, shelf: Shelf) -> None:
    stock(shelf, Written(name="a", passages=["the weir"], vectors=[EAST]))
    findings = await Searcher(pool, Fixed({"three": [1.0]})).search(ask(shelf, "weir"))
    assert ["a"] == names(findings)
    assert "another length" in (findings.degraded or "")


@pytest.mark.parametrize("query", ["", " ", "?!", "weir " * 2_000_000, "a:* & !(b", "'\"\\"])
async def test_no_query_is_too_strange(pool: Pool, shelf: Shelf, query: str) -> None:
    stock(shelf, Written(name="a", passages=["the weir"], vectors=[EAST]))
    findings = await Searcher(pool, Fixed({"three": WEST})).search(ask(shelf, query))
    assert any(sign.isalnum() for sign in query) == bool(findings.passages)


async def test_a_tenant_without_documents_finds_nothing(pool: Pool, shelf: Shelf) -> None:
    embeds = Fixed({})
    assert SearchResult() == await Searcher(pool, embeds).search(ask(shelf, "weir"))
    assert [] == embeds.asked


class Backwards:
    """A re-ranker that likes what says `lock`."""

    async def rate(self, query: str, texts: Sequence[str]) -> list[float]:
        return [0.9 if "lock" in text else 0.1 for text in texts]


async def test_a_cross_encoder_has_the_last_word(pool: Pool, shelf: Shelf) -> None:
    stock(shelf, Written(name="a", passages=["the weir", "the lock"], vectors=[EAST, NORTH]))
    searcher = Searcher(pool, Fixed({"three": EAST}), Backwards())
    findings = await searcher.search(ask(shelf, "weir", rerank=True))
    assert [("the lock", 0.9), ("the weir", 0.1)] == [(one.text, one.score) for one in findings.passages]
    with pytest.raises(InputError, match="has no reranker"):
        await Searcher(pool, Fixed({})).search(ask(shelf, "weir", rerank=True))


@pytest.fixture(scope="module")
def meaning(database_url: str) -> Shelf:
    """A tenant with a few documents and their real vectors."""
    texts = [
        "Employees are entitled to 25 days of paid leave each calendar year.",
        "The headrace carries water from the weir to the turbines of the mill.",
        "Quản lý công nợ: khách hàng phải thanh toán trong vòng 30 ngày.",
    ]
    vectors = asyncio.run(Real().embed(texts))
    shelf = Shelf(database_url, make_tenant(database_url).id)
    space = shelf.space(MINILM, 384)
    documents = [
        Written(name=name, passages=[text], vectors=[vector])
        for name, text, vector in zip(("leave", "mill", "debt"), texts, vectors, strict=True)
    ]
    shelf.add(shelf.collection("handbook", space=space, embedder="minilm"), *documents, space=space)
    return shelf


@pytest.mark.parametrize(
    ("query", "document"),
    [
        ("How much holiday do I get?", "leave"),
        ("Which channel feeds the water wheels?", "mill"),
        ("cong no khach hang", "debt"),
    ],
)
async def test_questions_find_their_answers(pool: Pool, meaning: Shelf, query: str, document: str) -> None:
    findings = await Searcher(pool, Real()).search(ask(meaning, query))
    assert (document, True) == (names(findings)[0], findings.found)


@pytest.mark.parametrize(
    "query", ["Who won the football world cup in 1998?", "best pizza dough recipe", "bitcoin price"]
)
async def test_what_is_not_in_the_documents_is_said_to_be_not_there(pool: Pool, meaning: Shelf, query: str) -> None:
    findings = await Searcher(pool, Real()).search(ask(meaning, query))
    assert not findings.found
    assert findings.passages


def documents_of(pool: Pool, shelf: Shelf, *collections: str) -> TenantDocuments:
    searcher = Searcher(pool, Real())
    return TenantDocuments(searcher, tenant_id=shelf.tenant_id, user_id=None, collections=collections or None)


async def test_an_agent_is_given_passages_that_it_can_cite(pool: Pool, meaning: Shelf) -> None:
    (first, *_) = await documents_of(pool, meaning).search("How much holiday do I get?", collection=None, k=2)
    assert ("leave", 1, None) == (first.document, first.page, first.heading)
    assert 0.0 < first.score <= 1.0
    assert [first] == await documents_of(pool, meaning).search("How much holiday?", collection="handbook", k=1)


async def test_an_agent_is_given_nothing_when_nothing_answers(pool: Pool, meaning: Shelf) -> None:
    assert [] == await documents_of(pool, meaning).search("bitcoin price", collection=None, k=5)


async def test_an_agent_that_names_a_collection_that_is_not_there_hears_which_are(pool: Pool, meaning: Shelf) -> None:
    with pytest.raises(NotFound, match=r"No such collection: 'lakes'\. There are: handbook\."):
        await documents_of(pool, meaning).search("x", collection="lakes", k=5)


async def test_a_chat_that_keeps_to_its_collections_searches_no_other(pool: Pool, shelf: Shelf) -> None:
    stock(shelf, Written(name="a", passages=["the weir"], vectors=[EAST]), name="rivers")
    stock(shelf, Written(name="b", passages=["the weir"], vectors=[EAST]), name="roads")
    searcher = Searcher(pool, Fixed({"three": EAST}))
    documents = TenantDocuments(searcher, tenant_id=shelf.tenant_id, user_id=None, collections=["rivers"])
    assert ["a"] == [one.document for one in await documents.search("weir", collection=None, k=5)]
    with pytest.raises(NotFound, match=r"There are: rivers\."):
        await documents.search("weir", collection="roads", k=5)


async def test_what_is_removed_while_it_is_searched_is_left_out(pool: Pool, shelf: Shelf) -> None:
    made = stock(shelf, Written(name="a", passages=["the weir", "a weir"], vectors=[EAST, EAST]))

    class Removing(Fixed):
        async def embed(self, texts: Sequence[str], *, purpose: str, embedder: str) -> list[list[float]]:
            with psycopg.connect(shelf.database_url) as db:
                db.execute("DELETE FROM chunks WHERE id = %s", (made["a"][0],))
            return await super().embed(texts, purpose=purpose, embedder=embedder)

    findings = await Searcher(pool, Removing({"three": EAST})).search(ask(shelf, "weir"))
    assert made["a"][1:] == [one.chunk_id for one in findings.passages]
