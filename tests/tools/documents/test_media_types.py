"""What a file is, is told by its bytes; its name is only asked where bytes can't tell, and must not lie."""

import io
import os
import zipfile

import pytest

from tests.tools.documents import sample_files
from tools.documents.blocks import Unreadable
from tools.documents.formats import READERS, load_reader
from tools.documents.media_types import NAMES, detect

OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + b"\0" * 22 + b"\x09\0\x06\0" + b"\0" * 16


def ole(*streams: str) -> bytes:
    """A container of the old office formats with its directory in the second sector."""
    return (OLE + b"\0" * 512)[:512] + b"".join(name.encode("utf-16-le").ljust(128, b"\0") for name in streams).ljust(
        600, b"\0"
    )


def zipped(**files: bytes) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as container:
        for name, data in files.items():
            container.writestr(name.replace("__", "/"), data)
    return packed.getvalue()


PDF = b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n" + bytes(range(256))
EXE = b"MZ\x90\0\x03\0\0\0" + bytes(range(256)) * 4
KNOWN = {
    "rules.pdf": (PDF, "pdf"),
    "no extension": (PDF, "pdf"),
    "report.2024": (PDF, "pdf"),
    "a.docx": (sample_files.make_docx(), "docx"),
    "a.pptx": (sample_files.make_pptx(), "pptx"),
    "a.xlsx": (sample_files.make_xlsx(), "xlsx"),
    "A.HTM": (b"<p>hello", "html"),
    "page": (b"\xef\xbb\xbf\n<!DOCTYPE html><p>hello", "html"),
    "a.md": (b"# hello", "markdown"),
    "a.txt": ("Tiếng Việt".encode("utf-16"), "text"),
    "start.txt": (b"BMW and MZ motorcycles\nID3", "text"),
    "MZ.txt": (b"MZ is also a name, and this is a sentence.", "text"),
    "main.py": (b"print(1)", "text"),
    "a.tsv": (b"a\tb", "csv"),
    "a.jsonl": (b'{"a": 1}', "json"),
    "a.eml": (sample_files.make_mail(), "eml"),
    "a.jpg": (sample_files.make_image("x", kind="PNG"), "image"),
    "a.tif": (sample_files.make_image("x", kind="TIFF"), "image"),
    "a.webp": (sample_files.make_image("x", kind="WEBP"), "image"),
    "a.bmp": (sample_files.make_image("x", kind="BMP"), "image"),
    "a.gif": (sample_files.make_image("x", kind="GIF"), "image"),
    "all.zip": (zipped(a=b"1"), "zip"),
}
REFUSED = {
    "empty.txt": (b"", "empty", "is empty"),
    "blank.txt": (b" \n\n", "empty", "is empty"),
    "empty.zip": (zipped(), "empty", "archive is empty"),
    "report.pdf": (sample_files.make_image("x"), "mislabelled", "an image (.png)"),
    "text.docx": (b"hello", "mislabelled", "is text"),
    "zip.docx": (zipped(a=b"1"), "mislabelled", "a ZIP file"),
    "readme.txt": (EXE, "mislabelled", "program"),
    "packed.csv": (os.urandom(2000), "mislabelled", "neither text"),
    "note.eml": (b"just some words\nwithout a head", "mislabelled", "mail headers"),
    "sheet.xlsx": (ole("Root Entry", "Workbook"), "mislabelled", "old Excel"),
    "setup.exe": (EXE, "unsupported", "program"),
    "old.doc": (ole("Root Entry", "WordDocument"), "unsupported", "save the file as DOCX"),
    "old.xls": (ole("Root Entry", "Workbook"), "unsupported", "save the file as XLSX"),
    "old.ppt": (ole("Root Entry", "PowerPoint Document"), "unsupported", "save the file as PPTX"),
    "mail.msg": (ole("Root Entry", "__substg1.0_001A001F"), "unsupported", "EML"),
    "locked.docx": (ole("Root Entry", "EncryptedPackage"), "encrypted", "password"),
    "old.rtf": (rb"{\rtf1 hello}", "unsupported", "DOCX or PDF"),
    "song.mp3": (b"ID3\x03\0\0\0" + bytes(200), "unsupported", "transcript"),
    "film.mp4": (b"\0\0\0\x18ftypmp42" + bytes(200), "unsupported", "transcript"),
    "photo.heic": (b"\0\0\0\x18ftypheic" + bytes(200), "unsupported", "JPEG"),
    "all.tar.gz": (b"\x1f\x8b\x08\0" + os.urandom(200), "unsupported", "as a zip"),
    "text.odt": (zipped(mimetype=b"application/vnd.oasis", content=b""), "unsupported", "OpenDocument"),
    "app.jar": (zipped(**{"META-INF__MANIFEST.MF": b""}), "unsupported", "program"),
    "unknown.bin": (os.urandom(2000), "unsupported", "Supported types: PDF, DOCX"),
    "drawing.svg": (b"<svg/>", "unsupported", "save the file as PDF"),
    "cut.docx": (sample_files.make_docx()[:3000], "damaged", "incomplete"),
    "cut.zip": (zipped(a=b"1" * 100)[:60], "damaged", "incomplete"),
}


@pytest.mark.parametrize("name", KNOWN)
def test_a_file_is_known_by_its_bytes(name: str) -> None:
    data, expected = KNOWN[name]
    file = io.BytesIO(data)
    assert expected == detect(file, name).name
    assert 0 == file.tell()


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_not_read_is_refused_with_what_to_do_instead(name: str) -> None:
    data, code, said = REFUSED[name]
    with pytest.raises(Unreadable) as refused:
        detect(io.BytesIO(data), name)
    assert code == refused.value.code
    assert said in refused.value.message


def test_the_media_type_of_an_image_is_that_of_its_bytes() -> None:
    assert "image/png" == detect(io.BytesIO(sample_files.make_image("x")), "photo.jpg").media_type


def test_every_type_but_zip_has_its_reader() -> None:
    assert set(NAMES) - {"zip"} == set(READERS)
    assert all(callable(load_reader(name)) for name in READERS)
