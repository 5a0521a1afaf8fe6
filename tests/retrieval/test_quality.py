"""Search quality on the dev half of the labelled set. A third of its questions is enough to notice regressions;
`python -m tests.retrieval` measures the other half."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from uuid import UUID

import pytest

from graphs.embeddings.registry import open_embedder
from schema.postgres.connections import pool_for
from tests.conftest import make_tenant
from tests.retrieval.document_tables import DocumentTables
from tests.retrieval.labelled import Question, read_documents, read_questions, store_documents
from tests.retrieval.measurement import LocalEmbedder, RetrievalMetrics, judge_absence, measure
from workers.retrieval.search import Searcher

ASKED = read_questions("dev")[::3]


@dataclass(frozen=True)
class SearchableDocuments:
    """The labelled documents, ready to be searched."""

    searcher: Searcher
    tenant_id: UUID
    names: dict[UUID, str]

    async def measure(self, mode: str) -> RetrievalMetrics:
        return await measure(self.searcher, self.tenant_id, self.names, ASKED, mode=mode)


@pytest.fixture(scope="module")
async def documents(database_url: str) -> AsyncIterator[SearchableDocuments]:
    tables, embedder = DocumentTables(database_url, make_tenant(database_url).id), open_embedder()
    names = await store_documents(tables, embedder)
    async with pool_for(database_url, "headrace_app", max_size=4) as pool:
        yield SearchableDocuments(Searcher(pool, LocalEmbedder(embedder)), tables.tenant_id, names)


async def test_both_ways_together_find_more_than_each_alone(documents: SearchableDocuments) -> None:
    vector, text, hybrid = [(await documents.measure(mode)).figures() for mode in ("vector", "text", "hybrid")]
    for figure, least in enumerate((0.88, 0.80, 0.84)):
        assert hybrid[figure] >= max(vector[figure], text[figure], least), (vector, text, hybrid)


async def test_codes_and_rare_words_are_found_at_the_first_place(documents: SearchableDocuments) -> None:
    metrics = await documents.measure("hybrid")
    assert min(metrics.figures("exact")[2], metrics.figures("rare word")[2]) > 0.95


async def test_what_is_said_not_to_be_in_the_documents_mostly_is_not(documents: SearchableDocuments) -> None:
    verdicts = await judge_absence(documents.searcher, documents.tenant_id, ASKED)
    assert verdicts.precision >= 0.8
    assert verdicts.recall >= 0.4


async def test_every_question_has_its_passage_and_no_half_knows_the_other() -> None:
    places = {f"{one['name']}#{place}" for one in read_documents() for place in range(len(one["passages"]))}
    halves = read_questions("dev"), read_questions("held_out")
    assert set() == {name for half in halves for question in half for name in question.relevant} - places
    assert set() == _texts(halves[0]) & _texts(halves[1])
    assert 400 <= len(places)
    assert all(150 <= sum(bool(question.relevant) for question in half) for half in halves)


def _texts(questions: list[Question]) -> set[str]:
    return {question.text for question in questions}
