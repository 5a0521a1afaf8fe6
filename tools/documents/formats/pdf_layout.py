"""The lines of a PDF's pages into blocks. A PDF knows no headings and no paragraphs, only letters at places, so this is
inferred, and only where the signs are plain: the outline, a clearly larger font, an empty space between lines."""

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
"""A space between two lines of more than this share of a line's height ends the paragraph."""

FULL = 0.85
"""A line that reaches this far to the right edge of its page's text goes on in the next one."""

EDGE_LINES, MARGIN = 2, 0.1
REPEATED_SHARE = 0.6
MIN_PAGES = 3
DIGITS = re.compile(r"\d+")
BULLET = re.compile(r"^\s*([•◦▪■●○–—*·-]|\(?\d{1,3}[.)]|\(?[a-z][.)])\s+\S")
ONLY_MARK = re.compile(r"^\s*[•◦▪■●○·]\s*")
SENTENCE_END = (".", ";", ",", ":", "!", "?")


@dataclass(frozen=True, slots=True)
class Line:
    """A line of text and its place in points; y grows upwards."""

    text: str
    left: float
    right: float
    top: float
    bottom: float

    @property
    def size(self) -> float:
        """The height of its letters, in halves of a point."""
        return round(2 * (self.top - self.bottom)) / 2


@dataclass(slots=True)
class PdfPage:
    """A page as PDFium gives it. `scanned`: its paragraphs by OCR, None where that was not asked."""

    number: int
    height: float
    lines: list[Line]
    is_picture: bool = False
    scanned: list[str] | None = None

    def characters(self) -> int:
        """How much text there is."""
        return sum(len(line.text) for line in self.lines) + sum(map(len, self.scanned or []))


def lay_out(pages: list[PdfPage], bookmarks: dict[int, dict[str, int]], gathering: BlockCollector) -> None:
    """Add the blocks of all pages. `bookmarks`: titles of the outline and their levels, by page."""
    repeated = _repeated(pages)
    levels = {} if bookmarks else _heading_sizes(pages)
    for page in pages:
        if page.scanned:
            for paragraph in page.scanned:
                gathering.add("text", paragraph, page.number)
            continue
        lines = _without_edges(page, repeated)
        _add_page(page.number, lines, bookmarks.get(page.number, {}), levels, gathering)


def _pattern(text: str) -> str:
    """What is the same on every page in "Report 2024, page 7 of 90"."""
    return DIGITS.sub("#", clean_line(text))


def _edges(page: PdfPage) -> list[Line]:
    """The highest and the lowest lines, as far as they stand in the margin. Footers are often written first."""
    by_height = sorted(page.lines, key=lambda line: -line.top)
    high = [line for line in by_height[:EDGE_LINES] if line.bottom > (1 - MARGIN) * page.height]
    return high + [line for line in by_height[-EDGE_LINES:] if line.top < MARGIN * page.height]


def _repeated(pages: list[PdfPage]) -> set[str]:
    """Patterns of lines that stand at the edge of most pages."""
    written = [page for page in pages if page.lines]
    if len(written) < MIN_PAGES:
        return set()
    counts = Counter(pattern for page in written for pattern in {_pattern(line.text) for line in _edges(page)})
    return {pattern for pattern, count in counts.items() if count >= max(MIN_PAGES, REPEATED_SHARE * len(written))}


def _without_edges(page: PdfPage, repeated: set[str]) -> list[Line]:
    running = {id(line) for line in _edges(page) if _pattern(line.text) in repeated}
    return [line for line in page.lines if id(line) not in running]


def _heading_sizes(pages: list[PdfPage]) -> dict[float, int]:
    """Sizes of letters that are clearly larger than the ordinary one, the largest first, and the level of each."""
    letters: Counter[float] = Counter()
    for page in pages:
        for line in page.lines:
            letters[line.size] += len(line.text)
    if not letters:
        return {}
    ordinary = letters.most_common(1)[0][0]
    larger = [size for size in letters if size > HEADING_RATIO * ordinary]
    if sum(letters[size] for size in larger) > 0.3 * letters.total():
        return {}  # slides, posters: size says nothing there
    return {size: min(level, MAX_LEVELS) for level, size in enumerate(sorted(larger, reverse=True), 1)}


def _add_page(
    number: int, lines: list[Line], bookmarks: dict[str, int], levels: dict[float, int], gathering: BlockCollector
) -> None:
    right = max((line.right for line in lines), default=0.0)
    known = {_plain(title): level for title, level in bookmarks.items()}
    paragraph: list[Line] = []
    heading: tuple[list[Line], int] = ([], 0)
    for line in lines:
        level = _level(line, known, levels)
        if heading[0] and (level != heading[1] or _breaks(heading[0][-1], line)):
            gathering.add_heading(" ".join(part.text for part in heading[0]), heading[1], number)
            heading = ([], 0)
        if level:
            _add_paragraph(paragraph, right, number, gathering)
            paragraph, heading = [], ([*heading[0], line], level)
            continue
        if paragraph and _begins(paragraph, line):
            _add_paragraph(paragraph, right, number, gathering)
            paragraph = []
        paragraph.append(line)
    if heading[0]:
        gathering.add_heading(" ".join(part.text for part in heading[0]), heading[1], number)
    _add_paragraph(paragraph, right, number, gathering)


def _plain(text: str) -> str:
    return "".join(filter(str.isalnum, text)).lower()


def _level(line: Line, known: dict[str, int], levels: dict[float, int]) -> int:
    """A heading's level; 0 for what is none."""
    if known and (level := known.get(_plain(line.text))):
        return level
    text = line.text.strip()
    if len(text) > MAX_HEADING or not any(map(str.isalpha, text)) or text.endswith(SENTENCE_END):
        return 0
    return levels.get(line.size, 0)


def _breaks(above: Line, line: Line) -> bool:
    """Whether there is more space between the lines than between those of one paragraph. A line that is not below the one
    before stands in another column."""
    gap = above.bottom - line.top
    height = max(above.top - above.bottom, 1.0)
    return gap > PARAGRAPH_GAP * height or line.bottom > above.top


def _begins(paragraph: list[Line], line: Line) -> bool:
    above = paragraph[-1]
    is_item = bool(BULLET.match(line.text))
    in_list = bool(BULLET.match(paragraph[0].text))
    if is_item != in_list and (is_item or line.left <= paragraph[0].left + 1):
        return True
    return _breaks(above, line) or abs(above.size - line.size) > 0.25 * max(above.size, 1.0)


def _add_paragraph(lines: list[Line], right: float, number: int, gathering: BlockCollector) -> None:
    """Lines that are full go on in the next; the end of a short one is meant: a verse, an address, a row of a table."""
    if not lines:
        return
    is_list = bool(BULLET.match(lines[0].text))
    text = lines[0].text.strip()
    for above, line in pairwise(lines):
        starts = bool(BULLET.match(line.text)) if is_list else above.right < FULL * right
        text += ("\n" if starts else " ") + line.text.strip()
    if is_list:
        text = "\n".join(ONLY_MARK.sub("- ", row) for row in text.split("\n"))
    gathering.add("list" if is_list else "text", text, number)
