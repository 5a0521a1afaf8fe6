"""Splits the blocks of a document into chunks of similar size, along its structure where possible.

    a heading                starts a chunk, and is part of the heading path of what follows
    a page                   starts a chunk, unless only headings precede it
    paragraphs               are packed up to the size; one that is too long is cut after sentences, else at spaces, else
                             between graphemes
    a table                  stays whole if it fits (with the heading above it), else is cut between rows, repeating its header
    code                     stays whole if it fits, else is cut between lines
    overlap                  is whole sentences, else whole words, of the same section; never table rows

How a chunk's span relates to the document's text (`document_text`):

    chunk.text == text[chunk.start : chunk.end]                               normally
    chunk.text == head + "\\n" + text[chunk.start : chunk.end]                 if the chunk starts in the middle of a table

Either way it has at most `settings.characters` characters; a header longer than half of that is not repeated. Time is
linear in the length of the text.
"""

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import msgspec

from schema.errors import InputError
from tools.documents.blocks import Block
from tools.documents.boundaries import (
    last_grapheme_boundary,
    last_sentence_end,
    last_space,
    next_grapheme_boundary,
    sentence_ends,
    skip_space,
    word_start,
)

BLOCK_SEPARATOR = "\n\n"
MIN_CHARACTERS, MAX_CHARACTERS = 200, 8000
MAX_LEVELS = 9
MAX_HEADING = 200
"""Longer headings are shortened in the heading path, not in the text."""


class ChunkSettings(msgspec.Struct, frozen=True):
    """How a collection's documents are split. `characters`: the maximum length of a chunk; `overlap`: how many of the preceding
    characters a chunk may repeat. Raises InputError for values out of range."""

    characters: int = 1000
    overlap: int = 200

    def __post_init__(self) -> None:
        if not MIN_CHARACTERS <= self.characters <= MAX_CHARACTERS:
            raise InputError(f"characters must be between {MIN_CHARACTERS} and {MAX_CHARACTERS:,}.", field="characters")
        if not 0 <= self.overlap < self.characters / 2:
            raise InputError("overlap must be at least 0 and less than half of characters.", field="overlap")


class Chunk(msgspec.Struct, frozen=True):
    """A passage. `heading` is its path, "A > B > C"; `page` is where it begins and `page_end` where it ends, None where the
    format has no pages; `start` and `end` are characters in the document's text; `place` counts from 0."""

    text: str
    place: int
    start: int
    end: int
    heading: str = ""
    page: int | None = None
    page_end: int | None = None


def document_text(blocks: Iterable[Block]) -> str:
    """The document's text, which chunk spans index into."""
    return BLOCK_SEPARATOR.join(block.text for block in blocks)


def chunk_blocks(blocks: Sequence[Block], settings: ChunkSettings) -> list[Chunk]:
    """The chunks in reading order. The blocks should be clean (`cleaning.py`)."""
    text, chunks = document_text(blocks), []
    for path, section in _sections(blocks, settings.characters):
        splitter = _SectionSplitter(text, section, settings)
        for start, stop, head in splitter.spans():
            body = text[start:stop].rstrip()
            chunks.append(
                Chunk(
                    head + body,
                    place=len(chunks),
                    start=start,
                    end=start + len(body),
                    heading=path,
                    page=splitter.at(start).block.page,
                    page_end=splitter.at(start + len(body) - 1).block.page,
                )
            )
    return chunks


class _PositionedBlock(NamedTuple):
    """A block and its position in the document's text."""

    start: int
    end: int
    block: Block

    @property
    def length(self) -> int:
        return self.end - self.start

    @property
    def is_indivisible(self) -> bool:
        return self.block.kind in ("table", "code")


def _sections(blocks: Sequence[Block], size: int) -> Iterator[tuple[str, list[_PositionedBlock]]]:
    """The document as headings with what stands below them, page by page: a citation names one page, and the right one.
    Headings without text in between are one section, as long as they fill less than half of a chunk."""
    path: list[tuple[int, str]] = []
    section: list[_PositionedBlock] = []
    position, only_headings = 0, True
    for block in blocks:
        positioned = _PositionedBlock(position, position + len(block.text), block)
        position = positioned.end + len(BLOCK_SEPARATOR)
        if block.kind == "heading":
            if section and not (only_headings and positioned.end - section[0].start < size / 2):
                yield _heading_path(path), section
                section, only_headings = [], True
            level = min(max(block.level, 1), MAX_LEVELS)
            while path and path[-1][0] >= level:
                path.pop()
            path.append((level, block.text))
        else:
            if not only_headings and block.page != section[-1].block.page:
                yield _heading_path(path), section
                section = []
            only_headings = False
        section.append(positioned)
    if section:
        yield _heading_path(path), section


def _heading_path(path: list[tuple[int, str]]) -> str:
    texts = (text if len(text) <= MAX_HEADING else text[:MAX_HEADING].rstrip() + "…" for _, text in path)
    return " > ".join(texts)


class _SectionSplitter:
    """Cuts one section. Each step looks at one chunk's length of text and goes on by an eighth of it at least."""

    def __init__(self, text: str, section: list[_PositionedBlock], settings: ChunkSettings) -> None:
        self.text, self.section = text, section
        self.size, self.overlap = settings.characters, settings.overlap
        self.starts = [positioned.start for positioned in section]
        self.begin, self.end = section[0].start, section[-1].end
        self.body_start = next(
            (positioned.start for positioned in section if positioned.block.kind != "heading"), self.end
        )
        self._head: tuple[int, int] = (-1, -1)

    def at(self, position: int) -> _PositionedBlock:
        """The block at a position, or the one before it where that is between two."""
        return self.section[max(bisect_right(self.starts, position) - 1, 0)]

    def spans(self) -> Iterator[tuple[int, int, str]]:
        """Start and end of each chunk, and the head to repeat before it, with its line end."""
        start = covered = self.begin
        while (start := skip_space(self.text, start, self.end)) < self.end:
            covered = max(start, covered)
            head = self._repeated_head(start)
            room = self.size - len(head)
            if self.end - start <= room:
                yield start, self.end, head
                return
            stop = self._chunk_end(start, covered, start + room)
            yield start, stop, head
            start, covered = self._next_start(start, stop), stop

    def _repeated_head(self, start: int) -> str:
        positioned = self.at(start)
        if positioned.block.kind != "table" or start >= positioned.end:
            return ""
        head_end = self._head_end(positioned)
        is_short = head_end - positioned.start <= self.size // 2
        return self.text[positioned.start : head_end] if start >= head_end and is_short else ""

    def _head_end(self, table: _PositionedBlock) -> int:
        """Where a table's rows begin: after its first line and, in Markdown, the line of dashes below it."""
        if self._head[0] != table.start:
            end = self.text.find("\n", table.start, table.end) + 1 or table.end
            dashes = self.text.find("\n", end, table.end) + 1 or table.end
            if not self.text[end : min(dashes, end + self.size)].strip("|:- \n"):
                end = dashes
            self._head = (table.start, end)
        return self._head[1]

    def _chunk_end(self, start: int, covered: int, max_end: int) -> int:
        """Where a chunk from `start` ends, `max_end` at the latest. What is before `covered` is in an earlier chunk already."""
        low = max(start + self.size // 4, covered + self.size // 8)
        tail = self.size // 8
        limit = max(low, min(max_end, self.end - tail))  # not so late that a scrap would be left over
        positioned = self.at(limit)
        if limit >= positioned.end or limit == positioned.start:
            return min(limit, positioned.end)
        if positioned.is_indivisible and self._fits(positioned):
            if positioned.end <= max_end:
                return positioned.end
            if positioned.start > covered:
                return positioned.start
        if positioned.length <= self.size and positioned.start >= max(low, start + self.size // 2):
            return positioned.start
        return self._cut_within(positioned, max(low, positioned.start + 1), limit, low)

    def _cut_within(self, positioned: _PositionedBlock, low: int, limit: int, low_outside: int) -> int:
        """The best cut inside of a block; before it when it offers none and enough is in the chunk already."""
        found = self._best_cut(positioned, low, limit)
        if found is not None:
            return found
        if positioned.start >= low_outside:
            return positioned.start
        if positioned.block.kind == "table" and (cell := self.text.rfind("|", low, limit)) >= 0:
            return cell
        space = last_space(self.text, low, limit)
        return space if space is not None else last_grapheme_boundary(self.text, low, limit)

    def _best_cut(self, positioned: _PositionedBlock, low: int, limit: int) -> int | None:
        kind = positioned.block.kind
        if kind == "table":
            row = self.text.rfind("\n", max(low, self._head_end(positioned)), limit) + 1
            return row or None
        if kind in ("code", "list"):
            empty = self.text.rfind("\n\n", (low + limit) // 2, limit) + 1
            line = empty or self.text.rfind("\n", low, limit) + 1
            if line:
                return line
        return last_sentence_end(self.text, low, limit)

    def _fits(self, positioned: _PositionedBlock) -> bool:
        """Whether a block can be a chunk of its own, together with the headings if it stands right below them."""
        return (positioned.end - self.begin if positioned.start == self.body_start else positioned.length) <= self.size

    def _next_start(self, start: int, stop: int) -> int:
        """Where the next chunk starts: whole sentences before `stop`, else whole words; `stop` where nothing is repeated."""
        low = max(stop - self.overlap, start + 1, self.body_start, self._after_tables(stop))
        following = skip_space(self.text, stop, self.end)
        positioned = self.at(following)
        if positioned.start == following and positioned.length <= self.size:
            low = max(low, positioned.end - self.size)  # no overlap that would cut what fits
        if low >= stop:
            return stop
        starts = (skip_space(self.text, end, stop) for end in sentence_ends(self.text, low - 1, stop - 1))
        sentence = next((position for position in starts if low <= position < stop), None)
        block = next((position for position in self._starts_from(low) if position < stop), None)
        if sentence is not None or block is not None:
            return min(position for position in (sentence, block) if position is not None)
        word = word_start(self.text, low, stop)
        return word if word is not None else next_grapheme_boundary(self.text, low, stop)

    def _starts_from(self, low: int) -> Iterator[int]:
        index = bisect_right(self.starts, low - 1)
        yield from self.starts[index : index + 1]

    def _after_tables(self, stop: int) -> int:
        """The earliest position from which up to `stop` no row of a table stands, as far back as overlap reaches."""
        index = bisect_right(self.starts, stop - 1) - 1
        while index >= 0 and self.section[index].end > stop - self.overlap:
            if self.section[index].block.kind == "table":
                return min(stop, self.section[index].end)
            index -= 1
        return 0
