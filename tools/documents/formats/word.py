"""DOCX, with python-docx: headings by their styles, lists, tables, footnotes. It has no pages: those are made by a printer.

The body is walked here and not by the library, which leaves out what stands in content controls, in tracked insertions and in
text boxes. What was deleted or hidden, tables of contents, and headers and footers are left out.
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
from tools.documents.formats.office import damaged, looked_through
from tools.documents.formats.word_styles import Styles
from tools.documents.tables import has_cells, table_pieces

PARAGRAPH, TABLE, ROW, CELL, RUN = qn("w:p"), qn("w:tbl"), qn("w:tr"), qn("w:tc"), qn("w:r")
BOX = qn("w:txbxContent")
LEFT_OUT = {qn("w:del"), qn("w:moveFrom"), qn("w:pPr"), qn("w:rPr"), qn("w:sdtPr"), BOX}
FALLBACK = "{http://schemas.openxmlformats.org/markup-compatibility/2006}Fallback"
LETTERS = {
    qn("w:tab"): "\t",
    qn("w:br"): "\n",
    qn("w:cr"): "\n",
    qn("w:noBreakHyphen"): "-",
    qn("w:ptab"): "\t",
}
DEEPEST = 30
OWN_TITLES = re.compile(r"^(word document|document\d*|microsoft word.*|untitled)?$", re.IGNORECASE)


def read(file: BinaryIO, options: ReadOptions) -> ReadBlocks:
    """Raises Unreadable: damaged, encrypted, too_large, bomb, empty."""
    with looked_through(file, PythonDocxError):
        package: Any = Package.open(file)
        part = package.main_document_part
        walk = _Walk(Styles(part), BlockCollector(options.max_characters), options)
        walk.add_all(_body(part))
        walk.add_notes(part)
        return walk.gathering.done(walk.title or _title(package))


def _body(part: Any) -> Any:
    """The document's body. The library knows no class for macro files and templates; their XML is the same."""
    root = part.element if hasattr(part, "element") else parse_xml(part.blob)
    body = root.find(qn("w:body"))
    if body is None:
        raise damaged()
    return body


def _title(package: Any) -> str:
    title = package.core_properties.title or ""
    return "" if OWN_TITLES.match(title.strip()) else title


def _children(parent: Any, depth: int = 0) -> Iterator[Any]:
    """The paragraphs and tables of a body or cell, in order, also those in content controls and tracked insertions."""
    for child in parent.iterchildren():
        if child.tag in (PARAGRAPH, TABLE):
            yield child
        elif child.tag not in LEFT_OUT and child.tag != FALLBACK and depth < DEEPEST:
            yield from _children(child, depth + 1)


def _text(element: Any, depth: int = 0) -> str:
    """The text that is seen, without that of the boxes that hang on it."""
    pieces = []
    for child in element.iterchildren():
        if child.tag == qn("w:t"):
            pieces.append(child.text or "")
        elif child.tag in LETTERS:
            pieces.append(LETTERS[child.tag])
        elif child.tag in LEFT_OUT or child.tag == FALLBACK or depth > DEEPEST or _is_hidden(child):
            continue
        else:
            pieces.append(_text(child, depth + 1))
    return "".join(pieces)


def _is_hidden(run: Any) -> bool:
    if run.tag != RUN:
        return False
    vanish = run.find(f"{qn('w:rPr')}/{qn('w:vanish')}")
    return vanish is not None and vanish.get(qn("w:val")) not in ("0", "false")


def _boxes(paragraph: Any) -> Iterator[Any]:
    """Text boxes are written twice, for new programs and for old ones."""
    for box in paragraph.iter(BOX):
        if not any(parent.tag in (FALLBACK, BOX) for parent in box.iterancestors()):
            yield box


class _Walk:
    """Goes through the body; gathers the items of a list until it ends."""

    def __init__(self, styles: Styles, gathering: BlockCollector, options: ReadOptions) -> None:
        self.styles, self.gathering, self.options = styles, gathering, options
        self.title = ""
        self._items: list[str] = []

    def add_all(self, parent: Any, depth: int = 0) -> None:
        for child in _children(parent):
            if child.tag == TABLE:
                self._end_list()
                self._add_table(child, depth)
                continue
            self._add_paragraph(child)
            for box in _boxes(child) if depth < DEEPEST else ():
                self.add_all(box, depth + 1)
        self._end_list()

    def add_notes(self, part: Any) -> None:
        """Footnotes and endnotes, at the end."""
        for relation in part.rels.values():
            kind = relation.reltype.rsplit("/", 1)[-1]
            if kind not in ("footnotes", "endnotes") or relation.is_external:
                continue
            for note in parse_xml(relation.target_part.blob).iterchildren():
                if note.get(qn("w:type")) is None:
                    text = " ".join(_text(paragraph) for paragraph in note.iter(PARAGRAPH))
                    self.gathering.add("text", f"[{note.get(qn('w:id'))}] {text}" if text.strip() else "")

    def _add_paragraph(self, paragraph: Any) -> None:
        text = _text(paragraph)
        if not text.strip() or self.styles.is_contents(paragraph):
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
            self.gathering.add_heading(text, level)
        else:
            self.gathering.add("text", text)

    def _end_list(self) -> None:
        self.gathering.add("list", "\n".join(self._items))
        self._items = []

    def _add_table(self, table: Any, depth: int) -> None:
        """A table of data; one that only arranges text is read cell by cell."""
        rows = [
            [cell for cell in row.iter(CELL) if _table_of(cell) is table]
            for row in table.iter(ROW)
            if _table_of(row) is table
        ]
        texts = [[self._cell_text(cell) for cell in row][: self.options.max_columns] for row in rows]
        if has_cells(texts) or depth >= DEEPEST:
            for piece in table_pieces(texts):
                self.gathering.add("table", piece)
            return
        for row in rows:
            for cell in row:
                self.add_all(cell, depth + 1)

    def _cell_text(self, cell: Any) -> str:
        return " ".join(text for paragraph in cell.iter(PARAGRAPH) if (text := _text(paragraph).strip()))


def _table_of(element: Any) -> Any:
    return next((parent for parent in element.iterancestors() if parent.tag == TABLE), None)
