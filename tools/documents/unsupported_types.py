"""Recognizes unsupported file types by their first bytes, each with a sentence that says what to do instead."""

import struct
from typing import BinaryIO, NamedTuple


class UnsupportedType(NamedTuple):
    """An unsupported type: error code, reason (without its full stop), and extensions that fit it. `ambiguous`: ordinary text
    may start the same way."""

    code: str
    reason: str
    extensions: tuple[str, ...] = ()
    ambiguous: bool = False


OLE_SIGNATURE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
PROGRAM_REASON = "This is a program, not a document"
MEDIA_REASON = "Audio and video are not supported; upload a transcript as text"
ARCHIVE_REASON = "Archives of this type are not supported; pack the files as a zip"
DATABASE_REASON = "Databases are not supported; export the tables as CSV"
RTF, POSTSCRIPT = TEXT_SIGNATURES = (b"{\\rtf", b"%!PS")
SIGNATURES = (
    (RTF, "RTF files are not supported; save the file as DOCX or PDF"),
    (b"MZ", PROGRAM_REASON),
    (b"\x7fELF", PROGRAM_REASON),
    (b"\xca\xfe\xba\xbe", PROGRAM_REASON),
    (b"\xcf\xfa\xed\xfe", PROGRAM_REASON),
    (b"\xce\xfa\xed\xfe", PROGRAM_REASON),
    (b"\0asm", PROGRAM_REASON),
    (b"ID3", MEDIA_REASON),
    (b"OggS", MEDIA_REASON),
    (b"fLaC", MEDIA_REASON),
    (b"\x1aE\xdf\xa3", MEDIA_REASON),
    (b"FLV\x01", MEDIA_REASON),
    (b"\0\0\x01\xba", MEDIA_REASON),
    (b"\0\0\x01\xb3", MEDIA_REASON),
    (b"\xff\xfb", MEDIA_REASON),
    (b"\xff\xf3", MEDIA_REASON),
    (b"\x1f\x8b", ARCHIVE_REASON),
    (b"7z\xbc\xaf\x27\x1c", ARCHIVE_REASON),
    (b"Rar!\x1a\x07", ARCHIVE_REASON),
    (b"BZh", ARCHIVE_REASON),
    (b"\xfd7zXZ\0", ARCHIVE_REASON),
    (b"\x28\xb5\x2f\xfd", ARCHIVE_REASON),
    (b"PK\x07\x08", "Archives split into parts are not supported; pack the files as one zip"),
    (b"SQLite format 3\0", DATABASE_REASON),
    (b"PAR1", DATABASE_REASON),
    (POSTSCRIPT, "PostScript is not supported; save the file as PDF"),
    (b"8BPS", "Photoshop files are not supported; save the file as PNG or PDF"),
    (b"\0\0\x01\0", "Icons are not supported; save the file as PNG"),
)
LEGACY_OFFICE = (
    ("WordDocument", "The old Word format is not supported; save the file as DOCX", (".doc", ".dot")),
    ("Workbook", "The old Excel format is not supported; save the file as XLSX", (".xls", ".xlt")),
    ("Book", "The old Excel format is not supported; save the file as XLSX", (".xls", ".xlt")),
    ("PowerPoint Document", "The old PowerPoint format is not supported; save the file as PPTX", (".ppt", ".pps")),
    ("__substg1.0_", "Outlook's own format is not supported; save the mail as EML", (".msg",)),
)
NEEDS_PASSWORD = "The file is protected with a password; remove it and upload the file again."  # noqa: S105 - a sentence


def unsupported_type(file: BinaryIO, head: bytes, size: int) -> UnsupportedType | None:
    """Return the unsupported type that the file is recognized as, or None."""
    if head.startswith(OLE_SIGNATURE):
        return _ole_type(file, head, size)
    for signature, reason in SIGNATURES:
        if head.startswith(signature):
            return UnsupportedType(
                "unsupported", reason, ambiguous=signature.isascii() and signature not in TEXT_SIGNATURES
            )
    if head.startswith(b"RIFF") and head[8:12] in (b"WAVE", b"AVI "):
        return UnsupportedType("unsupported", MEDIA_REASON)
    if head[4:8] == b"ftyp":
        picture = head[8:12] in (b"heic", b"heix", b"mif1", b"avif", b"msf1")
        return UnsupportedType(
            "unsupported",
            "Images of this type are not supported; save the file as JPEG or PNG" if picture else MEDIA_REASON,
        )
    return UnsupportedType("unsupported", ARCHIVE_REASON) if head[257:262] == b"ustar" else None


def _ole_type(file: BinaryIO, head: bytes, size: int) -> UnsupportedType:
    """The type of an OLE container, which holds the old office formats as well as password-protected new ones: told apart by
    the stream names in its directory."""
    names = head + _read_ole_directory(file, head, size)
    if _utf16("EncryptedPackage") in names or _utf16("EncryptionInfo") in names:
        return UnsupportedType("encrypted", NEEDS_PASSWORD)
    for stream, reason, extensions in LEGACY_OFFICE:
        if _utf16(stream) in names:
            return UnsupportedType("unsupported", reason, extensions)
    reason = "The old office formats are not supported; save the file as DOCX, XLSX, PPTX or PDF"
    return UnsupportedType("unsupported", reason, (".doc", ".xls", ".ppt", ".msg"))


def _read_ole_directory(file: BinaryIO, head: bytes, size: int) -> bytes:
    """The start of the container's directory, at most 4 KiB; empty if the header is truncated."""
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
