"""PDF, with PDFium: the text of each page in the order in which it was written, and scanned pages by OCR.

pages ─► lines with their places ─► `pdf_layout.py`: what is repeated on every page, headings, paragraphs ─► blocks
"""

import ctypes
import io
import re
from collections.abc import Callable, Sequence
from itertools import accumulate
from typing import Any, BinaryIO

import pypdfium2 as pdfium
import pypdfium2.raw as pdfium_c

from tools.documents.block_collector import BlockCollector
from tools.documents.blocks import ReadBlocks, Unreadable
from tools.documents.cleaning import clean_line
from tools.documents.formats import ReadOptions
from tools.documents.formats.pdf_layout import Line, PdfPage, lay_out
from tools.documents.formats.scans import Scanner

MIN_LETTERS = 16
"""A page with fewer is asked for its pictures: a scan often carries a stamp or a page number as text."""

MAX_STRANGE = 0.3
"""A page of which more than this share are no characters has a font that doesn't say what its shapes mean: it is scanned."""

DOTS_PER_POINT = 200 / 72
MAX_SIDE = 2_400
MAX_BOOKMARKS = 5_000
LINE_END = re.compile(r"\r\n|[\r\n]")
HYPHEN = "\ufffe"
STRANGE = re.compile("[\ufffd\ue000-\uf8ff\x00-\x08]")
PICTURES = (pdfium_c.FPDF_PAGEOBJ_IMAGE, pdfium_c.FPDF_PAGEOBJ_SHADING, pdfium_c.FPDF_PAGEOBJ_FORM)
MIN_SHAPES, MAX_OBJECTS = 20, 2_000


def read(file: BinaryIO, options: ReadOptions) -> ReadBlocks:
    """Raises Unreadable: damaged, encrypted, too_large, empty, no_text."""
    document = _opened(file)
    if len(document) > options.max_pages:
        raise Unreadable("too_large", f"The PDF has more than {options.max_pages:,} pages; split it up.")
    gathering = BlockCollector(options.max_characters)
    pages = _pages(document, options, gathering)
    lay_out(pages, _bookmarks(document), gathering)
    if not gathering.blocks and any(page.is_picture for page in pages):
        raise Unreadable("no_text", "The PDF holds pictures only, and no text was found in them.")
    return gathering.done(_title(document), len(document))


def _opened(file: BinaryIO) -> pdfium.PdfDocument:
    try:
        document = pdfium.PdfDocument(file)
    except pdfium.PdfiumError as error:
        if error.err_code in (pdfium_c.FPDF_ERR_PASSWORD, pdfium_c.FPDF_ERR_SECURITY):
            raise Unreadable(
                "encrypted", "The PDF is protected with a password; remove it and upload again."
            ) from error
        raise Unreadable("damaged", "The PDF is damaged or was cut off; export it again and upload that.") from error
    if not len(document):
        raise Unreadable("damaged", "The PDF has no pages; export it again and upload that.")
    return document


def _title(document: pdfium.PdfDocument) -> str:
    """What the document calls itself; programs like to leave the name of a file there."""
    title = _told(lambda: document.get_metadata_value("Title"))
    is_name = re.search(
        r"\.(docx?|pptx?|xlsx?|pdf|indd|tex|rtf|odt)$|^(untitled|microsoft word)\b", title, re.IGNORECASE
    )
    return "" if is_name else title


def _told(ask: Callable[[], str]) -> str:
    """A line of what the document says of itself; nothing where that is no text."""
    try:
        return clean_line(ask())
    except UnicodeError:
        return ""


def _pages(document: pdfium.PdfDocument, options: ReadOptions, gathering: BlockCollector) -> list[PdfPage]:
    scanner = Scanner(options.ocr_pages, options.ocr_s)
    pages, damaged, unread, characters = [], [], [], 0
    for number in range(1, len(document) + 1):
        try:
            page = _page(document, number, scanner)
        except pdfium.PdfiumError:
            damaged.append(number)
            continue
        if page.is_picture and page.scanned is None:
            unread.append(number)
        pages.append(page)
        characters += page.characters()
        if characters > options.max_characters:
            raise Unreadable(
                "too_large", f"The PDF holds more than {options.max_characters:,} characters; split it up."
            )
    if len(damaged) == len(document):
        raise Unreadable("damaged", "No page of the PDF can be read; export it again and upload that.")
    _tell(gathering, damaged, unread, sum(page.scanned is not None for page in pages))
    return pages


def _tell(gathering: BlockCollector, damaged: list[int], unread: list[int], scanned: int) -> None:
    if damaged:
        gathering.note(f"{_spoken(damaged)} could not be read and {'was' if len(damaged) == 1 else 'were'} left out.")
    if scanned:
        gathering.note(
            f"The text of {scanned} {'page' if scanned == 1 else 'pages'} was read from pictures; it may have errors."
        )
    if unread:
        one = len(unread) == 1
        gathering.note(f"{_spoken(unread)} {'holds' if one else 'hold'} only pictures, more than are read; left out.")


def _spoken(numbers: list[int]) -> str:
    if len(numbers) == 1:
        return f"Page {numbers[0]}"
    if numbers[-1] - numbers[0] == len(numbers) - 1:
        return f"Pages {numbers[0]} to {numbers[-1]}"
    return f"{len(numbers)} pages (from {numbers[0]} to {numbers[-1]})"


def _page(document: pdfium.PdfDocument, number: int, scanner: Scanner) -> PdfPage:
    page = document[number - 1]
    try:
        lines = _lines(page)
        width, height = page.get_size()
        found = PdfPage(number, height, lines)
        is_strange = _is_strange(lines)
        if is_strange or (_letters(lines) < MIN_LETTERS and _is_painted(page)):
            found.is_picture = True
            if scanner.may_go_on():
                scanned = scanner.read(_picture(page, max(width, height)))
                found.scanned = scanned if is_strange or sum(map(len, scanned)) > _letters(lines) else []
            elif is_strange:
                found.lines = []
        return found
    finally:
        page.close()


def _letters(lines: list[Line]) -> int:
    return sum(letter.isalnum() for line in lines for letter in line.text)


def _is_strange(lines: list[Line]) -> bool:
    """Whether the text is mostly none: the font doesn't say what its shapes mean."""
    text = "".join(line.text for line in lines)
    return len(STRANGE.findall(text)) > MAX_STRANGE * len(text)


def _is_painted(page: pdfium.PdfPage) -> bool:
    """Whether there is anything on the page that could show text, besides text: a picture, or letters drawn as shapes."""
    count = min(pdfium_c.FPDFPage_CountObjects(page), MAX_OBJECTS)
    kinds = [pdfium_c.FPDFPageObj_GetType(pdfium_c.FPDFPage_GetObject(page, at)) for at in range(count)]
    return any(kind in PICTURES for kind in kinds) or kinds.count(pdfium_c.FPDF_PAGEOBJ_PATH) >= MIN_SHAPES


def _picture(page: pdfium.PdfPage, longest: float) -> bytes:
    """The page as a BMP. However large it says it is, the picture is of a size that is read."""
    scale = min(DOTS_PER_POINT, MAX_SIDE / max(longest, 1.0))
    packed = io.BytesIO()
    drawn: Any = page.render(scale=scale, may_draw_forms=False)  # pyright: ignore[reportArgumentType]
    drawn.to_pil().convert("RGB").save(packed, "BMP")
    return packed.getvalue()


def _lines(page: pdfium.PdfPage) -> list[Line]:
    """The lines of the page's text, with their places. PDFium has put words that were cut at a line's end together."""
    textpage = page.get_textpage()
    try:
        text = textpage.get_text_range()
        units = _units(text)
        lines, at = [], 0
        for end in [*LINE_END.finditer(text), None]:
            line = text[at : end.start() if end else len(text)]
            if line.strip():
                first, last = at + len(line) - len(line.lstrip()), at + len(line.rstrip()) - 1
                lines.append(_line(textpage, units[first], units[last], line))
            at = end.end() if end else at
        return lines
    finally:
        textpage.close()


def _units(text: str) -> Sequence[int]:
    """Where PDFium has each character: it counts in halves of those beyond the first 65,536."""
    if text.isascii() or max(text) <= "\uffff":
        return range(len(text))
    return [0, *accumulate(2 if letter > "\uffff" else 1 for letter in text)]


def _line(textpage: pdfium.PdfTextPage, first: int, last: int, line: str) -> Line:
    left, bottom, _, top = _box(textpage, first)
    _, _, right, _ = _box(textpage, last)
    return Line(_joined(line), left=left, right=right, top=top, bottom=bottom)


def _box(textpage: pdfium.PdfTextPage, at: int) -> tuple[float, float, float, float]:
    box = pdfium_c.FS_RECTF()
    index = pdfium_c.FPDFText_GetCharIndexFromTextIndex(textpage, at)
    if index < 0 or not pdfium_c.FPDFText_GetLooseCharBox(textpage, index, ctypes.byref(box)):
        return (0.0, 0.0, 0.0, 0.0)
    return (box.left, box.bottom, box.right, box.top)


def _joined(line: str) -> str:
    """A word that was cut at a line's end, whole again; a hyphen before anything but a small letter stays."""
    pieces = line.split(HYPHEN)
    whole = pieces[0]
    for piece in pieces[1:]:
        whole += piece if piece[:1].islower() else f"-{piece}"
    return whole


def _bookmarks(document: pdfium.PdfDocument) -> dict[int, dict[str, int]]:
    """By page (from 1): the titles that the document's outline has there, each with its level from 1."""
    found: dict[int, dict[str, int]] = {}
    for count, bookmark in enumerate(document.get_toc(max_depth=6)):
        if count >= MAX_BOOKMARKS:
            break
        target = bookmark.get_dest()
        index = target.get_index() if target else None
        if index is not None and index >= 0:
            found.setdefault(index + 1, {}).setdefault(_told(bookmark.get_title), bookmark.level + 1)
    return found
