"""One module per supported format, each with `read(file, options) -> ReadBlocks`, which may raise `Unreadable`.

READERS maps each `MediaType.name` to its module; `load_reader` imports only that one. Readers run in a sandboxed child process
(`../fork_server.py`) with no other files, no sockets, and limited memory and time. So a reader writes nothing, starts nothing,
and is given a file that is open already and seekable.
"""

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import BinaryIO

from tools.documents.blocks import ReadBlocks


@dataclass(frozen=True, slots=True)
class ReadOptions:
    """How much is read. A file beyond `max_pages` or `max_characters` is refused; whatever exceeds the other limits is left out
    and noted. `ocr_s` is CPU time in seconds, for all images of a file together."""

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
"""The module here that reads each `MediaType.name`, except `zip`, whose files are read one by one."""


def load_reader(name: str) -> Reader:
    """Return the reader for a `MediaType.name`, with its imports done, except for the OCR models, which only images need.
    Call it before entering the sandbox: libraries read files in /etc. Raises KeyError for an unknown name."""
    return import_module(f"{__name__}.{READERS[name]}").read
