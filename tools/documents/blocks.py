"""What a reader of a format finds in a file: blocks in reading order, which `chunking.py` cuts into passages."""

from dataclasses import dataclass, field
from typing import Literal

BlockKind = Literal["heading", "text", "list", "table", "code"]


@dataclass(frozen=True, slots=True)
class Block:
    """A piece of a document that belongs together. `page` counts from 1 (a slide, a sheet's number); None where the format
    has no pages. `level` is a heading's, from 1. A table's text is Markdown with a header row."""

    kind: BlockKind
    text: str
    page: int | None = None
    level: int = 0


@dataclass(frozen=True, slots=True)
class ReadBlocks:
    """The content of a file. `pages` is None for formats without pages. `notes` tell the uploader what was left out and why
    ("Pages 51 to 80 contain only images; only the first 50 were searched for text.")."""

    blocks: list[Block]
    title: str = ""
    pages: int | None = None
    notes: list[str] = field(default_factory=list)


class Unreadable(Exception):
    """A file that can't be read, with a stable `code` and a sentence for the person who uploaded it.

    empty               no content, or only whitespace
    damaged             truncated, or not what it says it is
    encrypted           needs a password
    unsupported         of a type that is not supported
    mislabelled         its content is not of the type that its name says
    too_large           too many bytes, pages, characters, entries or pixels
    bomb                unpacks to many times its size
    took_too_long       time ran out
    needs_too_much      memory ran out
    no_text             only images, and no text was found in them
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code, self.message = code, message
