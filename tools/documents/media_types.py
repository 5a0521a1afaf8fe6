"""Detects a file's type by its bytes and structure; the name only distinguishes types that look alike (text, Markdown, CSV …).

    detect(file, name) -> MediaType, or Unreadable: empty, unsupported, mislabelled, damaged, encrypted, too_large

Reads little (the first bytes, and the names in a zip) and imports nothing heavy: the API calls it before accepting a file.
"""

from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import BinaryIO

from tools.documents.blocks import Unreadable
from tools.documents.decoding import is_text
from tools.documents.unsupported_types import unsupported_type
from tools.documents.zips import list_names

HEAD_BYTES = 64 * 1024
OFFICE = "application/vnd.openxmlformats-officedocument."


@dataclass(frozen=True, slots=True)
class MediaType:
    """A supported type. `name` identifies it in this code; `extensions` are in lower case with the dot, the usual one first."""

    name: str
    media_type: str
    extensions: tuple[str, ...]


PDF = MediaType("pdf", "application/pdf", (".pdf",))
DOCX = MediaType("docx", f"{OFFICE}wordprocessingml.document", (".docx", ".docm", ".dotx"))
PPTX = MediaType("pptx", f"{OFFICE}presentationml.presentation", (".pptx", ".pptm", ".ppsx"))
XLSX = MediaType("xlsx", f"{OFFICE}spreadsheetml.sheet", (".xlsx", ".xlsm", ".xltx"))
HTML = MediaType("html", "text/html", (".html", ".htm", ".xhtml"))
MARKDOWN = MediaType("markdown", "text/markdown", (".md", ".markdown", ".mdown"))
TEXT = MediaType("text", "text/plain", (".txt", ".text", ".log", ".rst"))
CSV = MediaType("csv", "text/csv", (".csv", ".tsv", ".tab"))
JSON = MediaType("json", "application/json", (".json", ".jsonl", ".ndjson", ".geojson"))
EML = MediaType("eml", "message/rfc822", (".eml",))
ZIP = MediaType("zip", "application/zip", (".zip",))
IMAGES = (
    (b"\x89PNG\r\n\x1a\n", MediaType("image", "image/png", (".png",))),
    (b"\xff\xd8\xff", MediaType("image", "image/jpeg", (".jpg", ".jpeg", ".jpe", ".jfif"))),
    (b"GIF87a", MediaType("image", "image/gif", (".gif",))),
    (b"GIF89a", MediaType("image", "image/gif", (".gif",))),
    (b"II*\0", MediaType("image", "image/tiff", (".tiff", ".tif"))),
    (b"MM\0*", MediaType("image", "image/tiff", (".tiff", ".tif"))),
    (b"BM", MediaType("image", "image/bmp", (".bmp", ".dib"))),
    (b"RIFF", MediaType("image", "image/webp", (".webp",))),
)
"""By the first bytes of the file; the last two need a closer look."""

TEXTS = (HTML, MARKDOWN, TEXT, CSV, JSON, EML)
TYPES = (PDF, DOCX, PPTX, XLSX, *TEXTS, *(kind for _, kind in IMAGES), ZIP)
NAMES = tuple(dict.fromkeys(kind.name for kind in TYPES))
BY_EXTENSION = {extension: kind for kind in TYPES for extension in kind.extensions}
OFFICE_FOLDERS = (("word/", DOCX), ("ppt/", PPTX), ("xl/", XLSX))
SUPPORTED = (
    "PDF, DOCX, PPTX, XLSX, HTML, Markdown, text, CSV, JSON, EML, PNG, JPEG, WebP, TIFF, BMP, GIF, "
    "and zip files of these"
)
MAIL_HEADERS = (
    "received:",
    "from:",
    "return-path:",
    "delivered-to:",
    "mime-version:",
    "date:",
    "to:",
    "subject:",
    "message-id:",
)


def detect(file: BinaryIO, name: str) -> MediaType:
    """Return the type of the file, uploaded as `name`. Raises Unreadable. Rewinds the file."""
    size = file.seek(0, 2)
    file.seek(0)
    head = file.read(HEAD_BYTES)
    if not head.strip(b"\0 \t\r\n\x0c\xef\xbb\xbf\xff\xfe") and size <= HEAD_BYTES:
        raise Unreadable("empty", "The file is empty.")
    found = _detect_binary(file, head, size, name)
    extension = file_extension(name)
    if found is None:
        found = _detect_text(head, extension)
    _check_label(found, extension)
    file.seek(0)
    return found


def file_extension(name: str) -> str:
    """The extension of a name, in lower case with its dot; empty without one."""
    return PurePosixPath(name.replace("\\", "/").strip().lower()).suffix


def _check_label(found: MediaType, extension: str) -> None:
    """Raises Unreadable if the name says another type. Image types may stand for each other, and so may text types."""
    expected = BY_EXTENSION.get(extension)
    if expected is None or expected.name == found.name:
        return
    raise Unreadable(
        "mislabelled",
        f"The name ends in {extension}, but the file is {_description(found)}; rename it or upload the right one.",
    )


def _description(kind: MediaType) -> str:
    return {"text": "text", "image": f"an image ({kind.extensions[0]})"}.get(kind.name, f"a {kind.name.upper()} file")


def _detect_binary(file: BinaryIO, head: bytes, size: int, name: str) -> MediaType | None:
    """The type by the first bytes; None if the file is text."""
    if b"%PDF-" in head[:1024]:
        return PDF
    if head.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        return _detect_zip(file, name)
    for magic, kind in IMAGES:
        if head.startswith(magic) and _is_that_image(kind, head):
            return kind
    if (unsupported := unsupported_type(file, head, size)) and not (unsupported.ambiguous and is_text(head)):
        _raise_unsupported(unsupported.code, unsupported.reason, file_extension(name), unsupported.extensions)
    if not is_text(head):
        _raise_unsupported("unsupported", "The file is neither text nor of a supported type", file_extension(name))
    return None


def _is_that_image(kind: MediaType, head: bytes) -> bool:
    if kind.extensions[0] == ".webp":
        return head[8:12] == b"WEBP"
    return kind.extensions[0] != ".bmp" or (len(head) > 26 and head[6:10] == b"\0\0\0\0")


def _raise_unsupported(code: str, expected: str, extension: str, extensions: tuple[str, ...] = ()) -> None:
    """Raises Unreadable: `mislabelled` if the name has the extension of a supported type, else `code`."""
    if code == "encrypted":
        raise Unreadable(code, expected)
    if extension in BY_EXTENSION and extension not in extensions:
        raise Unreadable("mislabelled", f"The name ends in {extension}, but the file is of another type. {expected}.")
    raise Unreadable(code, f"{expected}. Supported types: {SUPPORTED}.")


def _detect_zip(file: BinaryIO, name: str) -> MediaType:
    """The type of a zip: an office file, or an archive of files."""
    names = list_names(file)
    extension = file_extension(name)
    if not names:
        raise Unreadable("empty", "The archive is empty.")
    if "[Content_Types].xml" in names:
        for folder, kind in OFFICE_FOLDERS:
            if any(part.startswith(folder) and part.endswith(".xml") for part in names):
                return kind
        _raise_unsupported(
            "unsupported", "This type of office file is not supported; save it as DOCX, PPTX or XLSX", extension
        )
    if "mimetype" in names:
        _raise_unsupported(
            "unsupported",
            "OpenDocument and EPUB files are not supported; save the file as DOCX, XLSX, PPTX or PDF",
            extension,
        )
    if "META-INF/MANIFEST.MF" in names or "AndroidManifest.xml" in names:
        _raise_unsupported("unsupported", "This is a program, not a document", extension)
    if extension not in BY_EXTENSION and extension not in ("", ".zip"):
        raise Unreadable("unsupported", f"Files of type {extension} are not supported. Supported types: {SUPPORTED}.")
    return ZIP


def _detect_text(head: bytes, extension: str) -> MediaType:
    """The type of a text file: by its extension; without a known one, by its first bytes."""
    expected = BY_EXTENSION.get(extension)
    if expected is EML and not _is_mail(head):
        raise Unreadable("mislabelled", "The name ends in .eml, but the file has no mail headers; upload it as .txt.")
    if expected in TEXTS:
        return expected
    start = head[:1024].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if expected is None and extension in (".svg", ".rtf", ".ps", ".eps"):
        raise Unreadable(
            "unsupported",
            f"Files of type {extension} are not supported; save the file as PDF. Supported types: {SUPPORTED}.",
        )
    return HTML if start.startswith((b"<!doctype html", b"<html")) else TEXT


def _is_mail(head: bytes) -> bool:
    """Whether there is a mail header in the first lines (some programs start with a line of their own)."""
    lines = head[:4096].decode("latin-1").lower().splitlines()
    return any(line.startswith(MAIL_HEADERS) for line in lines[:40])
