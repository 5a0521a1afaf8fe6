"""The formats that can be read, one file each: `read(file, options) -> ReadBlocks`, or `Unreadable`.

READERS names the module of each `MediaType.name`; `load` imports only that one. They run in a child that can open nothing but
the file it was given (`../reader_pool.py`): no other files, no sockets, bounded memory and time. So a reader writes nothing,
starts nothing, and takes the file as an open one that it can seek in.
"""

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import BinaryIO

from tools.documents.blocks import ReadBlocks


@dataclass(frozen=True, slots=True)
class ReadOptions:
    """How much is read. What goes beyond `max_pages` and `max_characters` is refused; beyond the others it is left out, with
    a note. `ocr_s` is processor time in seconds, for all pictures of a file together."""

    max_pages: int = 2_000
    max_characters: int = 10_000_000
    ocr_pages: int = 40
    ocr_s: float = 120.0
    max_rows: int = 100_000
    max_columns: int = 100


Reader = Callable[[BinaryIO, ReadOptions], ReadBlocks]

READERS = {
    "pdf": "pdf",
    "docx": "word",
    "pptx": "slides",
    "xlsx": "sheets",
    "html": "web_page",
    "markdown": "markdown",
    "text": "plain_text",
    "csv": "delimited",
    "json": "json_data",
    "eml": "mail",
    "image": "image",
}
"""Of each `MediaType.name` but `zip` (whose files are read one by one): the file here that reads it."""


def load(name: str) -> Reader:
    """Return the reader for a `MediaType.name`, with all that it imports (but the models for OCR, which only pictures need).
    To be called before the child is shut in: libraries look into /etc. KeyError for an unknown name."""
    return import_module(f"{__name__}.{READERS[name]}").read
