"""DOCX, with python-docx: headings by style, lists, tables, footnotes. The format has no pages; layout makes them.

The body is walked here instead of with the library's API, which skips content controls, tracked insertions and text boxes.
Deleted and hidden text, tables of contents, headers and footers are left out.
"""

import re
from collections.abc import Iterator
from typing import Any, BinaryIO

from docx.exceptions import PythonDocxError
from docx.oxml import parse_xml
from docx.oxml.ns import qn
from docx.package import Package

from tools.documents.block_collector import BlockCollector
from tools.documents.blocks import ReadBlocks
from tools.documents.formats import ReadOptions
from tools.documents.formats.office import damaged_error, open_checked
from tools.documents.formats.word_styles import Styles
from tools.documents.tables import is_data_table, markdown_tables

PARAGRAPH, TABLE, ROW, CELL, RUN = qn("w:p"), qn("w:tbl"), qn("w:tr"), qn("w:tc"), qn("w:r")
TEXT_BOX = qn("w:txbxContent")
SKIPPED = {qn("w:del"), qn("w:moveFrom"), qn("w:pPr"), qn("w:rPr"), qn("w:sdtPr"), TEXT_BOX}
FALLBACK = "{http://schemas.openxmlformats.org/markup-compatibility/2006}Fallback"
SPECIAL_CHARACTERS = {
    qn("w:tab"): "\t",
    qn("w:br"): "\n",
    qn("w:cr"): "\n",
    qn("w:noBreakHyphen"): "-",
    qn("w:ptab"): "\t",
}
MAX_DEPTH = 30
DEFAULT_TITLES = re.compile(r"^(word document|document\d*|microsoft word.*|untitled)?$", re.IGNORECASE)


def read(file: BinaryIO, options: ReadOptions) -> ReadBlocks:
    """Raises Unreadable: damaged, encrypted, too_large, bomb, empty."""
    with open_checked(file, PythonDocxError):
        package: Any = Package.open(file)
        part = package.main_document_part
        reader = _BodyReader(Styles(part), BlockCollector(options.max_characters), options)
        reader.add_all(_body(part))
        reader.add_notes(part)
        return reader.collector.finish(reader.title or _title(package))


def _body(part: Any) -> Any:
    """The document's body. The library has no class for macro files and templates, but their XML is the same."""
    root = part.element if hasattr(part, "element") else parse_xml(part.blob)
    body = root.find(qn("w:body"))
    if body is None:
        raise damaged_error()
    return body


def _title(package: Any) -> str:
    title = package.core_properties.title or ""
    return "" if DEFAULT_TITLES.match(title.strip()) else title


def _children(parent: Any, depth: int = 0) -> Iterator[Any]:
    """The paragraphs and tables of a body or cell, in order, including those in content controls and tracked insertions."""
    for child in parent.iterchildren():
        if child.tag in (PARAGRAPH, TABLE):
            yield child
        elif child.tag not in SKIPPED and child.tag != FALLBACK and depth < MAX_DEPTH:
            yield from _children(child, depth + 1)


def _text(element: Any, depth: int = 0) -> str:
    """The visible text, without that of anchored text boxes."""
    pieces = []
    for child in element.iterchildren():
        if child.tag == qn("w:t"):
            pieces.append(child.text or "")
        elif child.tag in SPECIAL_CHARACTERS:
            pieces.append(SPECIAL_CHARACTERS[child.tag])
        elif child.tag in SKIPPED or child.tag == FALLBACK or depth > MAX_DEPTH or _is_hidden(child):
            continue
        else:
            pieces.append(_text(child, depth + 1))
    return "".join(pieces)


def _is_hidden(run: Any) -> bool:
    if run.tag != RUN:
        return False
    vanish = run.find(f"{qn('w:rPr')}/{qn('w:vanish')}")
    return vanish is not None and vanish.get(qn("w:val")) not in ("0", "false")


def _text_boxes(paragraph: Any) -> Iterator[Any]:
    """The text boxes anchored to a paragraph; each is stored twice, the second time as a fallback for old programs."""
    for box in paragraph.iter(TEXT_BOX):
        if not any(parent.tag in (FALLBACK, TEXT_BOX) for parent in box.iterancestors()):
            yield box


class _BodyReader:
    """Walks the body; collects the items of a list until it ends."""

    def __init__(self, styles: Styles, collector: BlockCollector, options: ReadOptions) -> None:
        self.styles, self.collector, self.options = styles, collector, options
        self.title = ""
        self._items: list[str] = []

    def add_all(self, parent: Any, depth: int = 0) -> None:
        for child in _children(parent):
            if child.tag == TABLE:
                self._end_list()
                self._add_table(child, depth)
                continue
            self._add_paragraph(child)
            for box in _text_boxes(child) if depth < MAX_DEPTH else ():
                self.add_all(box, depth + 1)
        self._end_list()

    def add_notes(self, part: Any) -> None:
        """Add footnotes and endnotes."""
        for relation in part.rels.values():
            kind = relation.reltype.rsplit("/", 1)[-1]
            if kind not in ("footnotes", "endnotes") or relation.is_external:
                continue
            for note in parse_xml(relation.target_part.blob).iterchildren():
                if note.get(qn("w:type")) is None:
                    text = " ".join(_text(paragraph) for paragraph in note.iter(PARAGRAPH))
                    self.collector.add("text", f"[{note.get(qn('w:id'))}] {text}" if text.strip() else "")

    def _add_paragraph(self, paragraph: Any) -> None:
        text = _text(paragraph)
        if not text.strip() or self.styles.is_table_of_contents(paragraph):
            return
        level = self.styles.heading_level(paragraph)
        if level == 0 and (item := self.styles.item(paragraph)) is not None:
            self._items.append("  " * item.depth + f"{item.mark} {' '.join(text.split())}")
            return
        self._end_list()
        if self.styles.is_title(paragraph):
            self.title = self.title or text
            level = 1
        if level:
            self.collector.add_heading(text, level)
        else:
            self.collector.add("text", text)

    def _end_list(self) -> None:
        self.collector.add("list", "\n".join(self._items))
        self._items = []

    def _add_table(self, table: Any, depth: int) -> None:
        """Add a data table; read a layout table cell by cell."""
        rows = [
            [cell for cell in row.iter(CELL) if _enclosing_table(cell) is table]
            for row in table.iter(ROW)
            if _enclosing_table(row) is table
        ]
        texts = [[self._cell_text(cell) for cell in row][: self.options.max_columns] for row in rows]
        if is_data_table(texts) or depth >= MAX_DEPTH:
            for piece in markdown_tables(texts):
                self.collector.add("table", piece)
            return
        for row in rows:
            for cell in row:
                self.add_all(cell, depth + 1)

    def _cell_text(self, cell: Any) -> str:
        return " ".join(text for paragraph in cell.iter(PARAGRAPH) if (text := _text(paragraph).strip()))


def _enclosing_table(element: Any) -> Any:
    return next((parent for parent in element.iterancestors() if parent.tag == TABLE), None)
