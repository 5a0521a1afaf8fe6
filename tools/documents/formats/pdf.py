"""PDF, with PDFium: the text of each page in content order, and scanned pages by OCR.

pages ─► lines with positions ─► `pdf_layout.py`: running headers and footers, headings, paragraphs ─► blocks
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
"""A page with fewer letters is checked for images: a scan often carries a stamp or a page number as text."""

MAX_UNMAPPED_SHARE = 0.3
"""A page with a larger share of unmapped characters has a font without a usable character map, and is read by OCR."""

PIXELS_PER_POINT = 200 / 72
MAX_SIDE_PIXELS = 2_400
MAX_BOOKMARKS = 5_000
LINE_END = re.compile(r"\r\n|[\r\n]")
HYPHEN = "\ufffe"
UNMAPPED = re.compile("[\ufffd\ue000-\uf8ff\x00-\x08]")
IMAGE_OBJECTS = (pdfium_c.FPDF_PAGEOBJ_IMAGE, pdfium_c.FPDF_PAGEOBJ_SHADING, pdfium_c.FPDF_PAGEOBJ_FORM)
MIN_DRAWN_PATHS, MAX_INSPECTED_OBJECTS = 20, 2_000


def read(file: BinaryIO, options: ReadOptions) -> ReadBlocks:
    """Raises Unreadable: damaged, encrypted, too_large, empty, no_text."""
    document = _open_pdf(file)
    if len(document) > options.max_pages:
        raise Unreadable("too_large", f"The PDF has more than {options.max_pages:,} pages; split it up.")
    collector = BlockCollector(options.max_characters)
    pages = _pages(document, options, collector)
    lay_out(pages, _bookmarks(document), collector)
    if not collector.blocks and any(page.is_image for page in pages):
        raise Unreadable("no_text", "The PDF contains only images, and no text was found in them.")
    return collector.finish(_title(document), len(document))


def _open_pdf(file: BinaryIO) -> pdfium.PdfDocument:
    try:
        document = pdfium.PdfDocument(file)
    except pdfium.PdfiumError as error:
        if error.err_code in (pdfium_c.FPDF_ERR_PASSWORD, pdfium_c.FPDF_ERR_SECURITY):
            raise Unreadable(
                "encrypted", "The PDF is protected with a password; remove it and upload the file again."
            ) from error
        raise Unreadable("damaged", "The PDF is damaged or incomplete; export it again and upload that.") from error
    if not len(document):
        raise Unreadable("damaged", "The PDF has no pages; export it again and upload that.")
    return document


def _title(document: pdfium.PdfDocument) -> str:
    """The title in the metadata, unless it is a file name, as many programs leave there."""
    title = _metadata_text(lambda: document.get_metadata_value("Title"))
    is_name = re.search(
        r"\.(docx?|pptx?|xlsx?|pdf|indd|tex|rtf|odt)$|^(untitled|microsoft word)\b", title, re.IGNORECASE
    )
    return "" if is_name else title


def _metadata_text(get: Callable[[], str]) -> str:
    """One line of metadata; empty if it is not valid text."""
    try:
        return clean_line(get())
    except UnicodeError:
        return ""


def _pages(document: pdfium.PdfDocument, options: ReadOptions, collector: BlockCollector) -> list[PdfPage]:
    scanner = Scanner(options.ocr_pages, options.ocr_s)
    pages, damaged, not_scanned, characters = [], [], [], 0
    for number in range(1, len(document) + 1):
        try:
            page = _page(document, number, scanner)
        except pdfium.PdfiumError:
            damaged.append(number)
            continue
        if page.is_image and page.scanned is None:
            not_scanned.append(number)
        pages.append(page)
        characters += page.characters()
        if characters > options.max_characters:
            raise Unreadable(
                "too_large", f"The PDF contains more than {options.max_characters:,} characters; split it up."
            )
    if len(damaged) == len(document):
        raise Unreadable("damaged", "No page of the PDF can be read; export it again and upload that.")
    _add_notes(collector, damaged, not_scanned, sum(page.scanned is not None for page in pages))
    return pages


def _add_notes(collector: BlockCollector, damaged: list[int], not_scanned: list[int], scanned: int) -> None:
    if damaged:
        collector.note(
            f"{_page_range(damaged)} could not be read and {'was' if len(damaged) == 1 else 'were'} left out."
        )
    if scanned:
        collector.note(
            f"The text of {scanned} {'page' if scanned == 1 else 'pages'} was extracted by OCR; it may contain errors."
        )
    if not_scanned:
        has, was = ("contains", "was") if len(not_scanned) == 1 else ("contain", "were")
        collector.note(f"{_page_range(not_scanned)} {has} only images, beyond the OCR limit, and {was} left out.")


def _page_range(numbers: list[int]) -> str:
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
        is_unmapped = _is_unmapped(lines)
        if is_unmapped or (_count_letters(lines) < MIN_LETTERS and _has_graphics(page)):
            found.is_image = True
            if scanner.has_budget():
                scanned = scanner.read(_render_bmp(page, max(width, height)))
                found.scanned = scanned if is_unmapped or sum(map(len, scanned)) > _count_letters(lines) else []
            elif is_unmapped:
                found.lines = []
        return found
    finally:
        page.close()


def _count_letters(lines: list[Line]) -> int:
    return sum(letter.isalnum() for line in lines for letter in line.text)


def _is_unmapped(lines: list[Line]) -> bool:
    """Whether the page's font has no usable character map."""
    text = "".join(line.text for line in lines)
    return len(UNMAPPED.findall(text)) > MAX_UNMAPPED_SHARE * len(text)


def _has_graphics(page: pdfium.PdfPage) -> bool:
    """Whether the page could show text other than as text objects: an image, or letters drawn as paths."""
    count = min(pdfium_c.FPDFPage_CountObjects(page), MAX_INSPECTED_OBJECTS)
    kinds = [pdfium_c.FPDFPageObj_GetType(pdfium_c.FPDFPage_GetObject(page, position)) for position in range(count)]
    return any(kind in IMAGE_OBJECTS for kind in kinds) or kinds.count(pdfium_c.FPDF_PAGEOBJ_PATH) >= MIN_DRAWN_PATHS


def _render_bmp(page: pdfium.PdfPage, longest: float) -> bytes:
    """The page as a BMP, scaled down to a size that OCR accepts, however large the page claims to be."""
    scale = min(PIXELS_PER_POINT, MAX_SIDE_PIXELS / max(longest, 1.0))
    packed = io.BytesIO()
    drawn: Any = page.render(scale=scale, may_draw_forms=False)  # pyright: ignore[reportArgumentType]
    drawn.to_pil().convert("RGB").save(packed, "BMP")
    return packed.getvalue()


def _lines(page: pdfium.PdfPage) -> list[Line]:
    """The lines of the page's text with their positions. PDFium has joined words hyphenated at line ends."""
    textpage = page.get_textpage()
    try:
        text = textpage.get_text_range()
        units = _utf16_offsets(text)
        lines, position = [], 0
        for end in [*LINE_END.finditer(text), None]:
            line = text[position : end.start() if end else len(text)]
            if line.strip():
                first, last = position + len(line) - len(line.lstrip()), position + len(line.rstrip()) - 1
                lines.append(_line(textpage, units[first], units[last], line))
            position = end.end() if end else position
        return lines
    finally:
        textpage.close()


def _utf16_offsets(text: str) -> Sequence[int]:
    """PDFium's index of each character: it counts UTF-16 code units."""
    if text.isascii() or max(text) <= "\uffff":
        return range(len(text))
    return [0, *accumulate(2 if letter > "\uffff" else 1 for letter in text)]


def _line(textpage: pdfium.PdfTextPage, first: int, last: int, line: str) -> Line:
    left, bottom, _, top = _box(textpage, first)
    _, _, right, _ = _box(textpage, last)
    return Line(_join_hyphenated(line), left=left, right=right, top=top, bottom=bottom)


def _box(textpage: pdfium.PdfTextPage, position: int) -> tuple[float, float, float, float]:
    box = pdfium_c.FS_RECTF()
    index = pdfium_c.FPDFText_GetCharIndexFromTextIndex(textpage, position)
    if index < 0 or not pdfium_c.FPDFText_GetLooseCharBox(textpage, index, ctypes.byref(box)):
        return (0.0, 0.0, 0.0, 0.0)
    return (box.left, box.bottom, box.right, box.top)


def _join_hyphenated(line: str) -> str:
    """Join words hyphenated at a line end; a hyphen before anything but a lower-case letter stays."""
    pieces = line.split(HYPHEN)
    whole = pieces[0]
    for piece in pieces[1:]:
        whole += piece if piece[:1].islower() else f"-{piece}"
    return whole


def _bookmarks(document: pdfium.PdfDocument) -> dict[int, dict[str, int]]:
    """By page (from 1): the outline's titles on it, each with its level from 1."""
    found: dict[int, dict[str, int]] = {}
    for count, bookmark in enumerate(document.get_toc(max_depth=6)):
        if count >= MAX_BOOKMARKS:
            break
        target = bookmark.get_dest()
        index = target.get_index() if target else None
        if index is not None and index >= 0:
            found.setdefault(index + 1, {}).setdefault(_metadata_text(bookmark.get_title), bookmark.level + 1)
    return found
