"""Zip containers that strangers made: looked at before they are opened, counted while they unpack, written under names of ours.

    list_names(file)       the names in the container, cheaply: nothing is unpacked (for telling a DOCX from a zip of files)
    check_zip(file)        a DOCX, PPTX or XLSX: everything in it is unpacked once into nothing, and counted
    unpack(file, into)     an uploaded zip of files: one `Unpacked` per file, written as into/0001, into/0002, …

What a zip says of itself is believed only where believing costs nothing: sizes are counted while unpacking, entries that share
bytes are refused (a few kilobytes can say a petabyte that way), and only the two ordinary methods of packing are undone.
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
PIECE = 64 * 1024
SMALL = 4 * MIB
"""The ratio is asked of what unpacks to more than this: a page of spaces is small, and no bomb."""

END_64 = 56 + 20
TAIL = END_64 + 22 + 65_535
"""Where the end records of a zip begin, counted from the end: those of large zips, the ordinary one, a longest comment."""

MAX_DIRECTORY = 2 * MIB
LOCAL_HEAD = 30
ENCRYPTED, UTF_8 = 0x1, 0x800
IGNORED_FOLDERS = {"__MACOSX", ".git"}
IGNORED_NAMES = {".ds_store", "thumbs.db", "desktop.ini"}
BROKEN = (zipfile.BadZipFile, zlib.error, EOFError, OSError, NotImplementedError, ValueError, struct.error)


@dataclass(frozen=True, slots=True)
class ZipLimits:
    """How much a zip may be: files in it, bytes that it unpacks to, and how many times its own size that is."""

    max_entries: int = 1000
    max_bytes: int = 200 * MIB
    max_ratio: int = 100


@dataclass(frozen=True, slots=True)
class Unpacked:
    """A file of an uploaded zip. `name` is for showing only ("reports/May.pdf"). Either `path` and `size` (bytes) are there,
    or `refusal` says why this one was not unpacked."""

    name: str
    path: Path | None = None
    size: int = 0
    refusal: Unreadable | None = None


class _Count:
    """The bytes that came out so far, of one container."""

    def __init__(self, limits: ZipLimits, packed: int) -> None:
        self.limits, self.packed, self.total = limits, packed, 0

    def add(self, size: int, of_entry: int, packed: int) -> None:
        self.total += size
        if self.total > self.limits.max_bytes:
            raise Unreadable("bomb", f"The file unpacks to more than {self.limits.max_bytes // MIB} MiB; split it up.")
        of_all = self.total > SMALL and self.total > self.limits.max_ratio * self.packed
        if of_all or (of_entry > SMALL and of_entry > self.limits.max_ratio * max(packed, 1)):
            raise Unreadable(
                "bomb", f"The file unpacks to more than {self.limits.max_ratio} times its size; send it unpacked."
            )


def list_names(file: BinaryIO, limits: ZipLimits = ZipLimits()) -> list[str]:
    """The names of the entries. Raises Unreadable: damaged, too_large."""
    with _opened(file, limits) as container:
        return [info.filename for info in container.infolist()]


def check_zip(
    file: BinaryIO,
    limits: ZipLimits = ZipLimits(),
    *,
    look: Callable[[str, bytes], None] | None = None,
) -> None:
    """Unpack everything into nothing. `look` is shown each entry's name and its pieces in order, each with the last bytes of
    the one before. Raises Unreadable: damaged, encrypted, too_large, bomb. Leaves the file at its beginning."""
    with _opened(file, limits) as container:
        count = _Count(limits, _size(file))
        names: set[str] = set()
        for info in container.infolist():
            if info.flag_bits & ENCRYPTED:
                raise Unreadable("encrypted", "The file is protected with a password; remove it and upload again.")
            if refusal := _bad_path(info.filename) or _bad_method(info):
                raise Unreadable("damaged", refusal.message)
            if info.filename in names:
                raise Unreadable("damaged", "The file holds two parts of one name; save it again and upload that.")
            names.add(info.filename)
            _look_through(container, info, count, look)
    file.seek(0)


def unpack(file: BinaryIO, into: Path, limits: ZipLimits = ZipLimits()) -> Iterator[Unpacked]:
    """Write the files of a zip into the folder, one by one, while they are asked for. Folders and what systems leave behind
    are skipped. Raises Unreadable for the whole: damaged, too_large, bomb; the caller then removes the folder."""
    with _opened(file, limits) as container:
        count = _Count(limits, _size(file))
        names: set[str] = set()
        number = 0
        for info in container.infolist():
            name = clean_name(_name_of(info))
            if info.is_dir() or _is_left_behind(name):
                continue
            if refusal := _refusal(info, name, names):
                yield Unpacked(name, refusal=refusal)
                continue
            names.add(name)
            number += 1
            yield _written(container, info, name, into / f"{number:04}", count)


def _size(file: BinaryIO) -> int:
    return file.seek(0, 2)


def _opened(file: BinaryIO, limits: ZipLimits) -> zipfile.ZipFile:
    _check_directory(file, limits)
    try:
        container = zipfile.ZipFile(file)
        infos = container.infolist()
        if len(infos) > limits.max_entries:
            raise Unreadable("too_large", f"The file holds more than {limits.max_entries:,} files; send them in parts.")
        _check_overlap(file, container, infos)
    except BROKEN as error:
        raise _damaged() from error
    return container


def _damaged() -> Unreadable:
    return Unreadable("damaged", "The file is damaged or was cut off; upload it again.")


def _check_directory(file: BinaryIO, limits: ZipLimits) -> None:
    """Look at the end record before the library reads the directory: a long one takes it minutes."""
    size = _size(file)
    file.seek(max(0, size - TAIL))
    tail = file.read(TAIL)
    at = tail.rfind(b"PK\x05\x06")
    if at < 0 or len(tail) < at + 22:
        raise _damaged()
    entries, length = struct.unpack_from("<HI", tail, at + 10)
    if at >= END_64 and tail.startswith(b"PK\x06\x06", at - END_64):
        entries, length = struct.unpack_from("<QQ", tail, at - END_64 + 32)
    if entries > limits.max_entries or length > MAX_DIRECTORY:
        raise Unreadable("too_large", f"The file holds more than {limits.max_entries:,} files; send them in parts.")


def _check_overlap(file: BinaryIO, container: zipfile.ZipFile, infos: list[zipfile.ZipInfo]) -> None:
    """Raises Unreadable where two entries share bytes, or one reaches into the directory."""
    end = 0
    for info in sorted(infos, key=lambda info: info.header_offset):
        file.seek(info.header_offset)
        head = file.read(LOCAL_HEAD)
        if len(head) < LOCAL_HEAD or not head.startswith(b"PK\x03\x04"):
            raise _damaged()
        if info.header_offset < end:
            raise Unreadable(
                "bomb", "Parts of the file share their bytes, as no ordinary program makes it; pack it again."
            )
        end = info.header_offset + LOCAL_HEAD + sum(struct.unpack_from("<HH", head, 26)) + info.compress_size
    if end > container.start_dir:
        raise Unreadable("bomb", "Parts of the file share their bytes, as no ordinary program makes it; pack it again.")


def _bad_path(name: str) -> Unreadable | None:
    parts = name.replace("\\", "/").split("/")
    if name.startswith(("/", "\\")) or ".." in parts or (len(name) > 1 and name[1] == ":") or "\0" in name:
        return Unreadable("damaged", "The name leads out of the archive; pack it again.")
    return None


def _bad_method(info: zipfile.ZipInfo) -> Unreadable | None:
    if info.compress_type in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        return None
    return Unreadable("unsupported", "It is packed in a way that is not read here; pack it as an ordinary zip.")


def _refusal(info: zipfile.ZipInfo, name: str, names: set[str]) -> Unreadable | None:
    if info.flag_bits & ENCRYPTED:
        return Unreadable("encrypted", "The file is protected with a password; pack it without one.")
    if stat.S_ISLNK(info.external_attr >> 16):
        return Unreadable("unsupported", "This is a link and no file; pack the file itself.")
    if name in names:
        return Unreadable("damaged", "The archive holds two files of this name; only the first is read.")
    return _bad_path(info.filename) or _bad_method(info)


def _name_of(info: zipfile.ZipInfo) -> str:
    """The name as it was meant: many programs write UTF-8 and don't say so."""
    if info.flag_bits & UTF_8:
        return info.filename
    try:
        return info.filename.encode("cp437").decode("utf-8")
    except UnicodeError:
        return info.filename


def _is_left_behind(name: str) -> bool:
    *folders, last = name.split("/")
    return not IGNORED_FOLDERS.isdisjoint(folders) or last.lower() in IGNORED_NAMES or last.startswith("._")


def _pieces(container: zipfile.ZipFile, info: zipfile.ZipInfo, count: _Count) -> Iterator[bytes]:
    """What is in an entry, counted. The library ends it at the size that the directory says, and checks its sum."""
    done = 0
    with container.open(info) as entry:
        while piece := entry.read(PIECE):
            done += len(piece)
            count.add(len(piece), done, info.compress_size)
            yield piece
    if done != info.file_size:
        raise zipfile.BadZipFile("an entry is shorter than it says")


def _look_through(
    container: zipfile.ZipFile, info: zipfile.ZipInfo, count: _Count, look: Callable[[str, bytes], None] | None
) -> None:
    before = b""
    try:
        for piece in _pieces(container, info, count):
            if look is not None:
                look(info.filename, before + piece)
                before = piece[-64:]
    except BROKEN as error:
        raise _damaged() from error


def _written(container: zipfile.ZipFile, info: zipfile.ZipInfo, name: str, path: Path, count: _Count) -> Unpacked:
    """One entry, on disk. A damaged one, or a zip within the zip, leaves no file behind."""
    before = count.total
    try:
        with path.open("xb") as out:
            for piece in _pieces(container, info, count):
                out.write(piece)
    except BROKEN as error:
        path.unlink(missing_ok=True)
        if isinstance(error, OSError) and error.errno is not None:
            raise  # the disk, and not the archive
        return Unpacked(name, refusal=_damaged())
    if _is_archive(path):
        path.unlink()
        return Unpacked(
            name, refusal=Unreadable("unsupported", "An archive within an archive is not read; upload it alone.")
        )
    return Unpacked(name, path, count.total - before)


def _is_archive(path: Path) -> bool:
    """Whether it is a zip of files: a DOCX is a zip too, and has a list of its contents' types."""
    with path.open("rb") as file:
        if not file.read(4).startswith(b"PK\x03\x04"):
            return False
        try:
            return "[Content_Types].xml" not in list_names(file)
        except Unreadable:
            return False  # a damaged DOCX: its own reader says so
