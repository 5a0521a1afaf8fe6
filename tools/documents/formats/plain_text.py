"""Plain text: paragraphs between empty lines, and obvious headings: underlined, "Chapter 3", "1.2 Scope"."""

import re
from collections.abc import Iterator
from typing import BinaryIO

from tools.documents.block_collector import BlockCollector
from tools.documents.blocks import ReadBlocks, Unreadable
from tools.documents.cleaning import normalize_text
from tools.documents.decoding import decode
from tools.documents.formats import ReadOptions

MAX_HEADING = 90
MAX_PARAGRAPH_LINES = 200
MIN_WRAPPED_WIDTH, MAX_WORD_LENGTH = 50, 20
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
    collector = BlockCollector(options.max_characters)
    add_text(read_text(file, options, collector), collector)
    return collector.finish()


def read_text(
    file: BinaryIO, options: ReadOptions, collector: BlockCollector, declared: str = "", *, max_factor: int = 2
) -> str:
    """Return the whole file as text, with a note if the encoding was guessed. Raises Unreadable too_large if it is longer than
    `max_factor` times the character limit: markup and whitespace don't count as text, but take memory as well."""
    data = file.read(4 * options.max_characters + 1)
    found = decode(data, declared)
    if len(data) > 4 * options.max_characters or len(found.text) > max_factor * options.max_characters:
        raise Unreadable(
            "too_large", f"The file contains more than {options.max_characters:,} characters; split it up."
        )
    if found.guessed:
        collector.note(f"The file doesn't say its encoding; it was read as {found.encoding}.")
    return found.text


def add_text(text: str, collector: BlockCollector) -> None:
    """Add paragraphs, lists and headings."""
    for lines in _paragraphs(normalize_text(text).split("\n")):
        if len(lines) >= 2 and UNDERLINE.match(lines[1]) and _may_be_heading(lines[0]):
            collector.add_heading(lines[0], 1 if lines[1].strip()[0] in "=#*" else 2)
            _add_paragraph(lines[2:], collector)
        elif len(lines) == 1 and (level := _heading_level(lines[0].strip())):
            collector.add_heading(lines[0], level)
        else:
            _add_paragraph(lines, collector)


def _add_paragraph(lines: list[str], collector: BlockCollector) -> None:
    """Add a list if most lines are items. Long runs of lines, such as logs, are split up."""
    for start in range(0, len(lines), MAX_PARAGRAPH_LINES):
        part = lines[start : start + MAX_PARAGRAPH_LINES]
        items = sum(bool(ITEM.match(line)) for line in part)
        is_list = items > 1 and 2 * items > len(part) and ITEM.match(part[0])
        collector.add("list" if is_list else "text", (" " if not is_list and _is_wrapped(part) else "\n").join(part))


def _is_wrapped(lines: list[str]) -> bool:
    """Whether the lines were wrapped at a width: all but the last are about as long as the longest."""
    lengths = [len(line.strip()) for line in lines[:-1]]
    return bool(lengths) and max(lengths) >= MIN_WRAPPED_WIDTH and min(lengths) > max(lengths) - MAX_WORD_LENGTH


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


def _may_be_heading(line: str) -> bool:
    return len(line.strip()) <= MAX_HEADING and any(map(str.isalpha, line))


def _heading_level(line: str) -> int:
    """The heading level of a line that stands alone; 0 if it is not a heading."""
    if not _may_be_heading(line) or line.endswith(SENTENCE_END):
        return 0
    if chapter := CHAPTER.match(line):
        return CHAPTER_LEVELS.get(chapter[1].lower(), 1)
    if numbered := NUMBERED.match(line):
        return numbered[1].count(".") + 1
    letters = [letter for letter in line if letter.isalpha()]
    return 1 if len(letters) >= 4 and line == line.upper() and line != line.lower() else 0
