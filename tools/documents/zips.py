"""Handles untrusted zip files: inspects them before opening, counts bytes while unpacking, and writes to generated file names.

    list_names(file)       the entry names, without unpacking anything (tells a DOCX from a zip of files)
    check_zip(file)        a DOCX, PPTX or XLSX: unpacks everything once, discards it, and enforces the limits
    unpack(file, into)     an uploaded zip of files: one `Unpacked` per file, written as into/0001, into/0002, …

What a zip claims about itself is not trusted: sizes are counted while unpacking, overlapping entries are refused (they let a
few kilobytes claim a petabyte), and only the two usual compression methods are supported.
"""

import stat
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from tools.documents.blocks import Unreadable
from tools.documents.display_names import clean_name

MIB = 1 << 20
READ_BYTES = 64 * 1024
RATIO_EXEMPT_BYTES = 4 * MIB
"""The ratio limit applies only to what unpacks to more than this: a page of spaces is not a bomb."""

ZIP64_END_BYTES = 56 + 20
MAX_END_BYTES = ZIP64_END_BYTES + 22 + 65_535
"""The maximum size of the end records: zip64 records, the ordinary record, and the longest comment."""

MAX_DIRECTORY_BYTES = 2 * MIB
LOCAL_HEADER_BYTES = 30
ENCRYPTED, UTF_8 = 0x1, 0x800
IGNORED_FOLDERS = {"__MACOSX", ".git"}
IGNORED_NAMES = {".ds_store", "thumbs.db", "desktop.ini"}
ZIP_ERRORS = (zipfile.BadZipFile, zlib.error, EOFError, OSError, NotImplementedError, ValueError, struct.error)


@dataclass(frozen=True, slots=True)
class ZipLimits:
    """Limits for a zip: number of files, unpacked bytes, and compression ratio."""

    max_entries: int = 1000
    max_bytes: int = 200 * MIB
    max_ratio: int = 100


@dataclass(frozen=True, slots=True)
class Unpacked:
    """A file of an uploaded zip. `name` is for display only ("reports/May.pdf"). Either `path` and `size` (bytes) are set, or
    `refusal` says why the file was not unpacked."""

    name: str
    path: Path | None = None
    size: int = 0
    refusal: Unreadable | None = None


class _UnpackedBytes:
    """Counts the unpacked bytes of one zip and enforces its limits."""

    def __init__(self, limits: ZipLimits, packed: int) -> None:
        self.limits, self.packed, self.total = limits, packed, 0

    def add(self, size: int, of_entry: int, packed: int) -> None:
        self.total += size
        if self.total > self.limits.max_bytes:
            raise Unreadable("bomb", f"The file unpacks to more than {self.limits.max_bytes // MIB} MiB; split it up.")
        of_all = self.total > RATIO_EXEMPT_BYTES and self.total > self.limits.max_ratio * self.packed
        if of_all or (of_entry > RATIO_EXEMPT_BYTES and of_entry > self.limits.max_ratio * max(packed, 1)):
            raise Unreadable(
                "bomb", f"The file unpacks to more than {self.limits.max_ratio} times its size; upload it unpacked."
            )


def list_names(file: BinaryIO, limits: ZipLimits = ZipLimits()) -> list[str]:
    """Return the entry names. Raises Unreadable: damaged, too_large."""
    with _open_zip(file, limits) as container:
        return [info.filename for info in container.infolist()]


def check_zip(
    file: BinaryIO,
    limits: ZipLimits = ZipLimits(),
    *,
    inspect: Callable[[str, bytes], None] | None = None,
) -> None:
    """Unpack everything and discard it. `inspect` gets each entry's name and content in chunks, each preceded by the last bytes
    of the previous one. Raises Unreadable: damaged, encrypted, too_large, bomb. Rewinds the file."""
    with _open_zip(file, limits) as container:
        count = _UnpackedBytes(limits, _file_size(file))
        names: set[str] = set()
        for info in container.infolist():
            if info.flag_bits & ENCRYPTED:
                raise Unreadable("encrypted", "The file is protected with a password; remove it and upload again.")
            if refusal := _path_error(info.filename) or _method_error(info):
                raise Unreadable("damaged", refusal.message)
            if info.filename in names:
                raise Unreadable(
                    "damaged", "The file contains two parts with the same name; save it again and upload that."
                )
            names.add(info.filename)
            _inspect_entry(container, info, count, inspect)
    file.seek(0)


def unpack(file: BinaryIO, into: Path, limits: ZipLimits = ZipLimits()) -> Iterator[Unpacked]:
    """Write the files of a zip into the folder, lazily, one by one. Skips folders and system files. Raises Unreadable for the
    whole zip: damaged, too_large, bomb; the caller then removes the folder."""
    with _open_zip(file, limits) as container:
        count = _UnpackedBytes(limits, _file_size(file))
        names: set[str] = set()
        number = 0
        for info in container.infolist():
            name = clean_name(_decoded_name(info))
            if info.is_dir() or _is_system_file(name):
                continue
            if refusal := _entry_error(info, name, names):
                yield Unpacked(name, refusal=refusal)
                continue
            names.add(name)
            number += 1
            yield _extract_entry(container, info, name, into / f"{number:04}", count)


def _file_size(file: BinaryIO) -> int:
    return file.seek(0, 2)


def _open_zip(file: BinaryIO, limits: ZipLimits) -> zipfile.ZipFile:
    _check_directory(file, limits)
    try:
        container = zipfile.ZipFile(file)
        infos = container.infolist()
        if len(infos) > limits.max_entries:
            raise Unreadable(
                "too_large", f"The file contains more than {limits.max_entries:,} files; upload them in parts."
            )
        _check_overlap(file, container, infos)
    except ZIP_ERRORS as error:
        raise _damaged_error() from error
    return container


def _damaged_error() -> Unreadable:
    return Unreadable("damaged", "The file is damaged or incomplete; upload it again.")


def _check_directory(file: BinaryIO, limits: ZipLimits) -> None:
    """Check the end record before zipfile reads the directory: a long one takes it minutes."""
    size = _file_size(file)
    file.seek(max(0, size - MAX_END_BYTES))
    tail = file.read(MAX_END_BYTES)
    at = tail.rfind(b"PK\x05\x06")
    if at < 0 or len(tail) < at + 22:
        raise _damaged_error()
    entries, length = struct.unpack_from("<HI", tail, at + 10)
    if at >= ZIP64_END_BYTES and tail.startswith(b"PK\x06\x06", at - ZIP64_END_BYTES):
        entries, length = struct.unpack_from("<QQ", tail, at - ZIP64_END_BYTES + 32)
    if entries > limits.max_entries or length > MAX_DIRECTORY_BYTES:
        raise Unreadable(
            "too_large", f"The file contains more than {limits.max_entries:,} files; upload them in parts."
        )


def _check_overlap(file: BinaryIO, container: zipfile.ZipFile, infos: list[zipfile.ZipInfo]) -> None:
    """Raises Unreadable if two entries overlap, or one reaches into the directory."""
    end = 0
    for info in sorted(infos, key=lambda info: info.header_offset):
        file.seek(info.header_offset)
        head = file.read(LOCAL_HEADER_BYTES)
        if len(head) < LOCAL_HEADER_BYTES or not head.startswith(b"PK\x03\x04"):
            raise _damaged_error()
        if info.header_offset < end:
            raise Unreadable("bomb", "Entries in the file overlap, which no ordinary program produces; pack it again.")
        end = info.header_offset + LOCAL_HEADER_BYTES + sum(struct.unpack_from("<HH", head, 26)) + info.compress_size
    if end > container.start_dir:
        raise Unreadable("bomb", "Entries in the file overlap, which no ordinary program produces; pack it again.")


def _path_error(name: str) -> Unreadable | None:
    parts = name.replace("\\", "/").split("/")
    if name.startswith(("/", "\\")) or ".." in parts or (len(name) > 1 and name[1] == ":") or "\0" in name:
        return Unreadable("damaged", "The file name points outside the archive; pack it again.")
    return None


def _method_error(info: zipfile.ZipInfo) -> Unreadable | None:
    if info.compress_type in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        return None
    return Unreadable("unsupported", "Its compression method is not supported; pack it as an ordinary zip.")


def _entry_error(info: zipfile.ZipInfo, name: str, names: set[str]) -> Unreadable | None:
    if info.flag_bits & ENCRYPTED:
        return Unreadable("encrypted", "The file is protected with a password; pack it without one.")
    if stat.S_ISLNK(info.external_attr >> 16):
        return Unreadable("unsupported", "This is a link, not a file; pack the file itself.")
    if name in names:
        return Unreadable("damaged", "The archive contains two files with this name; only the first is read.")
    return _path_error(info.filename) or _method_error(info)


def _decoded_name(info: zipfile.ZipInfo) -> str:
    """The intended name: many programs write UTF-8 without setting the flag."""
    if info.flag_bits & UTF_8:
        return info.filename
    try:
        return info.filename.encode("cp437").decode("utf-8")
    except UnicodeError:
        return info.filename


def _is_system_file(name: str) -> bool:
    *folders, last = name.split("/")
    return not IGNORED_FOLDERS.isdisjoint(folders) or last.lower() in IGNORED_NAMES or last.startswith("._")


def _read_entry(container: zipfile.ZipFile, info: zipfile.ZipInfo, count: _UnpackedBytes) -> Iterator[bytes]:
    """Yield an entry's content, counted. zipfile stops at the size in the directory and verifies the checksum."""
    done = 0
    with container.open(info) as entry:
        while piece := entry.read(READ_BYTES):
            done += len(piece)
            count.add(len(piece), done, info.compress_size)
            yield piece
    if done != info.file_size:
        raise zipfile.BadZipFile("an entry is shorter than declared")


def _inspect_entry(
    container: zipfile.ZipFile,
    info: zipfile.ZipInfo,
    count: _UnpackedBytes,
    inspect: Callable[[str, bytes], None] | None,
) -> None:
    before = b""
    try:
        for piece in _read_entry(container, info, count):
            if inspect is not None:
                inspect(info.filename, before + piece)
                before = piece[-64:]
    except ZIP_ERRORS as error:
        raise _damaged_error() from error


def _extract_entry(
    container: zipfile.ZipFile, info: zipfile.ZipInfo, name: str, path: Path, count: _UnpackedBytes
) -> Unpacked:
    """Write one entry to disk. A damaged entry or a nested zip leaves no file behind."""
    before = count.total
    try:
        with path.open("xb") as out:
            for piece in _read_entry(container, info, count):
                out.write(piece)
    except ZIP_ERRORS as error:
        path.unlink(missing_ok=True)
        if isinstance(error, OSError) and error.errno is not None:
            raise  # an error of the disk, not of the archive
        return Unpacked(name, refusal=_damaged_error())
    if _is_archive(path):
        path.unlink()
        return Unpacked(
            name, refusal=Unreadable("unsupported", "Nested archives are not supported; upload this archive by itself.")
        )
    return Unpacked(name, path, count.total - before)


def _is_archive(path: Path) -> bool:
    """Whether it is a zip of files and not an office file, which is a zip too but has a [Content_Types].xml."""
    with path.open("rb") as file:
        if not file.read(4).startswith(b"PK\x03\x04"):
            return False
        try:
            return "[Content_Types].xml" not in list_names(file)
        except Unreadable:
            return False  # a damaged DOCX; its reader reports that
