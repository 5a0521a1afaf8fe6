"""Files that are not read here, known by their first bytes, each with a sentence that says what to do instead."""

import struct
from typing import BinaryIO, NamedTuple


class UnsupportedType(NamedTuple):
    """A type that is refused: the code, a sentence without its full stop, and the extensions that fit it. `weak`: an ordinary
    text may begin like that as well."""

    code: str
    said: str
    extensions: tuple[str, ...] = ()
    weak: bool = False


OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
PROGRAM = "This is a program and no document"
SOUND = "Audio and video are not read; upload a transcript as text"
ARCHIVE = "Archives of this kind are not read; pack the files as a zip"
SQLITE = "Databases are not read; export the tables as CSV"
RTF, POSTSCRIPT = TEXT_LIKE = (b"{\\rtf", b"%!PS")
BEGINNINGS = (
    (RTF, "RTF files are not read; save it as DOCX or PDF"),
    (b"MZ", PROGRAM),
    (b"\x7fELF", PROGRAM),
    (b"\xca\xfe\xba\xbe", PROGRAM),
    (b"\xcf\xfa\xed\xfe", PROGRAM),
    (b"\xce\xfa\xed\xfe", PROGRAM),
    (b"\0asm", PROGRAM),
    (b"ID3", SOUND),
    (b"OggS", SOUND),
    (b"fLaC", SOUND),
    (b"\x1aE\xdf\xa3", SOUND),
    (b"FLV\x01", SOUND),
    (b"\0\0\x01\xba", SOUND),
    (b"\0\0\x01\xb3", SOUND),
    (b"\xff\xfb", SOUND),
    (b"\xff\xf3", SOUND),
    (b"\x1f\x8b", ARCHIVE),
    (b"7z\xbc\xaf\x27\x1c", ARCHIVE),
    (b"Rar!\x1a\x07", ARCHIVE),
    (b"BZh", ARCHIVE),
    (b"\xfd7zXZ\0", ARCHIVE),
    (b"\x28\xb5\x2f\xfd", ARCHIVE),
    (b"PK\x07\x08", "The archive is split into parts, which are not read; pack the files as one zip"),
    (b"SQLite format 3\0", SQLITE),
    (b"PAR1", SQLITE),
    (POSTSCRIPT, "PostScript is not read; save it as PDF"),
    (b"8BPS", "Photoshop files are not read; save it as PNG or PDF"),
    (b"\0\0\x01\0", "Icons are not read; save it as PNG"),
)
LEGACY = (
    ("WordDocument", "The old Word format is not read; save it as DOCX", (".doc", ".dot")),
    ("Workbook", "The old Excel format is not read; save it as XLSX", (".xls", ".xlt")),
    ("Book", "The old Excel format is not read; save it as XLSX", (".xls", ".xlt")),
    ("PowerPoint Document", "The old PowerPoint format is not read; save it as PPTX", (".ppt", ".pps")),
    ("__substg1.0_", "Outlook's own format is not read; save the mail as EML", (".msg",)),
)
LOCKED = "The file is protected with a password; remove it and upload again."


def unsupported_type(file: BinaryIO, head: bytes, size: int) -> UnsupportedType | None:
    """Return the known type that is not read here, or None."""
    if head.startswith(OLE):
        return _ole(file, head, size)
    for beginning, said in BEGINNINGS:
        if head.startswith(beginning):
            return UnsupportedType("unsupported", said, weak=beginning.isascii() and beginning not in TEXT_LIKE)
    if head.startswith(b"RIFF") and head[8:12] in (b"WAVE", b"AVI "):
        return UnsupportedType("unsupported", SOUND)
    if head[4:8] == b"ftyp":
        picture = head[8:12] in (b"heic", b"heix", b"mif1", b"avif", b"msf1")
        return UnsupportedType(
            "unsupported", "Images of this kind are not read; save it as JPEG or PNG" if picture else SOUND
        )
    return UnsupportedType("unsupported", ARCHIVE) if head[257:262] == b"ustar" else None


def _ole(file: BinaryIO, head: bytes, size: int) -> UnsupportedType:
    """The container of the old office formats, in which office files with a password lie as well: told apart by the names
    in its directory, which the head points to."""
    names = head + _directory(file, head, size)
    if _utf16("EncryptedPackage") in names or _utf16("EncryptionInfo") in names:
        return UnsupportedType("encrypted", LOCKED)
    for stream, said, extensions in LEGACY:
        if _utf16(stream) in names:
            return UnsupportedType("unsupported", said, extensions)
    said = "The old office formats are not read; save it as DOCX, XLSX, PPTX or PDF"
    return UnsupportedType("unsupported", said, (".doc", ".xls", ".ppt", ".msg"))


def _directory(file: BinaryIO, head: bytes, size: int) -> bytes:
    """The first sectors of the container's directory, 4 KiB at most; nothing where the head is cut off."""
    if len(head) < 52:
        return b""
    (shift,), (sector,) = struct.unpack_from("<H", head, 30), struct.unpack_from("<I", head, 48)
    at = (sector + 1) << (shift if shift in (9, 12) else 9)
    if at >= size:
        return b""
    file.seek(at)
    return file.read(4096)


def _utf16(name: str) -> bytes:
    return name.encode("utf-16-le")
