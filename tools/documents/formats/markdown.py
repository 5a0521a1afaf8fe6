"""Markdown, with markdown-it: headings, lists, tables, code; text without its markup."""

import re
from typing import BinaryIO

from markdown_it import MarkdownIt
from markdown_it.token import Token

from tools.documents.block_collector import BlockCollector
from tools.documents.blocks import ReadBlocks
from tools.documents.cleaning import normalize_text
from tools.documents.formats import ReadOptions
from tools.documents.formats.plain_text import read_text
from tools.documents.formats.web_page import add_page
from tools.documents.tables import markdown_tables

FRONT_MATTER = re.compile(r"\A\ufeff?(---|\+\+\+)[ \t]*\n(.*?)\n(?:\1|\.\.\.)[ \t]*(?:\n|\Z)", re.DOTALL)
MAX_FRONT_MATTER = 20_000
TITLE = re.compile(r"^title\s*[:=]\s*(.+)$", re.MULTILINE | re.IGNORECASE)


def read(file: BinaryIO, options: ReadOptions) -> ReadBlocks:
    """Raises Unreadable: empty, too_large. The title is the front matter's, or the first level-1 heading."""
    collector = BlockCollector(options.max_characters)
    text = normalize_text(read_text(file, options, collector))
    title = ""
    if front := FRONT_MATTER.match(text[:MAX_FRONT_MATTER]):
        found = TITLE.search(front[2])
        title, text = found[1].strip().strip("\"'") if found else "", text[front.end() :]
    reader = _TokenReader(collector, options)
    for token in MarkdownIt("commonmark").enable("table").parse(text):
        reader.read(token)
    return collector.finish(title or reader.title)


def _inline_text(token: Token) -> str:
    """The text without markup: the text of links, the alt text of images."""
    pieces = []
    for child in token.children or []:
        if child.type == "softbreak":  # a line wrap, not a line break
            pieces.append(" ")
        elif child.type == "hardbreak":
            pieces.append("\n")
        elif child.type in ("text", "code_inline", "text_special"):
            pieces.append(child.content)
        elif child.type == "image":
            pieces.append(_inline_text(child))
        elif child.type == "html_inline" and child.content.lower().startswith("<br"):
            pieces.append("\n")
    return "".join(pieces)


class _TokenReader:
    """Turns the parser's tokens into blocks; tracks list nesting and collects table rows."""

    def __init__(self, collector: BlockCollector, options: ReadOptions) -> None:
        self.collector, self.options = collector, options
        self.title = ""
        self._level = 0
        self._lists: list[int] = []  # for each open list, the number of its next item; 0 if unnumbered
        self._items: list[str] = []
        self._mark = ""
        self._rows: list[list[str]] | None = None

    def read(self, token: Token) -> None:
        """Handle one token; tokens that only group others are skipped."""
        if token.type == "inline":
            self._read_inline(_inline_text(token))
        elif token.type == "heading_open":
            self._level = int(token.tag[1])
        elif token.type in ("fence", "code_block"):
            self._end_items()
            self.collector.add("code", token.content)
        elif token.type == "html_block":
            self._end_items()
            add_page(token.content, self.collector, self.options)
        else:
            self._read_list(token)
            self._read_table(token)

    def _read_inline(self, text: str) -> None:
        if self._rows is not None:
            self._rows[-1].append(text)
        elif self._level:
            self._end_items()
            self.title = self.title or (text if self._level == 1 else "")
            self.collector.add_heading(text, self._level)
            self._level = 0
        elif self._lists:
            indent = "  " * (len(self._lists) - 1)
            self._items.append(f"{indent}{self._mark or ' '} {' '.join(text.split())}")
            self._mark = ""
        else:
            self.collector.add("text", text)

    def _read_list(self, token: Token) -> None:
        if token.type == "bullet_list_open":
            self._lists.append(0)
        elif token.type == "ordered_list_open":
            self._lists.append(int(token.attrs.get("start", 1)))
        elif token.type in ("bullet_list_close", "ordered_list_close"):
            self._lists.pop()
            if not self._lists:
                self._end_items()
        elif token.type == "list_item_open":
            self._mark = f"{token.info or self._lists[-1]}." if self._lists[-1] or token.markup in (".", ")") else "-"

    def _read_table(self, token: Token) -> None:
        if token.type == "table_open":
            self._end_items()
            self._rows = []
        elif token.type == "tr_open" and self._rows is not None:
            self._rows.append([])
        elif token.type == "table_close" and self._rows is not None:
            for piece in markdown_tables([row[: self.options.max_columns] for row in self._rows]):
                self.collector.add("table", piece)
            self._rows = None

    def _end_items(self) -> None:
        self.collector.add("list", "\n".join(self._items))
        self._items = []
