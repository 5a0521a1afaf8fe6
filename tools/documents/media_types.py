"""What a file is, told by its bytes and structure; its name only tells apart what looks the same (text, Markdown, CSV …).

    detect(file, name) -> MediaType, or Unreadable: empty, unsupported, mislabelled, damaged, encrypted, too_large

Little is read (the head, and the names in a zip), and nothing heavy is imported: the API asks before it takes a file in.
"""

from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import BinaryIO

from tools.documents.blocks import Unreadable
from tools.documents.decoding import is_text
from tools.documents.unsupported_types import unsupported_type
from tools.documents.zips import list_names

HEAD = 64 * 1024
OFFICE = "application/vnd.openxmlformats-officedocument."


@dataclass(frozen=True, slots=True)
class MediaType:
    """A type that is read. `name` is the word for it everywhere here, `media_type` the one of the web, `extensions` those that
    a file of it may have (lower case, with the dot), the usual one first."""

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
"""By how the file begins; the last two are looked at more closely."""

TEXTS = (HTML, MARKDOWN, TEXT, CSV, JSON, EML)
TYPES = (PDF, DOCX, PPTX, XLSX, *TEXTS, *(kind for _, kind in IMAGES), ZIP)
NAMES = tuple(dict.fromkeys(kind.name for kind in TYPES))
BY_EXTENSION = {extension: kind for kind in TYPES for extension in kind.extensions}
PARTS = (("word/", DOCX), ("ppt/", PPTX), ("xl/", XLSX))
READ = "PDF, DOCX, PPTX, XLSX, HTML, Markdown, text, CSV, JSON, EML, PNG, JPEG, WebP, TIFF, BMP, GIF, and zip files of these"
HEADERS = (
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
    """Return what the file is, by its bytes. `name` is what its owner calls it. Raises Unreadable. Leaves the file at its
    beginning."""
    size = file.seek(0, 2)
    file.seek(0)
    head = file.read(HEAD)
    if not head.strip(b"\0 \t\r\n\x0c\xef\xbb\xbf\xff\xfe") and size <= HEAD:
        raise Unreadable("empty", "The file is empty.")
    found = _binary(file, head, size, name)
    extension = extension_of(name)
    if found is None:
        found = _text(head, extension)
    _check_label(found, extension)
    file.seek(0)
    return found


def extension_of(name: str) -> str:
    """The extension of a name, in lower case with its dot; empty without one."""
    return PurePosixPath(name.replace("\\", "/").strip().lower()).suffix


def _check_label(found: MediaType, extension: str) -> None:
    """Raises Unreadable where the name says another type. Kinds of images, and of text, may stand for each other."""
    said = BY_EXTENSION.get(extension)
    if said is None or said.name == found.name:
        return
    raise Unreadable(
        "mislabelled",
        f"The name ends in {extension}, but the file is {_spoken(found)}; rename it or send the right one.",
    )


def _spoken(kind: MediaType) -> str:
    return {"text": "text", "image": f"an image ({kind.extensions[0]})"}.get(kind.name, f"a {kind.name.upper()} file")


def _binary(file: BinaryIO, head: bytes, size: int, name: str) -> MediaType | None:
    """The type by its first bytes; None when the bytes must be text."""
    if b"%PDF-" in head[:1024]:
        return PDF
    if head.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        return _container(file, name)
    for magic, kind in IMAGES:
        if head.startswith(magic) and _is_that_image(kind, head):
            return kind
    if (foreign := unsupported_type(file, head, size)) and not (foreign.weak and is_text(head)):
        _refuse(foreign.code, foreign.said, extension_of(name), foreign.extensions)
    if not is_text(head):
        _refuse("unsupported", "The file is neither text nor of a type that is read", extension_of(name))
    return None


def _is_that_image(kind: MediaType, head: bytes) -> bool:
    if kind.extensions[0] == ".webp":
        return head[8:12] == b"WEBP"
    return kind.extensions[0] != ".bmp" or (len(head) > 26 and head[6:10] == b"\0\0\0\0")


def _refuse(code: str, said: str, extension: str, extensions: tuple[str, ...] = ()) -> None:
    """Raises Unreadable: `mislabelled` where the name says something that is read here, else `code`."""
    if code == "encrypted":
        raise Unreadable(code, said)
    if extension in BY_EXTENSION and extension not in extensions:
        raise Unreadable("mislabelled", f"The name ends in {extension}, but that is not what the file is. {said}.")
    raise Unreadable(code, f"{said}. What is read: {READ}.")


def _container(file: BinaryIO, name: str) -> MediaType:
    """A zip: an office file, or files."""
    names = list_names(file)
    extension = extension_of(name)
    if not names:
        raise Unreadable("empty", "The archive is empty.")
    if "[Content_Types].xml" in names:
        for folder, kind in PARTS:
            if any(part.startswith(folder) and part.endswith(".xml") for part in names):
                return kind
        _refuse("unsupported", "This kind of office file is not read; save it as DOCX, PPTX or XLSX", extension)
    if "mimetype" in names:
        _refuse(
            "unsupported", "OpenDocument and EPUB files are not read; save it as DOCX, XLSX, PPTX or PDF", extension
        )
    if "META-INF/MANIFEST.MF" in names or "AndroidManifest.xml" in names:
        _refuse("unsupported", "This is a program and no document", extension)
    if extension not in BY_EXTENSION and extension not in ("", ".zip"):
        raise Unreadable("unsupported", f"Files of the type {extension} are not read. What is read: {READ}.")
    return ZIP


def _text(head: bytes, extension: str) -> MediaType:
    """The type of what is proved to be text: by its extension; without a known one, by how it begins."""
    said = BY_EXTENSION.get(extension)
    if said is EML and not _is_mail(head):
        raise Unreadable("mislabelled", "The name ends in .eml, but the file has no mail's head; send it as .txt.")
    if said in TEXTS:
        return said
    start = head[:1024].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if said is None and extension in (".svg", ".rtf", ".ps", ".eps"):
        raise Unreadable(
            "unsupported", f"Files of the type {extension} are not read; save it as PDF. What is read: {READ}."
        )
    return HTML if start.startswith((b"<!doctype html", b"<html")) else TEXT


def _is_mail(head: bytes) -> bool:
    """Whether a header stands in the first lines (some programs begin with a line of their own)."""
    lines = head[:4096].decode("latin-1").lower().splitlines()
    return any(line.startswith(HEADERS) for line in lines[:40])
