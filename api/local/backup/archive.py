"""The file of a backup: a tar with `database.dump`, `files/{tenant}/{id}`, and at its end `manifest.json` with its checksum.

What is in the tar is hashed while it is written, and the manifest, which has the sum, comes last: a file that was cut off has
none. Sizes are not known before, so each header is written again when its content is there.
"""

import contextlib
import hashlib
import re
import tarfile
import time
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import IO, Any

import msgspec

from api.local.errors import LocalError
from schema.installation.contents import Contents
from workers.storage.contract import NAME

FORMAT = 1
DATABASE, MANIFEST, MANIFEST_SUM, FILES = "database.dump", "manifest.json", "manifest.sha256", "files/"
KNOWN = re.compile(rf"{re.escape(DATABASE)}|{re.escape(MANIFEST)}|{re.escape(MANIFEST_SUM)}|{FILES}{NAME.pattern}")
MAX_MANIFEST_BYTES = 1_000_000
CHUNK_BYTES = 1 << 20


class StoredFiles(msgspec.Struct, frozen=True):
    """The files of documents: whether they are in the backup, how many, and where they were."""

    included: bool
    where: str
    number: int
    bytes: int


class Manifest(msgspec.Struct, frozen=True):
    """What a backup holds; `programs` is the major version of the pg_dump that made it, `sum` of all that comes before.
    `keys` are the ids of the keys that were at hand, whether or not a secret was sealed; older backups don't have them."""

    format: int
    made_at: str
    database: Contents
    programs: int
    files: StoredFiles
    sum: str
    keys: tuple[str, ...] = ()


class BackupWriter:
    """Writes the tar to a file that can seek; `sum` is of what was written so far."""

    def __init__(self, out: IO[bytes]) -> None:
        self._out, self._sum = out, hashlib.sha256()

    @property
    def sum(self) -> str:
        return self._sum.hexdigest()

    @contextlib.contextmanager
    def member(self, name: str) -> Iterator[Callable[[bytes], Any]]:
        """A member of the tar; what is yielded writes to it, piece by piece."""
        header_at, digest, size = self._out.tell(), hashlib.sha256(), 0

        def write(piece: bytes) -> None:
            nonlocal size
            digest.update(piece)
            size += self._out.write(piece)

        self._out.write(_header(name, 0))
        yield write
        self._out.write(bytes(-size % tarfile.BLOCKSIZE))
        end = self._out.tell()
        self._out.seek(header_at)
        self._out.write(_header(name, size))
        self._out.seek(end)
        self._sum.update(_line(name, size, digest))

    def finish(self, manifest: Manifest) -> None:
        """Write the last members and the end of the tar."""
        text = msgspec.json.format(msgspec.json.encode(manifest), indent=1)
        for name, content in ((MANIFEST, text), (MANIFEST_SUM, hashlib.sha256(text).hexdigest().encode())):
            with self.member(name) as write:
                write(content)
        self._out.write(bytes(2 * tarfile.BLOCKSIZE))


class Backup:
    """A backup that was read to its end and is whole."""

    def __init__(self, path: Path, manifest: Manifest) -> None:
        self.path, self.manifest = path, manifest

    @classmethod
    def open(cls, path: Path) -> "Backup":
        """Read all of the file. Raises LocalError that says what is wrong with it."""
        total, texts = hashlib.sha256(), dict[str, bytes]()
        for name, size, pieces in _members(path):
            digest, kept = hashlib.sha256(), b""
            for piece in pieces:
                digest.update(piece)
                if name in (MANIFEST, MANIFEST_SUM) and size <= MAX_MANIFEST_BYTES:
                    kept += piece
            if name in (MANIFEST, MANIFEST_SUM):
                texts[name] = kept
            else:
                total.update(_line(name, size, digest))
        return cls(path, _checked_manifest(path, texts, total.hexdigest()))

    def database(self) -> Iterator[bytes]:
        """The dump, piece by piece."""
        _, _, pieces = next(members := _members(self.path))
        yield from pieces
        members.close()

    def files(self) -> Iterator[tuple[str, Iterator[bytes]]]:
        """Each stored file by its name in the storage; read it before the next."""
        for name, _, pieces in _members(self.path):
            if name.startswith(FILES):
                yield name.removeprefix(FILES), pieces


def _checked_manifest(path: Path, texts: dict[str, bytes], total: str) -> Manifest:
    if set(texts) != {MANIFEST, MANIFEST_SUM}:
        raise LocalError(f"{path} is not whole: its end is missing. Nothing was changed; use another backup.")
    if hashlib.sha256(texts[MANIFEST]).hexdigest().encode() != texts[MANIFEST_SUM]:
        raise _damaged(path)
    try:
        manifest = msgspec.json.decode(texts[MANIFEST], type=Manifest)
    except msgspec.ValidationError as error:
        raise LocalError(
            f"{path} was made by another version of headrace, and this one can't read it ({error})."
        ) from None
    if manifest.format != FORMAT:
        raise LocalError(
            f"{path} has the format {manifest.format}, and this headrace reads {FORMAT}. Use a newer headrace."
        )
    if manifest.sum != total:
        raise _damaged(path)
    return manifest


def _members(path: Path) -> Generator[tuple[str, int, Iterator[bytes]]]:
    """The name, size and content of each member. Raises LocalError for what is no backup of ours, or a damaged one.

    Not by TarFile, which keeps every member in memory: there may be a million.
    """
    try:
        with path.open("rb") as file:
            while any(header := file.read(tarfile.BLOCKSIZE)):
                name, size = _read_header(path, header, first=file.tell() == tarfile.BLOCKSIZE)
                after = file.tell() + size + -size % tarfile.BLOCKSIZE
                yield name, size, _pieces(path, file, size)
                file.seek(after)
    except OSError as error:
        raise LocalError(f"{path} can't be read ({error.strerror or error}).") from error


def _read_header(path: Path, header: bytes, *, first: bool) -> tuple[str, int]:
    try:
        entry = tarfile.TarInfo.frombuf(header, "utf-8", "replace")
    except tarfile.HeaderError:
        entry = tarfile.TarInfo()
    if entry.isreg() and KNOWN.fullmatch(entry.name) and entry.size >= 0 and (not first or entry.name == DATABASE):
        return entry.name, entry.size
    if first:
        raise LocalError(f"{path} is not a backup that ./headrace backup made. Nothing was changed.")
    raise _damaged(path)


def _pieces(path: Path, file: IO[bytes], size: int) -> Iterator[bytes]:
    while size:
        piece = file.read(min(size, CHUNK_BYTES))
        if not piece:
            raise _damaged(path)
        size -= len(piece)
        yield piece


def _damaged(path: Path) -> LocalError:
    return LocalError(f"{path} is damaged or was cut off. Nothing was changed; use another backup.")


def _header(name: str, size: int) -> bytes:
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode, entry.mtime = size, 0o600, int(time.time())
    return entry.tobuf(tarfile.GNU_FORMAT)


def _line(name: str, size: int, digest: Any) -> bytes:
    return f"{name} {size} {digest.hexdigest()}\n".encode()
