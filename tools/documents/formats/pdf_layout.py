"""Turns the lines of a PDF's pages into blocks. A PDF has no headings and paragraphs, only positioned letters, so these are
inferred from clear signs only: the outline, a clearly larger font, a gap between lines."""

import re
from collections import Counter
from dataclasses import dataclass
from itertools import pairwise

from tools.documents.block_collector import BlockCollector
from tools.documents.cleaning import clean_line

HEADING_RATIO = 1.15
MAX_HEADING = 150
MAX_LEVELS = 4
PARAGRAPH_GAP = 0.6
"""A gap of more than this share of a line's height ends the paragraph."""

FULL_LINE_SHARE = 0.85
"""A line that reaches this share of the page's text width continues on the next line."""

EDGE_LINES, MARGIN_SHARE = 2, 0.1
REPEATED_SHARE = 0.6
MIN_PAGES = 3
DIGITS = re.compile(r"\d+")
BULLET = re.compile(r"^\s*([•◦▪■●○–—*·-]|\(?\d{1,3}[.)]|\(?[a-z][.)])\s+\S")
BULLET_MARK = re.compile(r"^\s*[•◦▪■●○·]\s*")
SENTENCE_END = (".", ";", ",", ":", "!", "?")


@dataclass(frozen=True, slots=True)
class Line:
    """A line of text and its position in points; y grows upwards."""

    text: str
    left: float
    right: float
    top: float
    bottom: float

    @property
    def size(self) -> float:
        """The font height, rounded to half points."""
        return round(2 * (self.top - self.bottom)) / 2


@dataclass(slots=True)
class PdfPage:
    """A page as PDFium returns it. `scanned`: its paragraphs by OCR, or None if OCR was not run."""

    number: int
    height: float
    lines: list[Line]
    is_image: bool = False
    scanned: list[str] | None = None

    def characters(self) -> int:
        """The number of characters of text."""
        return sum(len(line.text) for line in self.lines) + sum(map(len, self.scanned or []))


def lay_out(pages: list[PdfPage], bookmarks: dict[int, dict[str, int]], collector: BlockCollector) -> None:
    """Add the blocks of all pages. `bookmarks`: titles of the outline and their levels, by page."""
    repeated = _repeated(pages)
    levels = {} if bookmarks else _heading_sizes(pages)
    for page in pages:
        if page.scanned:
            for paragraph in page.scanned:
                collector.add("text", paragraph, page.number)
            continue
        lines = _without_running_lines(page, repeated)
        _add_page(page.number, lines, bookmarks.get(page.number, {}), levels, collector)


def _digits_masked(text: str) -> str:
    """The line with its numbers masked: "Report 2024, page 7 of 90" is the same on every page."""
    return DIGITS.sub("#", clean_line(text))


def _edges(page: PdfPage) -> list[Line]:
    """The topmost and bottommost lines within the margins. Sorted by position, since footers often come first in the file."""
    by_height = sorted(page.lines, key=lambda line: -line.top)
    high = [line for line in by_height[:EDGE_LINES] if line.bottom > (1 - MARGIN_SHARE) * page.height]
    return high + [line for line in by_height[-EDGE_LINES:] if line.top < MARGIN_SHARE * page.height]


def _repeated(pages: list[PdfPage]) -> set[str]:
    """Masked lines that occur at the edge of most pages."""
    written = [page for page in pages if page.lines]
    if len(written) < MIN_PAGES:
        return set()
    counts = Counter(pattern for page in written for pattern in {_digits_masked(line.text) for line in _edges(page)})
    return {pattern for pattern, count in counts.items() if count >= max(MIN_PAGES, REPEATED_SHARE * len(written))}


def _without_running_lines(page: PdfPage, repeated: set[str]) -> list[Line]:
    running = {id(line) for line in _edges(page) if _digits_masked(line.text) in repeated}
    return [line for line in page.lines if id(line) not in running]


def _heading_sizes(pages: list[PdfPage]) -> dict[float, int]:
    """Font sizes clearly larger than the usual one, each with its heading level; the largest is level 1."""
    letters: Counter[float] = Counter()
    for page in pages:
        for line in page.lines:
            letters[line.size] += len(line.text)
    if not letters:
        return {}
    ordinary = letters.most_common(1)[0][0]
    larger = [size for size in letters if size > HEADING_RATIO * ordinary]
    if sum(letters[size] for size in larger) > 0.3 * letters.total():
        return {}  # slides and posters: size means nothing there
    return {size: min(level, MAX_LEVELS) for level, size in enumerate(sorted(larger, reverse=True), 1)}


def _add_page(
    number: int, lines: list[Line], bookmarks: dict[str, int], levels: dict[float, int], collector: BlockCollector
) -> None:
    right = max((line.right for line in lines), default=0.0)
    known = {_comparable(title): level for title, level in bookmarks.items()}
    paragraph: list[Line] = []
    heading: tuple[list[Line], int] = ([], 0)
    for line in lines:
        level = _heading_level(line, known, levels)
        if heading[0] and (level != heading[1] or _is_gap(heading[0][-1], line)):
            collector.add_heading(" ".join(part.text for part in heading[0]), heading[1], number)
            heading = ([], 0)
        if level:
            _add_paragraph(paragraph, right, number, collector)
            paragraph, heading = [], ([*heading[0], line], level)
            continue
        if paragraph and _begins_paragraph(paragraph, line):
            _add_paragraph(paragraph, right, number, collector)
            paragraph = []
        paragraph.append(line)
    if heading[0]:
        collector.add_heading(" ".join(part.text for part in heading[0]), heading[1], number)
    _add_paragraph(paragraph, right, number, collector)


def _comparable(text: str) -> str:
    return "".join(filter(str.isalnum, text)).lower()


def _heading_level(line: Line, known: dict[str, int], levels: dict[float, int]) -> int:
    """The heading level; 0 if it is not a heading."""
    if known and (level := known.get(_comparable(line.text))):
        return level
    text = line.text.strip()
    if len(text) > MAX_HEADING or not any(map(str.isalpha, text)) or text.endswith(SENTENCE_END):
        return 0
    return levels.get(line.size, 0)


def _is_gap(above: Line, line: Line) -> bool:
    """Whether the gap between the lines ends a paragraph. A line that is not below the previous one is in another column."""
    gap = above.bottom - line.top
    height = max(above.top - above.bottom, 1.0)
    return gap > PARAGRAPH_GAP * height or line.bottom > above.top


def _begins_paragraph(paragraph: list[Line], line: Line) -> bool:
    above = paragraph[-1]
    is_item = bool(BULLET.match(line.text))
    in_list = bool(BULLET.match(paragraph[0].text))
    if is_item != in_list and (is_item or line.left <= paragraph[0].left + 1):
        return True
    return _is_gap(above, line) or abs(above.size - line.size) > 0.25 * max(above.size, 1.0)


def _add_paragraph(lines: list[Line], right: float, number: int, collector: BlockCollector) -> None:
    """Join full lines; keep the line break after a short one: a verse, an address, a table row."""
    if not lines:
        return
    is_list = bool(BULLET.match(lines[0].text))
    text = lines[0].text.strip()
    for above, line in pairwise(lines):
        starts = bool(BULLET.match(line.text)) if is_list else above.right < FULL_LINE_SHARE * right
        text += ("\n" if starts else " ") + line.text.strip()
    if is_list:
        text = "\n".join(BULLET_MARK.sub("- ", row) for row in text.split("\n"))
    collector.add("list" if is_list else "text", text, number)
