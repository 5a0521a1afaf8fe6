"""Passages: cut at structure, never too long, nothing lost, and their spans say where they stand."""

import unicodedata
from itertools import pairwise
from random import Random

import pytest

from schema.errors import InputError
from tests.tools.documents.random_blocks import random_document
from tools.documents.blocks import Block
from tools.documents.boundaries import ABBREVIATIONS, sentence_ends
from tools.documents.chunking import Chunk, ChunkSettings, chunk_blocks, document_text

SMALL = ChunkSettings(200, 0)
SETTINGS = [
    *(ChunkSettings(200, 0), ChunkSettings(200, 99), ChunkSettings(201, 100), ChunkSettings(500, 100)),
    *(ChunkSettings(), ChunkSettings(8000, 0), ChunkSettings(8000, 3999)),
]


def texts(chunks: list[Chunk]) -> list[str]:
    return [chunk.text for chunk in chunks]


def sentences(count: int, start: int = 0) -> str:
    return " ".join(f"This is the sentence with number {number:03d}." for number in range(start, start + count))


@pytest.mark.parametrize("settings", SETTINGS, ids=lambda settings: f"{settings.characters}-{settings.overlap}")
def test_nothing_is_lost_nothing_is_too_long_and_spans_are_right(settings: ChunkSettings) -> None:
    for seed in range(40):
        blocks = random_document(seed)
        whole, chunks = document_text(blocks), chunk_blocks(blocks, settings)
        covered = bytearray(len(whole))
        for place, chunk in enumerate(chunks):
            body = whole[chunk.start : chunk.end]
            covered[chunk.start : chunk.end] = b"\1" * len(body)
            assert (place, body.strip()) == (chunk.place, body)
            assert 0 < len(chunk.text) <= settings.characters
            if chunk.text != body:  # in the midst of a table, whose head is repeated
                head = chunk.text.removesuffix(body)
                assert head.splitlines()[1].startswith("| ---")
                assert head in whole[: chunk.start]
        assert [] == [place for place, letter in enumerate(whole) if not covered[place] and not letter.isspace()]
        for before, after in pairwise(chunks):
            assert before.end - after.start <= settings.overlap
            assert (True, True) == (before.start < after.start, before.end < after.end)


@pytest.mark.parametrize(
    ("characters", "overlap", "field"),
    [
        (199, 0, "characters"),
        (8001, 0, "characters"),
        (1000, 500, "overlap"),
        (201, 101, "overlap"),
        (200, -1, "overlap"),
    ],
)
def test_settings_that_make_no_sense_are_refused(characters: int, overlap: int, field: str) -> None:
    with pytest.raises(InputError) as caught:
        ChunkSettings(characters, overlap)
    assert field == caught.value.field


def test_a_heading_begins_a_chunk_and_is_in_the_path_of_what_follows() -> None:
    chunks = chunk_blocks(
        [
            *(Block("heading", "Rules", level=1), Block("text", "Be kind.")),
            *(Block("heading", "Holidays", level=2), Block("heading", "Paid", level=3), Block("text", "Twelve days.")),
            *(Block("heading", "Office", level=2), Block("text", "Opens at eight.")),
            *(Block("heading", "Annex", level=1), Block("text", "None.")),
        ],
        ChunkSettings(),
    )
    assert [
        ("Rules\n\nBe kind.", "Rules"),
        ("Holidays\n\nPaid\n\nTwelve days.", "Rules > Holidays > Paid"),
        ("Office\n\nOpens at eight.", "Rules > Office"),
        ("Annex\n\nNone.", "Annex"),
    ] == [(chunk.text, chunk.heading) for chunk in chunks]


def test_paragraphs_are_packed_up_to_the_size() -> None:
    blocks = [Block("text", letter * 80) for letter in "abcde"]
    assert ["a" * 80 + "\n\n" + "b" * 80, "c" * 80 + "\n\n" + "d" * 80, "e" * 80] == texts(chunk_blocks(blocks, SMALL))


def test_a_long_paragraph_is_cut_after_sentences_and_the_overlap_is_whole_sentences() -> None:
    chunks = chunk_blocks([Block("text", sentences(30))], ChunkSettings(300, 90))
    assert {True} == {chunk.text.endswith(".") and chunk.text.startswith("This") for chunk in chunks}
    assert [True] * (len(chunks) - 1) == [
        after.text.startswith(before.text[-75:]) for before, after in pairwise(chunks)
    ]


def test_the_overlap_never_crosses_a_heading_and_holds_no_row_of_a_table() -> None:
    table = "| a | b |\n| --- | --- |\n| 1 | 2 |"
    blocks = [
        *(Block("text", sentences(9)), Block("heading", "Next", level=1), Block("text", sentences(9, 20))),
        *(Block("table", table), Block("text", sentences(12, 40))),
    ]
    chunks = chunk_blocks(blocks, ChunkSettings(400, 150))
    first = next(chunk for chunk in chunks if chunk.heading == "Next")
    assert "Next\n\nThis is the sentence with number 020." == first.text[:43]
    assert 1 == sum("| 1 | 2 |" in chunk.text for chunk in chunks)


def test_the_headings_above_a_passage_are_not_repeated_in_the_next() -> None:
    blocks = [Block("heading", "A", level=1), Block("heading", "B", level=2)]
    chunks = chunk_blocks([*blocks, Block("text", "x" * 70 + "."), Block("text", "y" * 500)], ChunkSettings(200, 99))
    assert ["A\n\nB\n\n" + "x" * 70 + ".", "x" * 70 + ".\n\n"] == [chunks[0].text, chunks[1].text[:73]]


def test_abbreviations_decimals_and_initials_end_no_sentence() -> None:
    text = "Dr. Lan paid 3.50 to J. Smith, i.e. TP. Huế, etc. and left. Then (see no. 5!) it rained… Done."
    ends = [text[:end].rsplit(maxsplit=1)[-1] for end in sentence_ends(text, 0, len(text))]
    assert ["left.", "5!)", "rained…"] == ends
    assert {"dr", "tp"} <= ABBREVIATIONS


def test_chinese_is_cut_after_its_full_stops_and_thai_between_whole_letters() -> None:
    chinese = chunk_blocks([Block("text", "今天天气很好，我们去公园。" * 60)], ChunkSettings(200, 40))
    assert {"。"} == {chunk.text[-1] for chunk in chinese}
    thai = chunk_blocks([Block("text", "น้ำใจเป็นสิ่งที่ดีเก็บไว้ในใจ" * 60)], ChunkSettings(200, 40))
    firsts = {unicodedata.category(chunk.text[0]) for chunk in thai}
    assert (set(), set()) == (firsts & {"Mn", "Mc"}, {chunk.text[-1] for chunk in thai} & set("เแโใไ"))


@pytest.mark.parametrize("letter", ["e\u0323\u0302", "👩\u200d👩\u200d👧", "🇻🇳-", "👍🏽", "각"])
def test_no_cut_goes_through_a_letter(letter: str) -> None:
    letter = unicodedata.normalize("NFD", letter)
    for chunk in chunk_blocks([Block("text", letter * 400)], ChunkSettings(200, 99)):
        assert "" == chunk.text.replace(letter.removesuffix("-"), "").strip("-")


def test_a_table_that_fits_stays_whole() -> None:
    table = "| a | b |\n| --- | --- |\n" + "\n".join(f"| {row} | x |" for row in range(17))
    chunks = chunk_blocks([Block("text", "The table follows:"), Block("table", table)], SMALL)
    assert ["The table follows:", table] == texts(chunks)


def test_a_long_table_is_cut_between_rows_with_its_head_repeated() -> None:
    head = "| Name | Wage |\n| --- | --- |"
    rows = [f"| Person {number:02d} | {number * 1000} |" for number in range(30)]
    chunks = chunk_blocks([Block("text", "Wages:"), Block("table", "\n".join([head, *rows]))], SMALL)
    assert {head} == {"\n".join(chunk.text.removeprefix("Wages:\n\n").splitlines()[:2]) for chunk in chunks}
    assert rows == [line for chunk in chunks for line in chunk.text.splitlines() if "Person" in line]


def test_code_is_cut_between_lines() -> None:
    lines = [f"    total += price[{number}] * amount[{number}]" for number in range(40)]
    chunks = chunk_blocks([Block("code", "\n".join(lines))], SMALL)
    assert {line.strip() for line in lines} == {line.strip() for chunk in chunks for line in chunk.text.splitlines()}


def test_a_scrap_at_the_end_is_joined_to_what_stands_before_it() -> None:
    chunks = chunk_blocks([Block("text", sentences(5) + " Ten more."), Block("text", "End.")], SMALL)
    assert (2, True) == (len(chunks), len(chunks[-1].text) >= 25)


def test_a_chunk_is_of_one_page_but_for_headings_above_it() -> None:
    blocks = [
        *(Block("text", "a" * 20, page=3), Block("text", "b" * 40, page=4), Block("heading", "C", page=4, level=1)),
        *(Block("text", "c" * 150, page=5), Block("text", "d" * 20, page=5)),
    ]
    assert [(3, 3), (4, 4), (4, 5)] == [(chunk.page, chunk.page_end) for chunk in chunk_blocks(blocks, SMALL)]
    assert [] == chunk_blocks([], SMALL)


@pytest.mark.parametrize("piece", ["a", ". ", "Dr. ", "|", "\u0301", "\u200d", "🇻", '!"', "中，", ".  \n", " "])
@pytest.mark.parametrize("kind", ["text", "table", "code"])
def test_the_work_grows_with_the_text_and_not_faster(piece: str, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Counted in steps of the cutter, each of which looks at one chunk's length of text."""
    blocks = [Block(kind, "x" + piece * (100_000 // len(piece)))]
    chunks = chunk_blocks(blocks, ChunkSettings(8000, 3999))
    assert len(chunks) <= 8 * 100_000 // 8000
    assert 0 < len(chunk_blocks(blocks, SMALL)) <= 8 * 100_000 // 200


def test_a_line_of_ten_million_characters_is_cut() -> None:
    line = "".join(Random(1).choices("abcdefg hijk.", k=1000)) * 10_000
    chunks = chunk_blocks([Block("text", line)], ChunkSettings())
    assert 10_000_000 <= chunks[-1].end + 1
