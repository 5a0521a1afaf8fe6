"""What of a batch becomes a document: of a type that is read, by its bytes; zips unpacked; each name once.

A file that can't be taken is refused by itself, with its code and sentence, and the others go on.
"""

import asyncio
import hashlib
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from api.documents.upload.batch import TOO_LARGE, Batch, ReceivedFile
from tools.documents.blocks import Unreadable
from tools.documents.display_names import clean_name
from tools.documents.media_types import detect
from tools.documents.zips import Unpacked, ZipLimits, unpack

MAX_NAME = 300
DUPLICATE = "duplicate_name"
PIECE = 1 << 20


@dataclass(frozen=True)
class CheckedFile:
    """A file that becomes a document."""

    name: str
    path: Path
    size: int
    sha256: bytes
    media_type: str
    source_url: str | None = None


@dataclass
class UploadClassifier:
    """Takes what a batch has received, as often as something was. `files` are those that may be read; `name` is what a single
    file is to be called."""

    batch: Batch
    name: str | None = None
    files: list[CheckedFile] = field(default_factory=list)
    _known: dict[str, bytes] = field(default_factory=dict)

    async def take(self) -> None:
        """Look at all files that are new. Raises StorageFull when what zips hold is too much."""
        files, self.batch.received = self.batch.received, []
        await asyncio.to_thread(self._take, files)

    def _take(self, files: list[ReceivedFile]) -> None:
        for file in files:
            name = document_name(self.name or file.name)
            try:
                self._look(file, name)
            except Unreadable as error:
                self._drop(file, name, error)

    def _look(self, file: ReceivedFile, name: str) -> None:
        with file.path.open("rb") as opened:
            kind = detect(opened, name)
        if kind.name != "zip":
            self._add(CheckedFile(name, file.path, file.size, file.sha256, kind.media_type, file.source_url))
            return
        members = self._unpacked(file)
        self.batch.hold(-file.size)
        file.path.unlink()
        for member in members:
            self._look_into(member, file.source_url)

    def _unpacked(self, file: ReceivedFile) -> list[Unpacked]:
        """Return all that is in a zip. Raises Unreadable for the whole of it."""
        into = self.batch.new_path()
        into.mkdir()
        room_for = self.batch.limits.max_files - len(self.files)
        with file.path.open("rb") as opened:
            members = list(unpack(opened, into, ZipLimits()))
        if not members:
            raise Unreadable("empty", "The archive is empty.")
        if len(members) > room_for:
            raise Unreadable(
                TOO_LARGE, f"With this archive, the upload has more than {self.batch.limits.max_files:,} files."
            )
        return members

    def _look_into(self, member: Unpacked, source_url: str | None) -> None:
        name = document_name(member.name)
        if member.path is None:
            refusal = member.refusal or Unreadable("damaged", "The file could not be unpacked.")
            self.batch.refuse(name, refusal.code, refusal.message)
            return
        if member.size > self.batch.limits.max_file:
            self.batch.refuse(name, TOO_LARGE, self.batch.limits.too_large())
            return
        self.batch.hold(member.size)
        file = ReceivedFile(name, member.path, member.size, _hashed(member.path), source_url)
        try:
            with file.path.open("rb") as opened:
                kind = detect(opened, name)
        except Unreadable as error:
            self._drop(file, name, error)
            return
        self._add(CheckedFile(name, file.path, file.size, file.sha256, kind.media_type, source_url))

    def _add(self, file: CheckedFile) -> None:
        """Add a file unless one of its name is there: the same bytes are one document, others are refused."""
        if file.name not in self._known:
            self._known[file.name] = file.sha256
            self.files.append(file)
            return
        self.batch.hold(-file.size)
        if self._known[file.name] != file.sha256:
            said = "Two files of this upload have this name; only the first was accepted. Rename the other and upload it again."
            self.batch.refuse(file.name, DUPLICATE, said)

    def _drop(self, file: ReceivedFile, name: str, error: Unreadable) -> None:
        self.batch.hold(-file.size)
        self.batch.refuse(name, error.code, error.message)


def document_name(name: str) -> str:
    """Return a name to show: without drive, folders upwards and characters that steer; 300 characters at most, its extension
    kept. Never used as a path."""
    spaced = "".join(" " if letter in "\u2028\u2029\x85" else letter for letter in name)
    cleaned = clean_name(spaced)
    folder, stroke, rest = cleaned.partition("/")
    if len(folder) == 2 and folder[1] == ":" and stroke:
        cleaned = rest
    elif cleaned[1:2] == ":" and cleaned[2:]:
        cleaned = cleaned[2:]
    if len(cleaned) <= MAX_NAME:
        return cleaned
    extension = PurePosixPath(cleaned).suffix[:20]
    return cleaned[: MAX_NAME - len(extension)].rstrip() + extension


def _hashed(path: Path) -> bytes:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(PIECE):
            digest.update(piece)
    return digest.digest()
