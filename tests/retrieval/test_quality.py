"""Searches find what answers, in the half of the labelled set that everything was fitted on. A third of its questions is enough
to notice what breaks; `python -m tests.retrieval` has the other half."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from uuid import UUID

import pytest

from graphs.embeddings.registry import open_embedder
from schema.db import pool_for
from tests.conftest import make_tenant
from tests.retrieval.labelled import Question, read_documents, read_questions, stock
from tests.retrieval.measurement import Local, Measured, judge, measure
from tests.retrieval.shelf import Shelf
from workers.retrieval.search import Searcher

ASKED = read_questions("dev")[::3]


@dataclass(frozen=True)
class Stocked:
    """The labelled documents, ready to be searched."""

    searcher: Searcher
    tenant_id: UUID
    names: dict[UUID, str]

    async def measure(self, mode: str) -> Measured:
        return await measure(self.searcher, self.tenant_id, self.names, ASKED, mode=mode)


@pytest.fixture(scope="module")
async def stocked(database_url: str) -> AsyncIterator[Stocked]:
    shelf, embedder = Shelf(database_url, make_tenant(database_url).id), open_embedder()
    names = await stock(shelf, embedder)
    async with pool_for(database_url, "headrace_app", max_size=4) as pool:
        yield Stocked(Searcher(pool, Local(embedder)), shelf.tenant_id, names)


async def test_both_ways_together_find_more_than_each_alone(stocked: Stocked) -> None:
    vector, text, hybrid = [(await stocked.measure(mode)).figures() for mode in ("vector", "text", "hybrid")]
    for figure, least in enumerate((0.88, 0.80, 0.84)):
        assert hybrid[figure] >= max(vector[figure], text[figure], least), (vector, text, hybrid)


async def test_codes_and_rare_words_are_found_at_the_first_place(stocked: Stocked) -> None:
    measured = await stocked.measure("hybrid")
    assert min(measured.figures("exact")[2], measured.figures("rare word")[2]) > 0.95


async def test_what_is_said_not_to_be_in_the_documents_mostly_is_not(stocked: Stocked) -> None:
    verdicts = await judge(stocked.searcher, stocked.tenant_id, ASKED)
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
