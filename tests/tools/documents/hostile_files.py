"""Files that try to harm whoever opens them, each with the outcomes that are right. `READ` means that there is nothing wrong
with reading it. Where several codes are right, it is the parser's choice which of its sides the file shows.
"""

import io
import json
import pickle
import random
import struct
import sys
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.tools.documents.sample_files import (
    MARKDOWN,
    encrypt,
    make_docx,
    make_image,
    make_pdf,
    make_pptx,
    make_xlsx,
)

READ = "read"
MIB = 1 << 20
CANARY = "file-content-canary"
"""Stands in files that are refused; no refusal may quote it."""


@dataclass(frozen=True)
class Hostile:
    """`content` makes the file's bytes; `padded_to`: it is grown to so many bytes, with holes."""

    name: str
    content: Callable[[], bytes]
    codes: frozenset[str]
    padded_to: int = 0

    def write(self, path: Path) -> None:
        path.write_bytes(self.content())
        if self.padded_to:
            with path.open("r+b") as file:
                file.truncate(self.padded_to)


def hostile(name: str, content: bytes | Callable[[], bytes], *codes: str, padded_to: int = 0) -> Hostile:
    make = content if callable(content) else lambda: content
    return Hostile(name, make, frozenset(codes), padded_to)


def cut_off(make: Callable[[], bytes], share: float) -> Callable[[], bytes]:
    def made() -> bytes:
        whole = make()
        return whole[: int(len(whole) * share)]

    return made


def pdf_of_pages(count: int) -> bytes:
    """A small page, so many times."""
    pages = [f"<< /Type /Page /Parent 2 0 R /Contents {count + 4} 0 R /Resources << /Font << /F 3 0 R >> >> >>"] * count
    kids = " ".join(f"{number + 4} 0 R" for number in range(count))
    text = "BT /F 12 Tf 72 720 Td (The office opens at eight on every working day.) Tj ET"
    return raw_pdf(
        f"<< /Type /Pages /Kids [{kids}] /Count {count} /MediaBox [0 0 595 842] >>",
        "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
        *pages,
        f"<< /Length {len(text)} >>\nstream\n{text}\nendstream",
    )


def raw_pdf(*objects: str | bytes, trailer: str = "", start: int | None = None) -> bytes:
    """A PDF of a catalog and these objects, numbered from 2; object 2 holds the pages."""
    packed, places = bytearray(b"%PDF-1.7\n"), []
    for number, thing in enumerate(("<< /Type /Catalog /Pages 2 0 R >>", *objects), 1):
        places.append(len(packed))
        packed += b"%d 0 obj\n%s\nendobj\n" % (number, thing if isinstance(thing, bytes) else thing.encode())
    table = len(packed)
    packed += b"xref\n0 %d\n0000000000 65535 f \n" % (len(places) + 1)
    packed += b"".join(b"%010d 00000 n \n" % place for place in places)
    packed += f"trailer\n<< /Size {len(places) + 1} /Root 1 0 R {trailer.replace('TABLE', str(table))} >>\n".encode()
    return bytes(packed) + f"startxref\n{table if start is None else start}\n%%EOF\n".encode()


ONE_PAGE = "<< /Type /Pages /Kids [3 0 R] /Count 1 /MediaBox [0 0 595 842] >>"
PAGE = "<< /Type /Page /Parent 2 0 R /Contents 4 0 R /Resources << /Font << /F << /Type /Font /Subtype /Type1 "
PAGE += "/BaseFont /Helvetica >> >> >> >>"


def pdf_with(content: bytes, head: str = "") -> bytes:
    """A page with this content stream."""
    return raw_pdf(
        ONE_PAGE, PAGE, f"<< {head or f'/Length {len(content)}'} >>\nstream\n".encode() + content + b"\nendstream"
    )


def flate_bomb(megabytes: int, layers: int) -> bytes:
    squeezed = b"q " * (megabytes * MIB // 2)
    for _ in range(layers):
        squeezed = zlib.compress(squeezed, 9)
    filters = " ".join(["/FlateDecode"] * layers)
    return pdf_with(squeezed, f"/Length {len(squeezed)} /Filter [{filters}]")


def repacked(office: bytes, parts: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    """An office file with these parts in place of its own."""
    packed = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(office)) as old, zipfile.ZipFile(packed, "w", method) as new:
        for name in old.namelist():
            new.writestr(name, parts[name] if name in parts else old.read(name))
        for name in parts.keys() - set(old.namelist()):
            new.writestr(name, parts[name])
    return packed.getvalue()


W = 'xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main"'


def docx_of(body: str, before: str = "") -> bytes:
    xml = f'<?xml version="1.0"?>{before}<w:document {W}><w:body>{body}</w:body></w:document>'
    return repacked(make_docx(), {"word/document.xml": xml.encode()})


def paragraph(text: str) -> str:
    return f"<w:p><w:r><w:t>{text}</w:t></w:r></w:p>"


def entity_bomb() -> str:
    names = [f'<!ENTITY a{number} "{f"&a{number - 1};" * 10}">' for number in range(1, 12)]
    return f'<!DOCTYPE x [<!ENTITY a0 "{CANARY}">{"".join(names)}]>'


def docx_lying() -> bytes:
    """Its directory says that the text unpacks to ten bytes."""
    packed = bytearray(repacked(make_docx(), {"word/document.xml": b" " * (60 * MIB)}))
    place = packed.find(b"PK\x01\x02")
    while place >= 0:
        length = struct.unpack_from("<H", packed, place + 28)[0]
        if packed[place + 46 : place + 46 + length] == b"word/document.xml":
            struct.pack_into("<I", packed, place + 24, 10)
        place = packed.find(b"PK\x01\x02", place + 4)
    return bytes(packed)


def xlsx_overlapping() -> bytes:
    """Hundreds of entries that share the bytes of one."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as new:
        new.writestr("[Content_Types].xml", "<Types/>")
        new.writestr("xl/workbook.xml", b"\0" * 10 * MIB)
        entry = new.filelist[-1]
        for number in range(400):
            copy = zipfile.ZipInfo(f"xl/worksheets/sheet{number}.xml")
            for field in ("compress_type", "CRC", "compress_size", "file_size", "header_offset", "flag_bits"):
                setattr(copy, field, getattr(entry, field))
            new.filelist.append(copy)
            new.NameToInfo[copy.filename] = copy
    return packed.getvalue()


def xlsx_of(sheet: str) -> bytes:
    xml = f'<worksheet xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main">{sheet}</worksheet>'
    return repacked(make_xlsx(), {"xl/worksheets/sheet1.xml": xml.encode()})


def png_bomb(side: int) -> bytes:
    def part(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    head = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    rows = zlib.compress(b"\0" * MIB)
    return b"\x89PNG\r\n\x1a\n" + part(b"IHDR", head) + part(b"IDAT", rows) + part(b"IEND", b"")


def tiff_loop() -> bytes:
    """A directory of pages whose next page is itself."""
    fields = [(256, 8), (257, 8), (258, 8), (259, 1), (262, 1), (273, 200), (277, 1), (278, 8), (279, 64)]
    packed = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in fields)
    return (b"II*\0\x08\0\0\0" + struct.pack("<H", len(fields)) + packed + struct.pack("<I", 8)).ljust(300, b"\xff")


def gif_of_frames(count: int) -> bytes:
    frame = b"\x21\xf9\x04\0\x01\0\0\0\x2c\0\0\0\0\x01\0\x01\0\0\x02\x02\x44\x01\0"
    return b"GIF89a\x01\0\x01\0\x80\0\0\0\0\0\xff\xff\xff" + frame * count + b";"


def nested_mail(depth: int) -> bytes:
    lines = ["From: a@example.org", "Subject: deep"]
    for number in range(depth):
        lines += [f'Content-Type: multipart/mixed; boundary="b{number}"', "", f"--b{number}"]
    return "\r\n".join([*lines, "Content-Type: text/plain", "", CANARY, ""]).encode()


def csv_of_columns(count: int) -> bytes:
    row = ",".join(str(number) for number in range(count))
    return f"{row}\n{row}\n".encode()


DAMAGED, TOO_LARGE, BOMB = "damaged", "too_large", "bomb"
ENDED = ("took_too_long", "needs_too_much")
BAD = (DAMAGED, "empty", "no_text")
PICTURE = ("no_text", READ)


def office_pdf() -> bytes:
    return make_pdf([[(12, f"{CANARY} on page {page}.")] for page in range(5)])


def picture() -> bytes:
    return make_image("Invoice 10498")


def good_zip() -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as new:
        new.writestr("a.txt", "text")
    return packed.getvalue()


TRUNCATED = [
    hostile(f"cut-{share}{suffix}", cut_off(make, share), *BAD, *more)
    for share in (0.1, 0.5, 0.95)
    for suffix, make, more in (
        (".pdf", office_pdf, (READ,)),  # PDFium finds the pages that are there
        (".docx", make_docx, ("mislabelled",)),
        (".xlsx", make_xlsx, ("mislabelled",)),
        (".png", picture, ()),
    )
]

HOSTILE = [
    *TRUNCATED,
    hostile("empty.txt", b"", "empty"),
    hostile("empty.pdf", b"", "empty"),
    hostile("blank.txt", b" \n\t\r\n" * 1000, "empty"),
    hostile("zeros.txt", b"\0" * 5000, "empty"),
    hostile("cut.zip", cut_off(good_zip, 0.5), *BAD, "unsupported"),
    hostile("files.zip", good_zip, "unsupported"),
    hostile("zeros-200mb.pdf", b"", "mislabelled", "empty", TOO_LARGE, padded_to=200 * MIB),
    hostile("zeros-200mb.txt", b"text", "mislabelled", "unsupported", TOO_LARGE, READ, padded_to=200 * MIB),
    hostile("one-line-200mb.txt", lambda: b"word " * (40 * MIB), TOO_LARGE, *ENDED),
    hostile("one-line-9mb.txt", lambda: b"a" * (9 * MIB), READ),
    hostile("locked.pdf", lambda: encrypt(office_pdf(), "secret"), "encrypted"),
    hostile("pdf.docx", office_pdf, "mislabelled"),
    hostile("docx.pdf", make_docx, "mislabelled"),
    hostile("elf.pdf", b"\x7fELF\x02\x01\x01" + bytes(9) + CANARY.encode() * 9, "mislabelled"),
    hostile("pickle.txt", pickle.dumps({"a": [CANARY] * 9, "b": print}), "mislabelled"),
    hostile("noise.pdf", lambda: b"%PDF-1.7\n" + random.Random(1).randbytes(100_000), DAMAGED),
    hostile("noise.txt", lambda: random.Random(1).randbytes(100_000), "mislabelled", "unsupported"),
    hostile("500-pages.pdf", lambda: pdf_of_pages(500), READ),
    hostile("2500-pages.pdf", lambda: pdf_of_pages(2_500), TOO_LARGE),
    hostile("page-loop.pdf", raw_pdf("<< /Type /Pages /Kids [2 0 R 2 0 R] /Count 2 >>"), *BAD),
    hostile("count-lies.pdf", raw_pdf("<< /Type /Pages /Kids [] /Count 2000000000 >>"), *BAD, TOO_LARGE, *ENDED),
    hostile("xref-loop.pdf", raw_pdf(ONE_PAGE, PAGE, "<< >>", trailer="/Prev TABLE"), *BAD),
    hostile("xref-nowhere.pdf", raw_pdf(ONE_PAGE, PAGE, "<< >>", start=1 << 40), *BAD),
    hostile("length-lies.pdf", pdf_with(b"BT ET", "/Length 2147483647"), *BAD),
    hostile("length-loop.pdf", pdf_with(b"BT ET", "/Length 4 0 R"), *BAD),
    hostile("flate-bomb.pdf", lambda: flate_bomb(150, 1), *BAD, *ENDED, BOMB),
    hostile("flate-bomb-in-bomb.pdf", lambda: flate_bomb(150, 3), *BAD, *ENDED, BOMB),
    hostile("nested-arrays.pdf", raw_pdf("[" * 100_000 + "]" * 100_000), *BAD),
    hostile("nested-arrays-in-page.pdf", lambda: pdf_with(b"[" * 500_000 + b"]" * 500_000 + b" TJ"), *BAD, *ENDED),
    hostile("zip-bomb.docx", lambda: repacked(make_docx(), {"word/document.xml": b" " * (150 * MIB)}), BOMB, TOO_LARGE),
    hostile("many-entries.docx", lambda: repacked(make_docx(), {f"x/{n}": b"" for n in range(5000)}), BOMB, TOO_LARGE),
    hostile("lying.docx", docx_lying, BOMB, DAMAGED),
    hostile("overlapping.xlsx", xlsx_overlapping, BOMB, DAMAGED),
    hostile("laughs.docx", lambda: docx_of(paragraph("&a11;"), entity_bomb()), *BAD, BOMB),
    hostile(
        "entity.docx", lambda: docx_of(paragraph("&e;"), '<!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]>'), *BAD
    ),
    hostile("deep.docx", lambda: docx_of("<w:tbl><w:tr><w:tc>" * 40_000 + "</w:tc></w:tr></w:tbl>" * 40_000), *BAD),
    hostile("empty.docx", lambda: docx_of(""), "empty"),
    hostile("no-parts.pptx", lambda: repacked(make_pptx(), {"ppt/presentation.xml": b"<a/>"}), *BAD),
    hostile(
        "loop.pptx",
        lambda: repacked(make_pptx(), {"ppt/slides/_rels/slide1.xml.rels": b"<Relationships/>"}),
        *BAD,
        READ,
    ),
    hostile(
        "vast.xlsx",
        lambda: xlsx_of(
            '<dimension ref="A1:XFD1048576"/><sheetData><row r="1"><c r="A1"><v>1</v></c></row>'
            '<row r="1048576"><c r="XFD1048576"><v>2</v></c></row></sheetData>'
        ),
        *(READ, TOO_LARGE),
    ),
    hostile(
        "laughs.html", (entity_bomb() + "<html><body><p>Hello &a11; there</p></body></html>").encode(), READ, DAMAGED
    ),
    hostile("deep.html", b"<html><body>" + b"<div>" * 100_000 + b"deep", READ, *BAD),
    hostile("deep-lists.html", b"<html><body>" + b"<ul><li>" * 100_000 + b"deep", READ, *BAD),
    hostile("wide.html", b"<table><tr><td colspan=999999999 rowspan=999999999>a</td></tr></table>" * 50, READ, DAMAGED),
    hostile("deep.json", b"[" * 100_000 + b"]" * 100_000, DAMAGED, TOO_LARGE),
    hostile("deep-objects.json", b'{"a":' * 100_000 + b"1" + b"}" * 100_000, DAMAGED, TOO_LARGE),
    hostile("number.json", b'{"a": ' + b"9" * 1_000_000 + b"}", READ, DAMAGED),
    hostile("surrogates.json", json.dumps({"a": "x \ud800 y", "b": "\udfff"}).encode(), READ),
    hostile("wide.csv", lambda: csv_of_columns(100_000), READ, TOO_LARGE),
    hostile("quote.csv", lambda: b'a,b\n"' + b"x,\n" * 300_000, READ, DAMAGED, TOO_LARGE),
    hostile("quotes.md", lambda: b">" * 100_000 + b" a", READ, *BAD),
    hostile("stars.md", lambda: b"**a _b `c [d](" * 20_000, READ, DAMAGED, *ENDED),
    hostile("bomb.png", png_bomb(50_000), TOO_LARGE, BOMB),
    hostile("unfinished.png", png_bomb(3_000), DAMAGED),
    hostile("frames.gif", lambda: gif_of_frames(50_000), *PICTURE),
    hostile("loop.tiff", tiff_loop(), *PICTURE, DAMAGED, TOO_LARGE),
    hostile("deep.eml", lambda: nested_mail(5_000), READ, *BAD),
    hostile("headers.eml", b"From: a@example.org\r\n" + b"X: y\r\n" * 200_000 + b"\r\nHello there", READ, *BAD),
    hostile("invalid-utf-8.txt", b"Hello \xff\xfe\xc0\x80 there, caf\xe9\n" * 50, READ, "unsupported"),
    hostile("nuls.md", ("a\0b\0" * 50).encode() + MARKDOWN.encode(), READ, "mislabelled", "unsupported"),
    hostile("bidi.txt", "invoice \u202egpj.exe\u202c \u2066hidden\u2069 \U000e0041".encode(), READ),
    hostile("marks.txt", ("a" + "\u0315\u0300" * 20_000).encode(), READ, *ENDED),
    hostile("../../../../etc/passwd.txt", b"Plain words in a file with a strange name.", READ),
    hostile("new\nline\r\n\0\u202e.txt", b"Plain words in a file with a strange name.", READ),
    hostile("n" * 5000 + ".txt", b"Plain words in a file with a long name.", READ),
]


def main(folder: str) -> None:
    """Write all of them, by their numbers. In a process of its own: making bombs takes memory, too."""
    for number, case in enumerate(HOSTILE):
        case.write(Path(folder) / str(number))


if __name__ == "__main__":
    main(sys.argv[1])
