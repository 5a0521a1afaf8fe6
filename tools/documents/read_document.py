"""What a file becomes: its type, its blocks, its passages, its language. Runs in the grandchild (`nursery.py`), where hostile
bytes may be touched; the parent only knows the structs.

Whatever goes wrong is an `Unreadable`; what a parser says of an error stays here, for it may quote the file.
"""

import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import BinaryIO

import msgspec

from tools.documents.blocks import ReadBlocks, Unreadable
from tools.documents.chunking import BETWEEN, Chunk, ChunkSettings, cut
from tools.documents.formats import READERS, ReadOptions, load
from tools.documents.media_types import MediaType, detect

SAMPLE = 40_000
"""Characters that the language is judged by."""

MIN_WORDS = 5
MIN_VIETNAMESE, MIN_ENGLISH = 0.02, 0.08
"""Shares, of the letters and of the words. Vietnamese prose has 10 to 20 % of such letters, English 30 % of such words."""

VIETNAMESE = re.compile("[đơưĐƠƯ\u1ea0-\u1ef9]")
_ENGLISH = "the of and to is that for with was are this by from it as be on or have not which were their has"
ENGLISH = frozenset(_ENGLISH.split())
WORD = re.compile(r"[^\W\d_]+")


class ReadDocument(msgspec.Struct, frozen=True, kw_only=True, tag="document"):
    """A file as it was read. `media_type` is the web's word; `language` is vi, en or und (not determined); `pages` is None
    where the format has none; `characters` counts the text that the chunks' spans are in; `notes` are for the uploader."""

    media_type: str
    title: str
    language: str
    pages: int | None
    characters: int
    notes: list[str]
    chunks: list[Chunk]


class Refused(msgspec.Struct, frozen=True, tag="refused"):
    """An `Unreadable` on its way to the parent."""

    code: str
    message: str


Answer = ReadDocument | Refused
TOO_MUCH = Refused("needs_too_much", "Reading the file needs more memory than it may have; split it up.")


def answer(file: BinaryIO, name: str, settings: ChunkSettings, options: ReadOptions, max_bytes: int) -> bytes:
    """The packed `Answer` for an open file, never more than `max_bytes`. Raises nothing."""
    try:
        packed = msgspec.msgpack.encode(read_document(file, name, settings, options))
    except Unreadable as error:
        return msgspec.msgpack.encode(Refused(error.code, error.message))
    except MemoryError:
        return _TOO_MUCH_PACKED
    if len(packed) > max_bytes:
        return msgspec.msgpack.encode(Refused("too_large", "The file holds too much text; split it up."))
    return packed


_TOO_MUCH_PACKED = msgspec.msgpack.encode(TOO_MUCH)  # before there is no memory left for it


def read_document(file: BinaryIO, name: str, settings: ChunkSettings, options: ReadOptions) -> ReadDocument:
    """Raises Unreadable, and MemoryError."""
    with _only_unreadable("a document"):
        kind = detect(file, name)
    if kind.name not in READERS:
        raise Unreadable("unsupported", f"A {kind.name} file is not read as one document; upload the files in it.")
    with _only_unreadable(_spoken(kind)):
        file.seek(0)
        return _document(kind, load(kind.name)(file, options), settings)


@contextmanager
def _only_unreadable(as_what: str) -> Iterator[None]:
    """Parsers raise whatever they like; all of it means that the file can't be read."""
    try:
        yield
    except (Unreadable, MemoryError):
        raise
    except RecursionError:
        raise Unreadable("damaged", f"The file can't be read as {as_what}: it is nested too deep.") from None
    except Exception:  # noqa: BLE001 - the edge of this process; what parsers raise is not known
        raise Unreadable(
            "damaged", f"The file can't be read as {as_what}: it is damaged. Save it again and upload that."
        ) from None


def _spoken(kind: MediaType) -> str:
    return {"text": "text", "image": "an image", "markdown": "Markdown"}.get(kind.name, kind.name.upper())


def _document(kind: MediaType, found: ReadBlocks, settings: ChunkSettings) -> ReadDocument:
    chunks = cut(found.blocks, settings)
    if not chunks:
        raise Unreadable("empty", "There is no text in the file.")
    return ReadDocument(
        media_type=kind.media_type,
        title=found.title,
        language=language_of(block.text for block in found.blocks),
        pages=found.pages,
        characters=sum(len(block.text) for block in found.blocks) + len(BETWEEN) * (len(found.blocks) - 1),
        notes=found.notes,
        chunks=chunks,
    )


def language_of(texts: Iterable[str]) -> str:
    """`vi`, `en`, or `und` where it is neither or can't be told, judged by the first texts."""
    sample, length = [], 0
    for text in texts:
        sample.append(text[: SAMPLE - length])
        length += len(sample[-1])
        if length >= SAMPLE:
            break
    words = WORD.findall(" ".join(sample))
    letters = sum(map(len, words))
    if len(words) < MIN_WORDS:
        return "und"
    if sum(len(VIETNAMESE.findall(word)) for word in words) >= MIN_VIETNAMESE * letters:
        return "vi"
    common = [word for word in map(str.lower, words) if word in ENGLISH]
    return "en" if len(common) >= MIN_ENGLISH * len(words) and len(set(common)) >= 3 else "und"
