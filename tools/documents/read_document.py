"""Reads a file: detects its type, extracts blocks, splits them into chunks, detects the language. Runs in the sandboxed child
process (`fork_server.py`), the only place where hostile bytes are parsed; the parent uses just the structs.

Every error becomes an `Unreadable`; parsers' own messages are dropped, since they may quote the file.
"""

import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import BinaryIO

import msgspec

from tools.documents.blocks import ReadBlocks, Unreadable
from tools.documents.chunking import BLOCK_SEPARATOR, Chunk, ChunkSettings, chunk_blocks
from tools.documents.formats import READERS, ReadOptions, load_reader
from tools.documents.media_types import MediaType, detect

LANGUAGE_SAMPLE = 40_000
"""Characters used for language detection."""

MIN_WORDS = 5
MIN_VIETNAMESE, MIN_ENGLISH = 0.02, 0.08
"""Minimum shares of letters and words. Vietnamese prose has 10 to 20 % of these letters, English 30 % of these words."""

VIETNAMESE = re.compile("[đơưĐƠƯ\u1ea0-\u1ef9]")
_ENGLISH = "the of and to is that for with was are this by from it as be on or have not which were their has"
ENGLISH = frozenset(_ENGLISH.split())
WORD = re.compile(r"[^\W\d_]+")


class ReadDocument(msgspec.Struct, frozen=True, kw_only=True, tag="document"):
    """The content of a file. `language` is vi, en or und (undetermined); `pages` is None for formats without pages;
    `characters` is the length of the text that chunk spans index into; `notes` are for the uploader."""

    media_type: str
    title: str
    language: str
    pages: int | None
    characters: int
    notes: list[str]
    chunks: list[Chunk]


class ReadFailure(msgspec.Struct, frozen=True, tag="refused"):
    """An `Unreadable` as it is sent to the parent."""

    code: str
    message: str


ReadOutcome = ReadDocument | ReadFailure
OUT_OF_MEMORY = ReadFailure("needs_too_much", "Reading the file needs more memory than allowed; split it up.")


def read_to_bytes(file: BinaryIO, name: str, settings: ChunkSettings, options: ReadOptions, max_bytes: int) -> bytes:
    """Read an open file; return the encoded `ReadOutcome`, at most `max_bytes`. Never raises."""
    try:
        packed = msgspec.msgpack.encode(read_document(file, name, settings, options))
    except Unreadable as error:
        return msgspec.msgpack.encode(ReadFailure(error.code, error.message))
    except MemoryError:
        return _OUT_OF_MEMORY_BYTES
    if len(packed) > max_bytes:
        return msgspec.msgpack.encode(ReadFailure("too_large", "The file contains too much text; split it up."))
    return packed


_OUT_OF_MEMORY_BYTES = msgspec.msgpack.encode(OUT_OF_MEMORY)  # encoded up front, while there is memory for it


def read_document(file: BinaryIO, name: str, settings: ChunkSettings, options: ReadOptions) -> ReadDocument:
    """Raises Unreadable, and MemoryError."""
    with _errors_as_unreadable("a document"):
        kind = detect(file, name)
    if kind.name not in READERS:
        raise Unreadable("unsupported", f"A {kind.name} file can't be read as one document; upload the files in it.")
    with _errors_as_unreadable(_type_name(kind)):
        file.seek(0)
        return _build_document(kind, load_reader(kind.name)(file, options), settings)


@contextmanager
def _errors_as_unreadable(as_what: str) -> Iterator[None]:
    """Turn anything that a parser raises into Unreadable."""
    try:
        yield
    except (Unreadable, MemoryError):
        raise
    except RecursionError:
        raise Unreadable("damaged", f"The file can't be read as {as_what}: it is nested too deeply.") from None
    except Exception:  # noqa: BLE001 - the edge of this process; what parsers raise is not known
        raise Unreadable(
            "damaged", f"The file can't be read as {as_what}: it is damaged. Save it again and upload that."
        ) from None


def _type_name(kind: MediaType) -> str:
    return {"text": "text", "image": "an image", "markdown": "Markdown"}.get(kind.name, kind.name.upper())


def _build_document(kind: MediaType, found: ReadBlocks, settings: ChunkSettings) -> ReadDocument:
    chunks = chunk_blocks(found.blocks, settings)
    if not chunks:
        raise Unreadable("empty", "The file contains no text.")
    return ReadDocument(
        media_type=kind.media_type,
        title=found.title,
        language=detect_document_language(block.text for block in found.blocks),
        pages=found.pages,
        characters=sum(len(block.text) for block in found.blocks) + len(BLOCK_SEPARATOR) * (len(found.blocks) - 1),
        notes=found.notes,
        chunks=chunks,
    )


def detect_document_language(texts: Iterable[str]) -> str:
    """`vi`, `en`, or `und` if it is neither or unclear, judged by the first texts."""
    sample, length = [], 0
    for text in texts:
        sample.append(text[: LANGUAGE_SAMPLE - length])
        length += len(sample[-1])
        if length >= LANGUAGE_SAMPLE:
            break
    words = WORD.findall(" ".join(sample))
    letters = sum(map(len, words))
    if len(words) < MIN_WORDS:
        return "und"
    if sum(len(VIETNAMESE.findall(word)) for word in words) >= MIN_VIETNAMESE * letters:
        return "vi"
    common = [word for word in map(str.lower, words) if word in ENGLISH]
    return "en" if len(common) >= MIN_ENGLISH * len(words) and len(set(common)) >= 3 else "und"
