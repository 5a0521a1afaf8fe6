"""The documents of a path: JSON files, JSON Lines, zips of them, and Open WebUI's database, each told by its content."""

import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Any

import msgspec

from api.imports import open_webui_database
from api.imports.conversations import Unknown

MAX_BYTES = 1_000_000_000
SUFFIXES = (".json", ".jsonl", ".zip", ".db")
BROKEN_ZIP = (zipfile.BadZipFile, zlib.error, RuntimeError, NotImplementedError, EOFError)  # as zipfile raises them
UNREADABLE = (Unknown, OSError, msgspec.DecodeError, UnicodeDecodeError, RecursionError)


@dataclass(frozen=True)
class Document:
    """What a file holds. `place` names it for people, `folder` is what it lies in, and `name` is the id of a conversation that
    has none; it is `packed` in a zip. `content` is what was decoded, or why that can't be."""

    place: str
    folder: str
    name: str
    content: Any
    packed: bool = False


def list_files(path: Path) -> list[Path]:
    """Return the file, or those in a folder and below that may hold something."""
    if not path.is_dir():
        return [path]
    return sorted(each for each in path.rglob("*") if each.suffix.lower() in SUFFIXES and each.is_file())


def read_documents(file: Path, name: str) -> Iterator[Document]:
    """Yield what a file holds: one document, or those of a zip."""
    try:
        with file.open("rb") as source:
            start = source.read(len(open_webui_database.MAGIC))
            source.seek(0)
            if start.startswith(b"PK"):
                yield from _packed(file, source, name)
                return
            database = start == open_webui_database.MAGIC
            content = (
                open_webui_database.read_chats(file) if database else _decoded(_all_of(source, file.stat().st_size))
            )
    except UNREADABLE as error:
        content = error
    yield Document(str(file), str(file.parent), name, content)


def _packed(file: Path, source: IO[bytes], name: str) -> Iterator[Document]:
    """Yield the JSON files of a zip; all of them together may be as large as one file."""
    try:
        with zipfile.ZipFile(source) as packed:
            members = [each for each in packed.infolist() if each.filename.lower().endswith((".json", ".jsonl"))]
            if sum(each.file_size for each in members) > MAX_BYTES:
                raise _too_large()
            for member in members:
                inner = PurePosixPath(member.filename)
                with packed.open(member) as content:
                    yield Document(
                        f"{file}: {inner}",
                        f"{file}/{inner.parent}",
                        inner.with_suffix("").as_posix(),
                        _tried(_all_of(content, member.file_size)),
                        packed=True,
                    )
    except BROKEN_ZIP as error:
        yield Document(str(file), str(file), name, Unknown(f"it is no zip that can be read ({error})"))


def _all_of(source: IO[bytes], size: int) -> bytes:
    if size > MAX_BYTES:
        raise _too_large()
    return source.read()


def _too_large() -> Unknown:
    return Unknown(f"it is larger than {MAX_BYTES / 1e6:,.0f} MB; split it")


def _tried(data: bytes) -> Any:
    try:
        return _decoded(data)
    except UNREADABLE as error:
        return error


def _decoded(data: bytes) -> Any:
    """Return a JSON document, or the list of those that stand on lines of their own."""
    try:
        return msgspec.json.decode(data)
    except msgspec.DecodeError:
        if lines := _lines(data):
            return lines
        raise


def _lines(data: bytes) -> list[Any]:
    try:
        return msgspec.json.Decoder().decode_lines(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return []
