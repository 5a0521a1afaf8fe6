"""Decides which files of a batch become documents: supported media types, detected by content; zips are unpacked; names are
unique.

A file that can't be accepted is refused on its own, with a code and a message; the others go on.
"""

import asyncio
import hashlib
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from tools.documents.blocks import Unreadable
from tools.documents.display_names import clean_name
from tools.documents.media_types import detect
from tools.documents.zips import Unpacked, ZipLimits, unpack
from workers.storage.private_files import FOLDER_MODE
from workers.uploads.batch import TOO_LARGE, Batch, ReceivedFile

MAX_NAME = 300
DUPLICATE = "duplicate_name"
CHUNK_BYTES = 1 << 20


@dataclass(frozen=True)
class CheckedFile:
    """A file that becomes a document."""

    name: str
    path: Path
    size: int
    sha256: bytes
    media_type: str
    source_url: str | None = None
    source_etag: str | None = None


@dataclass
class UploadClassifier:
    """Classifies the files that a batch has received. `files` are the accepted ones; `name` overrides the name of a single
    file."""

    batch: Batch
    name: str | None = None
    files: list[CheckedFile] = field(default_factory=list)
    _hash_by_name: dict[str, bytes] = field(default_factory=dict)

    async def classify_new(self) -> None:
        """Classify the files received since the last call. Raises StorageFull if unpacked zips exceed the tenant's storage."""
        files, self.batch.received = self.batch.received, []
        await asyncio.to_thread(self._classify_files, files)

    def _classify_files(self, files: list[ReceivedFile]) -> None:
        for file in files:
            name = document_name(self.name or file.name)
            try:
                self._classify(file, name)
            except Unreadable as error:
                self._refuse(file, name, error)

    def _classify(self, file: ReceivedFile, name: str) -> None:
        with file.path.open("rb") as opened:
            kind = detect(opened, name)
        if kind.name != "zip":
            source = (file.source_url, file.source_etag)
            self._add(CheckedFile(name, file.path, file.size, file.sha256, kind.media_type, *source))
            return
        members = self._unpack(file)
        self.batch.count_stored(-file.size)
        file.path.unlink()
        for member in members:
            self._classify_member(member, file.source_url)

    def _unpack(self, file: ReceivedFile) -> list[Unpacked]:
        """Unpack a zip. Raises Unreadable if the archive is refused as a whole."""
        folder = self.batch.new_path()
        folder.mkdir(mode=FOLDER_MODE)
        max_members = self.batch.limits.max_files - len(self.files)
        with file.path.open("rb") as opened:
            members = list(unpack(opened, folder, ZipLimits()))
        if not members:
            raise Unreadable("empty", "The archive is empty.")
        if len(members) > max_members:
            raise Unreadable(
                TOO_LARGE, f"With this archive, the upload has more than {self.batch.limits.max_files:,} files."
            )
        return members

    def _classify_member(self, member: Unpacked, source_url: str | None) -> None:
        name = document_name(member.name)
        if member.path is None:
            unreadable = member.refusal or Unreadable("damaged", "The file could not be unpacked.")
            self.batch.refuse(name, unreadable.code, unreadable.message)
            return
        if member.size > self.batch.limits.max_file:
            self.batch.refuse(name, TOO_LARGE, self.batch.limits.too_large())
            return
        self.batch.count_stored(member.size)
        file = ReceivedFile(name, member.path, member.size, _hash_file(member.path), source_url)
        try:
            with file.path.open("rb") as opened:
                kind = detect(opened, name)
        except Unreadable as error:
            self._refuse(file, name, error)
            return
        self._add(CheckedFile(name, file.path, file.size, file.sha256, kind.media_type, source_url))

    def _add(self, file: CheckedFile) -> None:
        """Add a file, unless one with its name was added: identical bytes are dropped, others refused."""
        if file.name not in self._hash_by_name:
            self._hash_by_name[file.name] = file.sha256
            self.files.append(file)
            return
        self.batch.count_stored(-file.size)
        if self._hash_by_name[file.name] != file.sha256:
            self.batch.refuse(
                file.name,
                DUPLICATE,
                "Two files of this upload have this name; only the first was accepted. Rename the other and upload it again.",
            )

    def _refuse(self, file: ReceivedFile, name: str, error: Unreadable) -> None:
        self.batch.count_stored(-file.size)
        self.batch.refuse(name, error.code, error.message)


def document_name(name: str) -> str:
    """Return a display name: no drive, no parent folders, no control characters, at most 300 characters with the extension
    kept. It is never used as a path."""
    with_spaces = "".join(" " if letter in "\u2028\u2029\x85" else letter for letter in name)
    cleaned = clean_name(with_spaces)
    folder, slash, rest = cleaned.partition("/")
    if len(folder) == 2 and folder[1] == ":" and slash:
        cleaned = rest
    elif cleaned[1:2] == ":" and cleaned[2:]:
        cleaned = cleaned[2:]
    if len(cleaned) <= MAX_NAME:
        return cleaned
    extension = PurePosixPath(cleaned).suffix[:20]
    return cleaned[: MAX_NAME - len(extension)].rstrip() + extension


def _hash_file(path: Path) -> bytes:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            digest.update(chunk)
    return digest.digest()
