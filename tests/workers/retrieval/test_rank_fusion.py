"""What searches compute without a database: fusion, deduplication, diversification, word weights, and the verdict."""

import hashlib
from dataclasses import dataclass
from uuid import UUID

import pytest

from schema.queries.documents.search import MAX_WORD_COUNT
from workers.retrieval.query_terms import MAX_CANDIDATES, MAX_QUERY_CHARS, idf, read_query, weigh_terms
from workers.retrieval.rank_fusion import RankedList, deduplicate, diversify, fuse, ranks_by_id
from workers.retrieval.relevance import THRESHOLDS, is_answered

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


def test_a_passage_in_two_lists_comes_before_one_in_a_single_list() -> None:
    fused = fuse([RankedList("vector", [A, B]), RankedList("text", [C, B])])
    assert B == next(iter(fused))
    assert {A: 0.5, C: 0.5} == {found: fused[found] for found in (A, C)}


def test_first_in_every_list_scores_one() -> None:
    assert {A: pytest.approx(1.0)} == fuse([RankedList("vector", [A], 2.0), RankedList("text", [A], 0.5)])


def test_two_lists_of_one_name_count_equally() -> None:
    fused = fuse([RankedList("vector", [A, B]), RankedList("vector", [C, D])])
    assert [A, C, B, D] == list(fused)
    assert pytest.approx(1.0) == fused[A] == fused[C]


def test_the_list_with_the_higher_weight_decides() -> None:
    assert [A, B] == list(fuse([RankedList("vector", [A]), RankedList("text", [B], 0.9)]))
    assert [B, A] == list(fuse([RankedList("vector", [A]), RankedList("text", [B], 1.1)]))


def test_every_passage_has_its_rank_in_each_list() -> None:
    lists = [RankedList("vector", [A, B]), RankedList("text", [B]), RankedList("vector", [C])]
    assert {A: {"vector": 1}, B: {"vector": 2, "text": 1}, C: {"vector": 1}} == ranks_by_id(lists)


def test_equal_and_mostly_overlapping_passages_are_shown_once() -> None:
    first, copy = piece(A, 0, 100, "same"), piece(B, 500, 600, "same")
    neighbour, next_one, elsewhere = piece(A, 30, 130), piece(A, 80, 180), piece(B, 30, 130)
    assert [first, next_one, elsewhere] == deduplicate([first, copy, neighbour, next_one, elsewhere])


def test_diversification_prefers_novelty_to_a_slightly_better_score() -> None:
    scores = {A: 1.0, B: 0.95, C: 0.8}
    vectors = {A: [1.0, 0.0], B: [0.99, 0.1], C: [0.0, 1.0]}
    assert [A, C, B] == diversify([A, B, C], scores, [vectors], relevance=0.5, limit=3)
    assert [A, B] == diversify([A, B, C], scores, [vectors], relevance=1.0, limit=2)


def test_diversification_compares_vectors_within_one_space_only() -> None:
    scores = {A: 1.0, B: 0.9, C: 0.8}
    assert [A, B, C] == diversify(
        [A, B, C], scores, [{A: [1.0, 0.0]}, {B: [1.0], C: [-1.0]}, {}], relevance=0.3, limit=3
    )


@pytest.mark.parametrize("query", ["", "  ", "?!…", "🌊", "\0", "\ud800", "&|!()"])
def test_a_query_without_letters_is_empty(query: str) -> None:
    assert ("", []) == read_query(query)


def test_a_query_of_ten_megabytes_is_truncated() -> None:
    text, phrases = read_query('"mill race" ' * 900_000)
    assert (MAX_QUERY_CHARS, 8) == (len(text), len(phrases))


@pytest.mark.parametrize("query", ['find "mill race" here', "find “mill race” here", "find «mill race» here"])
def test_quoted_words_are_phrases(query: str) -> None:
    assert ["mill race"] == read_query(query)[1]


@pytest.mark.parametrize("query", ['a 5" pipe and a 3', 'the "mill"', '""', '"', "rock'n'roll 'n' it's"])
def test_a_single_quote_or_quoted_word_is_no_phrase(query: str) -> None:
    assert [] == read_query(query)[1]


def test_a_decomposed_query_is_the_same_as_a_composed_one() -> None:
    assert read_query("công nợ") == read_query("co\u0302ng no\u031b\u0323")


def test_rare_words_weigh_more_and_missing_ones_most() -> None:
    weights = weigh_terms(["'the'", "'weir'", "'zzz'"], [False] * 3, [95, 2, 0], 100).weights
    assert weights[0] < 0.1 < 3 < weights[1] < weights[2]


def test_a_word_that_was_not_fully_counted_weighs_less() -> None:
    million = 1_000_000
    assert idf(MAX_WORD_COUNT, million) < idf(MAX_WORD_COUNT - 1, million)
    assert idf(MAX_WORD_COUNT, million) > idf(MAX_WORD_COUNT, 2 * MAX_WORD_COUNT)


def test_the_rarest_words_select_the_candidates() -> None:
    words, counts = ["'a'", "'b'", "'c'", "'d'"], [MAX_CANDIDATES, 10, 0, 20]
    assert "'b' | 'd'" == weigh_terms(words, [False] * 4, counts, 10_000).candidates
    assert "'a'" == weigh_terms(words[:1], [False], counts[:1], 10_000).candidates
    assert "" == weigh_terms(words[2:3], [False], [0], 10_000).candidates


def test_candidates_must_contain_a_phrase_if_any_passage_does() -> None:
    words, phrases = ["'mill'", "'race'", "'mill' <-> 'race'"], [False, False, True]
    assert "('mill' <-> 'race')" == weigh_terms(words, phrases, [5, 5, 1], 100).candidates
    assert "'mill' | 'race'" == weigh_terms(words, phrases, [5, 5, 0], 100).candidates


def test_a_high_cosine_or_many_words_is_an_answer() -> None:
    thresholds = THRESHOLDS["all-MiniLM-L6-v2"]
    assert is_answered({MINILM: [thresholds.cosine]}, 0.0)
    assert is_answered({MINILM: [thresholds.unrelated]}, thresholds.words)
    assert not is_answered({MINILM: [thresholds.unrelated]}, thresholds.words * 0.9)
    assert not is_answered({}, 0.2)
    assert is_answered({}, 0.9)


def test_the_nearest_passage_must_stand_out_from_the_baseline() -> None:
    alike, apart = [0.6] + [0.55] * 49, [0.6] * 5 + [0.3] * 45
    assert not is_answered({MINILM: alike}, 0.1)
    assert is_answered({MINILM: apart}, 0.1)


def test_with_an_unmeasured_model_every_result_is_an_answer() -> None:
    assert is_answered({"ollama/unknown": [0.1], MINILM: [0.0]}, 0.0)
