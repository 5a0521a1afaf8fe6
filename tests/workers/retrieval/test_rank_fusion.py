"""Fusing, dropping repeats, spreading out, weighing words, and the verdict: what searches compute without a database."""

import hashlib
from dataclasses import dataclass
from uuid import UUID

import pytest

from schema.queries.documents.search import COUNTED
from workers.retrieval.query_terms import MATCHED, MOST_CHARS, idf, read_query, weigh
from workers.retrieval.rank_fusion import Leg, diversify, drop_repeats, fuse, ranks
from workers.retrieval.relevance import BY_MODEL, is_answered

A, B, C, D = (UUID(int=number) for number in range(4))
MINILM = "numpy/all-MiniLM-L6-v2"


@dataclass(frozen=True)
class Piece:
    """A span of a document."""

    document_id: UUID
    start: int
    stop: int
    digest: bytes


def piece(document_id: UUID, start: int, stop: int, text: str = "") -> Piece:
    return Piece(document_id, start, stop, hashlib.sha256((text or f"{document_id}{start}").encode()).digest())


def test_what_two_legs_find_comes_before_what_one_finds() -> None:
    fused = fuse([Leg("vector", [A, B]), Leg("text", [C, B])])
    assert B == next(iter(fused))
    assert {A: 0.5, C: 0.5} == {found: fused[found] for found in (A, C)}


def test_first_in_every_leg_scores_one() -> None:
    assert {A: pytest.approx(1.0)} == fuse([Leg("vector", [A], 2.0), Leg("text", [A], 0.5)])


def test_two_spaces_are_two_legs_of_one_name_and_neither_counts_for_more() -> None:
    fused = fuse([Leg("vector", [A, B]), Leg("vector", [C, D])])
    assert [A, C, B, D] == list(fused)
    assert pytest.approx(1.0) == fused[A] == fused[C]


def test_a_heavier_leg_decides() -> None:
    assert [A, B] == list(fuse([Leg("vector", [A]), Leg("text", [B], 0.9)]))
    assert [B, A] == list(fuse([Leg("vector", [A]), Leg("text", [B], 1.1)]))


def test_every_passage_knows_its_place_in_each_leg() -> None:
    legs = [Leg("vector", [A, B]), Leg("text", [B]), Leg("vector", [C])]
    assert {A: {"vector": 1}, B: {"vector": 2, "text": 1}, C: {"vector": 1}} == ranks(legs)


def test_the_same_text_is_shown_once_and_so_is_most_of_a_neighbour() -> None:
    first, copy = piece(A, 0, 100, "same"), piece(B, 500, 600, "same")
    neighbour, next_one, elsewhere = piece(A, 30, 130), piece(A, 80, 180), piece(B, 30, 130)
    assert [first, next_one, elsewhere] == drop_repeats([first, copy, neighbour, next_one, elsewhere])


def test_spreading_out_prefers_what_is_new_to_what_is_a_little_better() -> None:
    scores = {A: 1.0, B: 0.95, C: 0.8}
    vectors = {A: [1.0, 0.0], B: [0.99, 0.1], C: [0.0, 1.0]}
    assert [A, C, B] == diversify([A, B, C], scores, [vectors], keep=0.5, most=3)
    assert [A, B] == diversify([A, B, C], scores, [vectors], keep=1.0, most=2)


def test_spreading_out_compares_vectors_of_one_space_only() -> None:
    scores = {A: 1.0, B: 0.9, C: 0.8}
    assert [A, B, C] == diversify([A, B, C], scores, [{A: [1.0, 0.0]}, {B: [1.0], C: [-1.0]}, {}], keep=0.3, most=3)


@pytest.mark.parametrize("query", ["", "  ", "?!…", "🌊", "\0", "\ud800", "&|!()"])
def test_a_query_without_a_letter_is_no_query(query: str) -> None:
    assert ("", []) == read_query(query)


def test_ten_megabytes_are_read_as_far_as_anybody_asks() -> None:
    text, phrases = read_query('"mill race" ' * 900_000)
    assert (MOST_CHARS, 8) == (len(text), len(phrases))


@pytest.mark.parametrize("query", ['find "mill race" here', "find “mill race” here", "find «mill race» here"])
def test_phrases_are_what_stands_in_quotes(query: str) -> None:
    assert ["mill race"] == read_query(query)[1]


@pytest.mark.parametrize("query", ['a 5" pipe and a 3', 'the "mill"', '""', '"', "rock'n'roll 'n' it's"])
def test_a_lone_quote_or_word_is_no_phrase(query: str) -> None:
    assert [] == read_query(query)[1]


def test_a_decomposed_query_is_the_same_as_a_composed_one() -> None:
    assert read_query("công nợ") == read_query("co\u0302ng no\u031b\u0323")


def test_rare_words_weigh_more_and_missing_ones_most() -> None:
    weights = weigh(["'the'", "'weir'", "'zzz'"], [False] * 3, [95, 2, 0], 100).weights
    assert weights[0] < 0.1 < 3 < weights[1] < weights[2]


def test_a_word_that_was_not_counted_to_the_end_weighs_less_than_one_that_was() -> None:
    million = 1_000_000
    assert idf(COUNTED, million) < idf(COUNTED - 1, million)
    assert idf(COUNTED, million) > idf(COUNTED, 2 * COUNTED)


def test_the_rarest_words_choose_what_is_looked_at() -> None:
    words, counts = ["'a'", "'b'", "'c'", "'d'"], [MATCHED, 10, 0, 20]
    assert "'b' | 'd'" == weigh(words, [False] * 4, counts, 10_000).any_of
    assert "'a'" == weigh(words[:1], [False], counts[:1], 10_000).any_of
    assert "" == weigh(words[2:3], [False], [0], 10_000).any_of


def test_a_phrase_must_be_there_unless_it_is_nowhere() -> None:
    words, phrases = ["'mill'", "'race'", "'mill' <-> 'race'"], [False, False, True]
    assert "('mill' <-> 'race')" == weigh(words, phrases, [5, 5, 1], 100).any_of
    assert "'mill' | 'race'" == weigh(words, phrases, [5, 5, 0], 100).any_of


def test_near_in_meaning_or_in_words_is_an_answer_and_neither_is_none() -> None:
    bounds = BY_MODEL["all-MiniLM-L6-v2"]
    assert is_answered({MINILM: [bounds.near]}, 0.0)
    assert is_answered({MINILM: [bounds.far]}, bounds.said)
    assert not is_answered({MINILM: [bounds.far]}, bounds.said * 0.9)
    assert not is_answered({}, 0.2)
    assert is_answered({}, 0.9)


def test_the_nearest_of_many_must_stand_out_from_those_that_follow() -> None:
    alike, apart = [0.6] + [0.55] * 49, [0.6] * 5 + [0.3] * 45
    assert not is_answered({MINILM: alike}, 0.1)
    assert is_answered({MINILM: apart}, 0.1)


def test_of_a_model_that_was_not_measured_any_nearness_counts() -> None:
    assert is_answered({"ollama/unknown": [0.1], MINILM: [0.0]}, 0.0)
