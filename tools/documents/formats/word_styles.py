"""What the styles and lists of a DOCX say of a paragraph: heading, title, item of a list, line of a table of contents."""

import re
from collections import Counter
from typing import Any, NamedTuple

from docx.oxml import parse_xml
from docx.oxml.ns import qn

HEADING = re.compile(r"^heading ?(\d)$", re.IGNORECASE)
CONTENTS = re.compile(r"^(toc ?\d|toc heading|table of figures|table of authorities)", re.IGNORECASE)
LONGEST_CHAIN = 12
BODY_LEVEL = 9


class Item(NamedTuple):
    """An item of a list: how deep it stands, from 0, and its mark ("-", "3.")."""

    depth: int
    mark: str


class Styles:
    """The styles of a document, followed along what they are based on. Counts the items of numbered lists as they come."""

    def __init__(self, part: Any) -> None:
        self._styles = {style.get(qn("w:styleId")): style for style in _related(part, "styles").iter(qn("w:style"))}
        numbering = _related(part, "numbering")
        self._formats = _list_formats(numbering)
        self._counts: Counter[tuple[str, int]] = Counter()

    def heading_level(self, paragraph: Any) -> int:
        """From 1; 0 for what is no heading."""
        for properties, name in self._chain(paragraph):
            outline = properties.find(qn("w:outlineLvl")) if properties is not None else None
            if outline is not None and (level := _number(outline)) < BODY_LEVEL:
                return level + 1
            if found := HEADING.match(name):
                return int(found[1]) or 1
        return 0

    def is_title(self, paragraph: Any) -> bool:
        """Whether it has the style for the document's title."""
        return any(name.lower() == "title" for _, name in self._chain(paragraph))

    def is_contents(self, paragraph: Any) -> bool:
        """Whether it is a line of a table of contents: its headings stand in the text as well."""
        return any(CONTENTS.match(name) for _, name in self._chain(paragraph))

    def item(self, paragraph: Any) -> Item | None:
        """The place in a list, or None. To be asked once for each paragraph: it counts."""
        for properties, _ in self._chain(paragraph):
            numbering = properties.find(qn("w:numPr")) if properties is not None else None
            if numbering is None or (found := numbering.find(qn("w:numId"))) is None:
                continue
            if (list_id := found.get(qn("w:val"), "0")) == "0":
                return None  # the style has a list, and this paragraph not
            level = numbering.find(qn("w:ilvl"))
            return self._counted(list_id, min(_number(level), 8) if level is not None else 0)
        return None

    def _counted(self, list_id: str, depth: int) -> Item:
        if self._formats.get((list_id, depth), "bullet") in ("bullet", "none"):
            return Item(depth, "-")
        self._counts[list_id, depth] += 1
        for deeper in range(depth + 1, 9):
            self._counts.pop((list_id, deeper), None)
        return Item(depth, f"{self._counts[list_id, depth]}.")

    def _chain(self, paragraph: Any) -> list[tuple[Any, str]]:
        """The paragraph's own properties, then those of its style and of what that is based on, each with the style's name."""
        own = paragraph.find(qn("w:pPr"))
        chain, style_id = [(own, "")], _style_of(own, "w:pStyle")
        while style_id in self._styles and len(chain) < LONGEST_CHAIN:
            style = self._styles[style_id]
            name = style.find(qn("w:name"))
            chain.append((style.find(qn("w:pPr")), name.get(qn("w:val"), "") if name is not None else style_id))
            style_id = _style_of(style, "w:basedOn")
        return chain


def _style_of(element: Any, tag: str) -> str:
    found = element.find(qn(tag)) if element is not None else None
    return found.get(qn("w:val"), "") if found is not None else ""


def _number(element: Any) -> int:
    said = element.get(qn("w:val"), "")
    return int(said) if said.isdecimal() and len(said) < 6 else 0


def _related(part: Any, kind: str) -> Any:
    """The root of the part that is related so; an empty one where there is none."""
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
            form = level.find(qn("w:numFmt"))
            depth = level.get(qn("w:ilvl"), "0")
            levels[int(depth) if depth.isdecimal() else 0] = (
                form.get(qn("w:val"), "bullet") if form is not None else "decimal"
            )
        kinds[kind.get(qn("w:abstractNumId"), "")] = levels
    formats = {}
    for one in numbering.iter(qn("w:num")):
        of = one.find(qn("w:abstractNumId"))
        for depth, form in kinds.get(of.get(qn("w:val"), "") if of is not None else "", {}).items():
            formats[one.get(qn("w:numId"), ""), depth] = form
    return formats
