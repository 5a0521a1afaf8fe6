"""HTML, with lxml: what a reader of the page sees as its text. Scripts, styles, navigation and what is hidden are left out;
nothing is fetched."""

import re
from typing import Any, BinaryIO

from lxml import etree  # pyright: ignore[reportAttributeAccessIssue] - compiled, without a stub

from tools.documents.block_collector import BlockCollector
from tools.documents.blocks import BlockKind, ReadBlocks, Unreadable
from tools.documents.cleaning import clean_letters
from tools.documents.formats import ReadOptions
from tools.documents.formats.plain_text import text_of
from tools.documents.tables import has_cells, table_pieces

META = re.compile(rb"""<(?:meta|\?xml)[^>]{0,200}?(?:charset|encoding)\s*=\s*["']?\s*([\w.:-]{2,40})""", re.IGNORECASE)
META_BYTES = 4096
DEEPEST = 200
LEFT_OUT = {
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
ROLES_LEFT_OUT = {"navigation", "search", "menu", "menubar", "dialog", "alertdialog", "banner", "contentinfo"}
HIDING = re.compile(r"display\s*:\s*none|visibility\s*:\s*hidden|font-size\s*:\s*0(?![.\d])|opacity\s*:\s*0(?![.\d])")
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
    gathering = BlockCollector(options.max_characters)
    head = file.read(META_BYTES)
    file.seek(0)
    said = META.search(head)
    text = text_of(file, options, gathering, said[1].decode("ascii", "ignore") if said else "", times=4)
    title = add_page(text, gathering, options)
    return gathering.done(title)


def add_page(text: str, gathering: BlockCollector, options: ReadOptions) -> str:
    """Add the blocks of a page; return its title. Raises Unreadable damaged."""
    parser = etree.HTMLParser(encoding="utf-8", no_network=True, remove_comments=True, remove_pis=True)
    try:
        root = etree.fromstring(clean_letters(text).encode(), parser)
    except (etree.XMLSyntaxError, ValueError) as error:
        if not text.strip():
            return ""
        raise Unreadable("damaged", "The page can't be read; save it again and upload that.") from error
    if root is None:
        return ""
    title = root.find(".//head/title")
    walk = _Walk(gathering, options)
    walk.visit(_main(root), 0)
    walk.end()
    return "" if title is None else "".join(title.itertext())


def _main(root: Any) -> Any:
    """The page's own main part where it says which that is: the rest is the site's."""
    mains = root.xpath("//main | //*[@role='main']")
    if len(mains) == 1 and len("".join(mains[0].itertext()).strip()) > 0:
        return mains[0]
    body = root.find("body")
    return root if body is None else body


def _is_left_out(element: Any) -> bool:
    if not isinstance(element.tag, str) or element.tag in LEFT_OUT or "hidden" in element.attrib:
        return True
    if element.get("aria-hidden") == "true" or element.get("role") in ROLES_LEFT_OUT:
        return True
    if element.tag == "footer" and not any(parent.tag in ("article", "main") for parent in element.iterancestors()):
        return True
    return bool(HIDING.search(element.get("style", "").lower()))


class _Walk:
    """Goes through the elements; gathers the text of a paragraph, or the items of a list, until something ends it."""

    def __init__(self, gathering: BlockCollector, options: ReadOptions) -> None:
        self.gathering, self.options = gathering, options
        self._text: list[str] = []
        self._items: list[str] = []
        self._lists: list[int] = []  # of each list that is open: the number of its next item, 0 without numbers

    def visit(self, element: Any, depth: int) -> None:
        """An element with all that is in it, without what follows it."""
        if depth > DEEPEST or _is_left_out(element):
            return
        tag = element.tag
        if tag in HEADINGS:
            self.end()
            self.gathering.add_heading(_seen(element), HEADINGS[tag])
        elif tag == "pre":
            self._add("code", "".join(element.itertext()))
        elif tag == "table" and (rows := _table(element, self.options)):
            self.end()
            for piece in table_pieces(rows):
                self.gathering.add("table", piece)
        elif tag in ("ul", "ol"):
            self._visit_list(element, depth)
        elif tag == "br":
            self._text.append("\n")
        else:
            self._visit_others(element, depth)

    def end(self) -> None:
        """End the paragraph and the list."""
        self._end_text()
        if not self._lists:
            self._end_list()

    def _visit_others(self, element: Any, depth: int) -> None:
        is_block = element.tag not in INLINE
        if element.tag == "img":
            self._text.append(element.get("alt", ""))
        if is_block:
            self._end_text()
        self._visit_inside(element, depth)
        if is_block:
            self._end_text()

    def _visit_inside(self, element: Any, depth: int) -> None:
        self._take(element.text)
        for child in element.iterchildren():
            self.visit(child, depth + 1)
            self._take(child.tail)

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

    def _take(self, text: str | None) -> None:
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
            self.gathering.add("text", text)

    def _end_list(self) -> None:
        self.gathering.add("list", "\n".join(self._items))
        self._items = []

    def _add(self, kind: BlockKind, text: str) -> None:
        self._end_text()
        self._end_list()
        self.gathering.add(kind, text)


def _seen(element: Any, depth: int = 0) -> str:
    """The text in an element that is not left out."""
    pieces = [element.text or ""]
    for child in element.iterchildren():
        if depth < DEEPEST and not _is_left_out(child):
            pieces.append(" " if child.tag == "br" else _seen(child, depth + 1))
        pieces.append(child.tail or "")
    return "".join(pieces)


def _table(table: Any, options: ReadOptions) -> list[list[str]]:
    """The rows of a table of data; none for one that only arranges the page."""
    if table.find(".//table") is not None or table.get("role") in ("presentation", "none"):
        return []
    rows = []
    for row in table.iter("tr"):
        if not _is_left_out(row):
            cells = [cell for cell in row.iterchildren("td", "th") if not _is_left_out(cell)]
            rows.append([" ".join(_seen(cell).split()) for cell in cells[: options.max_columns]])
    return rows if has_cells(rows) else []
