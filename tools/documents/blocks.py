"""What a reader of a format finds in a file: blocks in reading order, which `chunking.py` cuts into passages."""

from dataclasses import dataclass, field
from typing import Literal

BlockKind = Literal["heading", "text", "list", "table", "code"]


@dataclass(frozen=True, slots=True)
class Block:
    """A piece of a document that belongs together. `page` counts from 1 (a slide, a sheet's number); None where the format
    has no pages. `level` is a heading's, from 1. A table's text is Markdown, its first row the head."""

    kind: BlockKind
    text: str
    page: int | None = None
    level: int = 0


@dataclass(frozen=True, slots=True)
class ReadBlocks:
    """A file as its reader understood it. `pages` None: the format has none. `notes`: what was left out, and why, in sentences
    for the person who uploaded it ("Pages 51 to 80 hold only pictures; text was looked for in the first 50.")."""

    blocks: list[Block]
    title: str = ""
    pages: int | None = None
    notes: list[str] = field(default_factory=list)


class Unreadable(Exception):
    """A file that can't be read, with a stable `code` and a sentence for the person who uploaded it.

    empty               nothing in it, or nothing but space
    damaged             truncated, or not what it says it is
    encrypted           needs a password
    unsupported         of a type that is not read here
    mislabelled         its bytes are of another type than its name says
    too_large           more bytes, pages, characters, entries or pixels than are read
    bomb                unpacks to far more than it is
    took_too_long       time ran out
    needs_too_much      memory ran out
    no_text             pictures only, and no text was found in them
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code, self.message = code, message
