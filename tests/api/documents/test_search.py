"""`POST /api/search`: what it takes, what it tells, whom it shows what, and what it says when no vector can be had."""

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any
from uuid import uuid4

import httpx
import pytest

from schema.errors import HeadraceError, Unavailable
from tests.api.people import bearer, signed_in
from tests.conftest import TestTenant, make_tenant
from tests.retrieval.document_tables import DocumentRows, DocumentTables

EAST, WEST = [1.0, 0.0, 0.0], [-1.0, 0.1, 0.0]


class Embedding:
    """The client of a worker that always answers with one vector, or with an error."""

    def __init__(self) -> None:
        self.error: HeadraceError | None = None
        self.asked: list[dict[str, Any]] = []

    async def embed(self, texts: list[str], **how: Any) -> list[list[float]]:
        self.asked.append({"texts": texts, **how})
        if self.error is not None:
            raise self.error
        return [EAST for _ in texts]

    async def rate(self, query: str, texts: list[str], *, lane: str) -> list[float]:
        """Reads like a cross-encoder that likes what says `lock`."""
        self.asked.append({"query": query, "texts": texts, "lane": lane})
        return [0.9 if "lock" in text else 0.1 for text in texts]


@dataclass(frozen=True)
class Place:
    """The API, what stands for its embedding worker, and the tenant's documents."""

    http: httpx.AsyncClient
    embedding: Embedding
    tables: DocumentTables

    async def search(self, headers: dict[str, str] | None = None, **body: Any) -> Any:
        answer = await self.http.post("/api/search", json=body, headers=headers)
        assert 200 == answer.status_code, answer.text
        return answer.json()

    def stock(self, *documents: DocumentRows, name: str = "rivers") -> None:
        space = self.tables.space("test/three", 3)
        self.tables.add(self.tables.collection(name, space=space, embedder="three"), *documents, space=space)


@pytest.fixture
def place(api: httpx.AsyncClient, tenant: TestTenant, database_url: str) -> Place:
    resources, embedding = api._transport.app.state.resources, Embedding()
    object.__setattr__(resources, "embedding", embedding)  # which is frozen
    return Place(api, embedding, DocumentTables(database_url, tenant.id))


async def test_a_passage_comes_with_all_that_a_citation_needs(place: Place) -> None:
    written = DocumentRows(
        name="weirs.pdf",
        passages=["", "The weir is open."],
        vectors=[WEST, EAST],
        headings=["", "Weirs"],
        metadata={"year": 1},
    )
    place.stock(written)
    answer = await place.search(query="weir", k=1)
    (passage,) = answer["passages"]
    assert ("weir", True, None) == (answer["query"], answer["found"], answer["degraded"])
    assert answer["took_ms"] > 0
    told = {"document": "weirs.pdf", "collection": "rivers", "page": 2, "heading": "Weirs", "text": "The weir is open."}
    assert told == {name: passage[name] for name in told}
    assert ({"vector": 1, "text": 1}, 1.0, 1.0, {"year": 1}, False) == tuple(
        passage[name] for name in ("ranks", "cosine", "covered", "metadata", "private")
    )
    assert 0.99 < passage["score"] <= 1.0
    assert str(place.tables.document_id("weirs.pdf")) == passage["document_id"]
    assert datetime.fromisoformat(passage["created_at"])


async def test_the_query_is_embedded_for_its_tenant_by_the_embedder_of_the_collection(place: Place) -> None:
    place.stock(DocumentRows(name="a", passages=["x"], vectors=[EAST]))
    await place.search(query="Why?")
    (asked,) = place.embedding.asked
    told = {"texts": ["Why?"], "purpose": "query", "embedder": "three", "lane": str(place.tables.tenant_id)}
    assert told == {name: asked[name] for name in told}


async def test_also_without_the_prefix(place: Place) -> None:
    assert 200 == (await place.http.post("/search", json={"query": "weir"})).status_code


async def test_people_find_shared_documents_and_their_own_and_no_others(place: Place, tenant: TestTenant) -> None:
    url = place.tables.database_url
    ada, ben, boss = [await signed_in(place.http, url, tenant, role=role) for role in ("member", "member", "owner")]
    own = {name: person["user"]["id"] for name, person in (("ada", ada), ("ben", ben))}
    place.stock(
        DocumentRows(name="shared", passages=["the weir"], vectors=[EAST]),
        *(
            DocumentRows(name=name, passages=[f"{name}'s weir"], vectors=[EAST], user_id=user)
            for name, user in own.items()
        ),
    )
    expected = [(ada, {"shared", "ada"}), (ben, {"shared", "ben"}), (boss, {"shared"})]
    for mode in ("hybrid", "vector", "text"):
        for person, names in expected:
            answer = await place.search(bearer(person["access_token"]), query="weir", mode=mode)
            assert names == {passage["document"] for passage in answer["passages"]}
        answer = await place.search(query="weir", mode=mode)  # a key that stands for the tenant
        assert {"shared"} == {passage["document"] for passage in answer["passages"]}
    private = (await place.search(bearer(ada["access_token"]), query="ada"))["passages"]
    assert {"shared": False, "ada": True} == {passage["document"]: passage["private"] for passage in private}


async def test_what_is_not_in_the_documents_is_said(place: Place) -> None:
    place.stock(DocumentRows(name="a", passages=["the weir"], vectors=[EAST]))
    place.embedding.error = Unavailable("No worker embeds.")
    answer = await place.search(query="penguins")
    assert (False, []) == (answer["found"], answer["passages"])


async def test_without_a_worker_words_alone_answer_and_it_says_so(place: Place) -> None:
    place.stock(DocumentRows(name="a", passages=["the weir"], vectors=[EAST]))
    place.embedding.error = Unavailable("No worker embeds.")
    answer = await place.search(query="weir")
    assert (True, ["the weir"]) == (answer["found"], [passage["text"] for passage in answer["passages"]])
    assert answer["degraded"].endswith("could not be embedded: No worker embeds.")
    assert {"vector": None, "text": 1} == answer["passages"][0]["ranks"]
    refused = await place.http.post("/api/search", json={"query": "weir", "mode": "vector"})
    assert (503, "unavailable") == (refused.status_code, refused.json()["code"])


async def test_filters_narrow_what_is_searched(place: Place) -> None:
    place.stock(DocumentRows(name="a", passages=["a weir"], vectors=[EAST], metadata={"year": 2025}, language="en"))
    place.stock(DocumentRows(name="b", passages=["the weir"], vectors=[EAST], metadata={"year": 2026}), name="roads")
    for narrowed, names in (
        ({"collections": ["roads"]}, ["b"]),
        ({"documents": [str(place.tables.document_id("a"))]}, ["a"]),
        ({"filters": {"metadata": {"year": [2025, 2024]}}}, ["a"]),
        ({"filters": {"language": "en"}}, ["a"]),
        ({"filters": {"created_before": "2020-01-01T00:00:00Z"}}, []),
        ({"filters": {"created_after": "2020-01-01T00:00:00Z", "metadata": {"year": 2026}}}, ["b"]),
    ):
        answer = await place.search(query="weir", **narrowed)
        assert names == [passage["document"] for passage in answer["passages"]], narrowed


async def test_a_collection_or_document_that_is_not_there_is_404(place: Place, database_url: str) -> None:
    other = DocumentTables(database_url, make_tenant(database_url).id)
    other.add(other.collection("theirs"), DocumentRows(name="theirs", passages=["the weir"]))
    for body, field in (
        ({"collections": ["theirs"]}, "collections"),
        ({"documents": [str(other.document_id("theirs"))]}, "documents"),
        ({"documents": [str(uuid4())]}, "documents"),
    ):
        answer = await place.http.post("/api/search", json={"query": "weir", **body})
        assert (404, "not_found", field) == (
            answer.status_code,
            answer.json()["code"],
            answer.json()["errors"][0]["field"],
        )


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "query"),
        ({"query": ""}, "query"),
        ({"query": "x" * 10_001}, "query"),
        ({"query": "x", "k": 0}, "k"),
        ({"query": "x", "k": 51}, "k"),
        ({"query": "x", "mode": "fuzzy"}, "mode"),
        ({"query": "x", "mmr": 1.5}, "mmr"),
        ({"query": "x", "min_score": -0.1}, "min_score"),
        ({"query": "x", "collections": []}, "collections"),
        ({"query": "x", "documents": ["x"]}, "documents[0]"),
        ({"query": "x", "filters": {"created_after": "yesterday"}}, "filters.created_after"),
        ({"query": "x", "filters": {"created_after": "2026-01-01T00:00:00"}}, "filters.created_after"),
        ({"query": "x", "filters": {"metadata": {"x": "y" * 17_000}}}, "filters.metadata"),
        ({"query": "x", "filters": {"colour": "blue"}}, "filters.colour"),
        ({"query": "x", "rerank": True}, "rerank"),
        ({"query": "x", "top_k": 5}, "top_k"),
    ],
)
async def test_what_is_wrong_is_named(place: Place, body: dict[str, Any], field: str) -> None:
    answer = await place.http.post("/api/search", json=body)
    assert (400, field) == (answer.status_code, answer.json()["errors"][0]["field"]), answer.text


async def test_the_installations_cross_encoder_has_the_last_word_where_that_is_wished(
    place: Place, tenant: TestTenant
) -> None:
    place.stock(DocumentRows(name="a", passages=["the weir", "the lock"], vectors=[EAST, WEST]))
    resources = place.http._transport.app.state.resources
    settings = resources.settings
    object.__setattr__(resources, "settings", replace(settings, reranker="some/cross-encoder"))
    try:
        plain, again = await place.search(query="weir"), await place.search(query="weir", rerank=True)
    finally:
        object.__setattr__(resources, "settings", settings)
    assert "the weir" == plain["passages"][0]["text"]
    assert [("the lock", 0.9), ("the weir", 0.1)] == [(one["text"], one["score"]) for one in again["passages"]]
    assert [("weir", str(tenant.id))] == [
        (one["query"], one["lane"]) for one in place.embedding.asked if "query" in one
    ]


@pytest.mark.parametrize("query", [" ", "?!", "'", "\\", "a & | b", "%", "\u202e", "🌊", '"unfinished'])
async def test_no_query_is_too_strange(place: Place, query: str) -> None:
    place.stock(DocumentRows(name="a", passages=["the weir"], vectors=[EAST]))
    assert query == (await place.search(query=query))["query"]


async def test_results_are_spread_out_and_cut_where_that_is_wished(place: Place) -> None:
    vectors = [EAST, [0.99, 0.1, 0.0], [0.7, 0.7, 0.0]]
    place.stock(DocumentRows(name="a", passages=["one", "two", "three"], vectors=vectors))
    spread = await place.search(query="q", mode="vector", k=2, mmr=0.3)
    assert ["one", "three"] == [passage["text"] for passage in spread["passages"]]
    near = await place.search(query="q", mode="vector", min_score=0.9)
    assert ["one", "two"] == [passage["text"] for passage in near["passages"]]
