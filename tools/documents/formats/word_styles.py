"""What the styles and numbering of a DOCX make of a paragraph: heading, title, list item, table-of-contents line."""

import re
from collections import Counter
from typing import Any, NamedTuple

from docx.oxml import parse_xml
from docx.oxml.ns import qn

HEADING = re.compile(r"^heading ?(\d)$", re.IGNORECASE)
TABLE_OF_CONTENTS = re.compile(r"^(toc ?\d|toc heading|table of figures|table of authorities)", re.IGNORECASE)
MAX_STYLE_CHAIN = 12
BODY_OUTLINE_LEVEL = 9


class ListItem(NamedTuple):
    """A list item: its depth, from 0, and its marker ("-", "3.")."""

    depth: int
    mark: str


class Styles:
    """The styles of a document, resolved along their base styles. Counts items of numbered lists as they come."""

    def __init__(self, part: Any) -> None:
        self._styles = {
            style.get(qn("w:styleId")): style for style in _related_root(part, "styles").iter(qn("w:style"))
        }
        numbering = _related_root(part, "numbering")
        self._formats = _list_formats(numbering)
        self._counts: Counter[tuple[str, int]] = Counter()

    def heading_level(self, paragraph: Any) -> int:
        """The level, from 1; 0 if it is not a heading."""
        for properties, name in self._chain(paragraph):
            outline = properties.find(qn("w:outlineLvl")) if properties is not None else None
            if outline is not None and (level := _int_value(outline)) < BODY_OUTLINE_LEVEL:
                return level + 1
            if found := HEADING.match(name):
                return int(found[1]) or 1
        return 0

    def is_title(self, paragraph: Any) -> bool:
        """Whether it has the style for the document's title."""
        return any(name.lower() == "title" for _, name in self._chain(paragraph))

    def is_table_of_contents(self, paragraph: Any) -> bool:
        """Whether it is a line of a table of contents, which repeats headings of the text."""
        return any(TABLE_OF_CONTENTS.match(name) for _, name in self._chain(paragraph))

    def item(self, paragraph: Any) -> ListItem | None:
        """The list item that the paragraph is, or None. Call it once per paragraph: it advances the count."""
        for properties, _ in self._chain(paragraph):
            numbering = properties.find(qn("w:numPr")) if properties is not None else None
            if numbering is None or (found := numbering.find(qn("w:numId"))) is None:
                continue
            if (list_id := found.get(qn("w:val"), "0")) == "0":
                return None  # the style is a list, but this paragraph opts out
            level = numbering.find(qn("w:ilvl"))
            return self._count_item(list_id, min(_int_value(level), 8) if level is not None else 0)
        return None

    def _count_item(self, list_id: str, depth: int) -> ListItem:
        if self._formats.get((list_id, depth), "bullet") in ("bullet", "none"):
            return ListItem(depth, "-")
        self._counts[list_id, depth] += 1
        for deeper in range(depth + 1, 9):
            self._counts.pop((list_id, deeper), None)
        return ListItem(depth, f"{self._counts[list_id, depth]}.")

    def _chain(self, paragraph: Any) -> list[tuple[Any, str]]:
        """The paragraph's own properties, then those of its style and base styles, each with the style's name."""
        properties = paragraph.find(qn("w:pPr"))
        chain, style_id = [(properties, "")], _style_id(properties, "w:pStyle")
        while style_id in self._styles and len(chain) < MAX_STYLE_CHAIN:
            style = self._styles[style_id]
            name = style.find(qn("w:name"))
            chain.append((style.find(qn("w:pPr")), name.get(qn("w:val"), "") if name is not None else style_id))
            style_id = _style_id(style, "w:basedOn")
        return chain


def _style_id(element: Any, tag: str) -> str:
    found = element.find(qn(tag)) if element is not None else None
    return found.get(qn("w:val"), "") if found is not None else ""


def _int_value(element: Any) -> int:
    text = element.get(qn("w:val"), "")
    return int(text) if text.isdecimal() and len(text) < 6 else 0


def _related_root(part: Any, kind: str) -> Any:
    """The XML root of the related part of this kind; an empty element if there is none."""
    for relation in part.rels.values():
        if relation.reltype.rsplit("/", 1)[-1] == kind and not relation.is_external:
            return parse_xml(relation.target_part.blob)
    return parse_xml(b"<none/>")


def _list_formats(numbering: Any) -> dict[tuple[str, int], str]:
    """By list and depth: "bullet", "decimal" …"""
    kinds: dict[str, dict[int, str]] = {}
    for kind in numbering.iter(qn("w:abstractNum")):
        levels = {}
        for level in kind.iter(qn("w:lvl")):
            number_format = level.find(qn("w:numFmt"))
            depth = level.get(qn("w:ilvl"), "0")
            levels[int(depth) if depth.isdecimal() else 0] = (
                number_format.get(qn("w:val"), "bullet") if number_format is not None else "decimal"
            )
        kinds[kind.get(qn("w:abstractNumId"), "")] = levels
    formats = {}
    for instance in numbering.iter(qn("w:num")):
        abstract = instance.find(qn("w:abstractNumId"))
        for depth, number_format in kinds.get(
            abstract.get(qn("w:val"), "") if abstract is not None else "", {}
        ).items():
            formats[instance.get(qn("w:numId"), ""), depth] = number_format
    return formats
