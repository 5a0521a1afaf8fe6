"""Plain text: paragraphs between empty lines, and headings where they are obvious: underlined, "Chapter 3", "1.2 Scope"."""

import re
from collections.abc import Iterator
from typing import BinaryIO

from tools.documents.block_collector import BlockCollector
from tools.documents.blocks import ReadBlocks, Unreadable
from tools.documents.cleaning import clean_letters
from tools.documents.decoding import decode
from tools.documents.formats import ReadOptions

MAX_HEADING = 90
MAX_PARAGRAPH_LINES = 200
WRAPPED, WORD_LENGTH = 50, 20
UNDERLINE = re.compile(r"^\s*([=\-~#*])\1{2,}\s*$")
CHAPTER = re.compile(
    r"^(part|book|phần|quyển|chapter|chương|section|article|mục|điều|appendix|phụ lục)\s+(\d+|[IVXLC]+|[A-Z])\b",
    re.IGNORECASE,
)
CHAPTER_LEVELS = {"part": 1, "book": 1, "phần": 1, "quyển": 1, "section": 2, "article": 2, "mục": 2, "điều": 2}
NUMBERED = re.compile(r"^(\d{1,2}(?:\.\d{1,2}){0,3})\.?\s+[^\W\d_]")
ITEM = re.compile(r"^\s*([-*•+–]|\d{1,3}[.)])\s+\S")
SENTENCE_END = (".", ";", ",", "!", "?")


def read(file: BinaryIO, options: ReadOptions) -> ReadBlocks:
    """Raises Unreadable: empty, too_large."""
    gathering = BlockCollector(options.max_characters)
    add_text(text_of(file, options, gathering), gathering)
    return gathering.done()


def text_of(
    file: BinaryIO, options: ReadOptions, gathering: BlockCollector, declared: str = "", *, times: int = 2
) -> str:
    """The whole file as text; a guess of its encoding is noted. Raises Unreadable too_large when there are more than `times`
    the characters that are read: what is marks and blanks is not counted as text, but must be held in memory as well."""
    data = file.read(4 * options.max_characters + 1)
    found = decode(data, declared)
    if len(data) > 4 * options.max_characters or len(found.text) > times * options.max_characters:
        raise Unreadable("too_large", f"The file holds more than {options.max_characters:,} characters; split it up.")
    if found.guessed:
        gathering.note(f"The file doesn't say its encoding; it was read as {found.encoding}.")
    return found.text


def add_text(text: str, gathering: BlockCollector) -> None:
    """Add paragraphs, lists and headings."""
    for lines in _paragraphs(clean_letters(text).split("\n")):
        if len(lines) >= 2 and UNDERLINE.match(lines[1]) and _may_head(lines[0]):
            gathering.add_heading(lines[0], 1 if lines[1].strip()[0] in "=#*" else 2)
            _add_paragraph(lines[2:], gathering)
        elif len(lines) == 1 and (level := _level(lines[0].strip())):
            gathering.add_heading(lines[0], level)
        else:
            _add_paragraph(lines, gathering)


def _add_paragraph(lines: list[str], gathering: BlockCollector) -> None:
    """A list where most lines are items. A log without empty lines is cut: it is no paragraph."""
    for start in range(0, len(lines), MAX_PARAGRAPH_LINES):
        part = lines[start : start + MAX_PARAGRAPH_LINES]
        items = sum(bool(ITEM.match(line)) for line in part)
        is_list = items > 1 and 2 * items > len(part) and ITEM.match(part[0])
        gathering.add("list" if is_list else "text", (" " if not is_list and _is_wrapped(part) else "\n").join(part))


def _is_wrapped(lines: list[str]) -> bool:
    """Whether lines were ended by their width and not by what they say: all but the last are about as long as the longest."""
    lengths = [len(line.strip()) for line in lines[:-1]]
    return bool(lengths) and max(lengths) >= WRAPPED and min(lengths) > max(lengths) - WORD_LENGTH


def _paragraphs(lines: list[str]) -> Iterator[list[str]]:
    paragraph: list[str] = []
    for line in lines:
        if line.strip():
            paragraph.append(line)
        elif paragraph:
            yield paragraph
            paragraph = []
    if paragraph:
        yield paragraph


def _may_head(line: str) -> bool:
    return len(line.strip()) <= MAX_HEADING and any(map(str.isalpha, line))


def _level(line: str) -> int:
    """The level of a line that stands alone; 0 when it is no heading."""
    if not _may_head(line) or line.endswith(SENTENCE_END):
        return 0
    if chapter := CHAPTER.match(line):
        return CHAPTER_LEVELS.get(chapter[1].lower(), 1)
    if numbered := NUMBERED.match(line):
        return numbered[1].count(".") + 1
    letters = [letter for letter in line if letter.isalpha()]
    return 1 if len(letters) >= 4 and line == line.upper() and line != line.lower() else 0
