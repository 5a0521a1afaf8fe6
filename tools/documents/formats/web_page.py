"""HTML, with lxml: the visible text of the page. Scripts, styles, navigation and hidden elements are left out; nothing is
fetched."""

import re
from typing import Any, BinaryIO

from lxml import etree  # pyright: ignore[reportAttributeAccessIssue] - compiled, without a stub

from tools.documents.block_collector import BlockCollector
from tools.documents.blocks import BlockKind, ReadBlocks, Unreadable
from tools.documents.cleaning import normalize_text
from tools.documents.formats import ReadOptions
from tools.documents.formats.plain_text import read_text
from tools.documents.tables import is_data_table, markdown_tables

META = re.compile(rb"""<(?:meta|\?xml)[^>]{0,200}?(?:charset|encoding)\s*=\s*["']?\s*([\w.:-]{2,40})""", re.IGNORECASE)
META_BYTES = 4096
MAX_DEPTH = 200
SKIPPED_TAGS = {
    *("script", "style", "noscript", "template", "svg", "math", "nav", "iframe", "object", "embed", "applet", "canvas"),
    *(
        "select",
        "button",
        "input",
        "textarea",
        "datalist",
        "dialog",
        "menu",
        "head",
        "audio",
        "video",
        "map",
        "noframes",
    ),
}
SKIPPED_ROLES = {"navigation", "search", "menu", "menubar", "dialog", "alertdialog", "banner", "contentinfo"}
HIDDEN_STYLE = re.compile(
    r"display\s*:\s*none|visibility\s*:\s*hidden|font-size\s*:\s*0(?![.\d])|opacity\s*:\s*0(?![.\d])"
)
HEADINGS = {f"h{level}": level for level in range(1, 7)}
INLINE = {
    *(
        "a",
        "abbr",
        "acronym",
        "b",
        "bdi",
        "bdo",
        "big",
        "cite",
        "code",
        "data",
        "del",
        "dfn",
        "em",
        "font",
        "i",
        "ins",
        "kbd",
    ),
    *(
        "label",
        "mark",
        "q",
        "rp",
        "rt",
        "ruby",
        "s",
        "samp",
        "small",
        "span",
        "strike",
        "strong",
        "sub",
        "sup",
        "time",
        "tt",
    ),
    *("u", "var", "wbr", "img", "output", "nobr"),
}


def read(file: BinaryIO, options: ReadOptions) -> ReadBlocks:
    """Raises Unreadable: damaged, empty, too_large."""
    collector = BlockCollector(options.max_characters)
    head = file.read(META_BYTES)
    file.seek(0)
    declared = META.search(head)
    text = read_text(file, options, collector, declared[1].decode("ascii", "ignore") if declared else "", max_factor=4)
    title = add_page(text, collector, options)
    return collector.finish(title)


def add_page(text: str, collector: BlockCollector, options: ReadOptions) -> str:
    """Add the blocks of a page; return its title. Raises Unreadable damaged."""
    parser = etree.HTMLParser(encoding="utf-8", no_network=True, remove_comments=True, remove_pis=True)
    try:
        root = etree.fromstring(normalize_text(text).encode(), parser)
    except (etree.XMLSyntaxError, ValueError) as error:
        if not text.strip():
            return ""
        raise Unreadable("damaged", "The page can't be read; save it again and upload that.") from error
    if root is None:
        return ""
    title = root.find(".//head/title")
    reader = _PageReader(collector, options)
    reader.visit(_main_element(root), 0)
    reader.end()
    return "" if title is None else "".join(title.itertext())


def _main_element(root: Any) -> Any:
    """The page's main element if it marks one: the rest belongs to the site."""
    mains = root.xpath("//main | //*[@role='main']")
    if len(mains) == 1 and len("".join(mains[0].itertext()).strip()) > 0:
        return mains[0]
    body = root.find("body")
    return root if body is None else body


def _is_skipped(element: Any) -> bool:
    if not isinstance(element.tag, str) or element.tag in SKIPPED_TAGS or "hidden" in element.attrib:
        return True
    if element.get("aria-hidden") == "true" or element.get("role") in SKIPPED_ROLES:
        return True
    if element.tag == "footer" and not any(parent.tag in ("article", "main") for parent in element.iterancestors()):
        return True
    return bool(HIDDEN_STYLE.search(element.get("style", "").lower()))


class _PageReader:
    """Walks the elements; collects the text of a paragraph, or the items of a list, until it ends."""

    def __init__(self, collector: BlockCollector, options: ReadOptions) -> None:
        self.collector, self.options = collector, options
        self._text: list[str] = []
        self._items: list[str] = []
        self._lists: list[int] = []  # for each open list, the number of its next item; 0 if unnumbered

    def visit(self, element: Any, depth: int) -> None:
        """Read an element with its content, without its tail."""
        if depth > MAX_DEPTH or _is_skipped(element):
            return
        tag = element.tag
        if tag in HEADINGS:
            self.end()
            self.collector.add_heading(_visible_text(element), HEADINGS[tag])
        elif tag == "pre":
            self._add("code", "".join(element.itertext()))
        elif tag == "table" and (rows := _table_rows(element, self.options)):
            self.end()
            for piece in markdown_tables(rows):
                self.collector.add("table", piece)
        elif tag in ("ul", "ol"):
            self._visit_list(element, depth)
        elif tag == "br":
            self._text.append("\n")
        else:
            self._visit_other(element, depth)

    def end(self) -> None:
        """End the paragraph and the list."""
        self._end_text()
        if not self._lists:
            self._end_list()

    def _visit_other(self, element: Any, depth: int) -> None:
        is_block = element.tag not in INLINE
        if element.tag == "img":
            self._text.append(element.get("alt", ""))
        if is_block:
            self._end_text()
        self._visit_inside(element, depth)
        if is_block:
            self._end_text()

    def _visit_inside(self, element: Any, depth: int) -> None:
        self._append_text(element.text)
        for child in element.iterchildren():
            self.visit(child, depth + 1)
            self._append_text(child.tail)

    def _visit_list(self, element: Any, depth: int) -> None:
        self._end_text()
        self._lists.append(1 if element.tag == "ol" else 0)
        for child in element.iterchildren():
            self.visit(child, depth + 1)
            if child.tag == "li":
                self._end_text()
        self._lists.pop()
        if not self._lists:
            self._end_list()

    def _append_text(self, text: str | None) -> None:
        if text:
            self._text.append(re.sub(r"\s+", " ", text))

    def _end_text(self) -> None:
        text, self._text = "".join(self._text).strip(), []
        if not text:
            return
        if self._lists:
            number = self._lists[-1]
            self._items.append(
                "  " * (len(self._lists) - 1) + (f"{number}. " if number else "- ") + " ".join(text.split())
            )
            self._lists[-1] += 1 if number else 0
        else:
            self._end_list()
            self.collector.add("text", text)

    def _end_list(self) -> None:
        self.collector.add("list", "\n".join(self._items))
        self._items = []

    def _add(self, kind: BlockKind, text: str) -> None:
        self._end_text()
        self._end_list()
        self.collector.add(kind, text)


def _visible_text(element: Any, depth: int = 0) -> str:
    """The visible text in an element."""
    pieces = [element.text or ""]
    for child in element.iterchildren():
        if depth < MAX_DEPTH and not _is_skipped(child):
            pieces.append(" " if child.tag == "br" else _visible_text(child, depth + 1))
        pieces.append(child.tail or "")
    return "".join(pieces)


def _table_rows(table: Any, options: ReadOptions) -> list[list[str]]:
    """The rows of a data table; empty for a layout table."""
    if table.find(".//table") is not None or table.get("role") in ("presentation", "none"):
        return []
    rows = []
    for row in table.iter("tr"):
        if not _is_skipped(row):
            cells = [cell for cell in row.iterchildren("td", "th") if not _is_skipped(cell)]
            rows.append([" ".join(_visible_text(cell).split()) for cell in cells[: options.max_columns]])
    return rows if is_data_table(rows) else []
