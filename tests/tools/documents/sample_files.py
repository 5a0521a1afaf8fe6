"""Real documents of every format, made with the libraries that people's programs use, in English and Vietnamese."""

import io
import unicodedata
from email.message import EmailMessage
from functools import cache
from pathlib import Path
from typing import Any

import docx
import openpyxl
import pptx
import reportlab
from docx.oxml import parse_xml
from fontTools.ttLib import TTFont as FontFile
from PIL import Image, ImageDraw, ImageFont
from pypdf import PdfReader, PdfWriter
from reportlab.lib.pagesizes import A4
from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.ttfonts import TTFont
from reportlab.pdfgen.canvas import Canvas

TITLE = "Quy chế làm việc năm 2024"
LEAVE = "Người lao động được nghỉ phép 12 ngày mỗi năm, hưởng nguyên lương."
OFFICE = "The office opens at eight and closes at half past five on every working day."
STAFF = [
    ["Họ tên", "Phòng", "Lương"],
    ["Nguyễn Thị Hường", "Kế toán", "18500000"],
    ["Trần Văn Đức", "Kỹ thuật", "21000000"],
]
STAFF_TABLE = (
    "| Họ tên | Phòng | Lương |\n| --- | --- | --- |\n"
    "| Nguyễn Thị Hường | Kế toán | 18500000 |\n| Trần Văn Đức | Kỹ thuật | 21000000 |"
)
W = "http://schemas.openxmlformats.org/wordprocessingml/2006/main"


def make_docx(*, title: str = "") -> bytes:
    """Headings, text, both kinds of lists, a table, a hidden run, a tracked change, a header and a footer."""
    document: Any = docx.Document()
    document.core_properties.title = title
    document.sections[0].header.paragraphs[0].text = "Mật – lưu hành nội bộ"
    document.add_heading(TITLE, 1)
    document.add_paragraph(LEAVE)
    document.add_heading("Office hours", 2)
    changed = document.add_paragraph(OFFICE)
    changed.add_run(" hidden order").font.hidden = True
    for kind, text in (("ins", " Inserted."), ("del", " Deleted.")):
        tag = "delText" if kind == "del" else "t"
        change = f'<w:{kind} xmlns:w="{W}" w:id="9" w:author="a"><w:r><w:{tag}>{text}</w:{tag}></w:r></w:{kind}>'
        changed._p.append(parse_xml(change))
    for text in ("tea", "coffee"):
        document.add_paragraph(text, style="List Bullet")
    document.add_paragraph("After the list.")
    for text in ("first", "second"):
        document.add_paragraph(text, style="List Number")
    table = document.add_table(rows=3, cols=3)
    for row, texts in zip(table.rows, STAFF, strict=True):
        for cell, text in zip(row.cells, texts, strict=True):
            cell.text = text
    return _saved(document)


def make_pptx() -> bytes:
    """Two slides: title, body, table, notes; and a hidden one."""
    shown: Any = pptx.Presentation()
    first = shown.slides.add_slide(shown.slide_layouts[1])
    first.shapes.title.text = TITLE
    first.placeholders[1].text = "Nghỉ phép\nLàm thêm giờ"
    first.notes_slide.notes_text_frame.text = "Nhắc: " + LEAVE
    second = shown.slides.add_slide(shown.slide_layouts[5])
    second.shapes.title.text = "Staff"
    table = second.shapes.add_table(3, 3, 0, 2_000_000, 6_000_000, 2_000_000).table
    for row, texts in enumerate(STAFF):
        for column, text in enumerate(texts):
            table.cell(row, column).text = text
    hidden = shown.slides.add_slide(shown.slide_layouts[5])
    hidden.shapes.title.text = "Backup"
    hidden._element.set("show", "0")
    return _saved(shown)


def make_xlsx(rows: int = 2) -> bytes:
    """A sheet with a line above its table, a long one, and a hidden one."""
    book: Any = openpyxl.Workbook()
    staff = book.active
    staff.title = "Nhân viên"
    staff.append(["Bảng lương tháng 5"])
    for row in STAFF:
        staff.append([*row[:2], int(row[2]) if row[2].isdigit() else row[2]])
    stock = book.create_sheet("Stock")
    stock.append(["item", "count", "share"])
    for number in range(rows):
        stock.append([f"item {number}", number, 0.25])
        stock.cell(stock.max_row, 3).number_format = "0%"
    book.create_sheet("Secret").append(["password", "1234"])
    book["Secret"].sheet_state = "hidden"
    return _saved(book)


def make_html(head: str = '<meta charset="utf-8">') -> str:
    """A page with navigation, scripts and hidden parts around its text."""
    rows = "".join("<tr>" + "".join(f"<td>{text}</td>" for text in row) + "</tr>" for row in STAFF)
    return f"""<!DOCTYPE html><html><head>{head}<title>{TITLE}</title><style>p {{color: red}}</style></head><body>
    <nav><a href="/">Home</a></nav><script>alert("never")</script>
    <h1>{TITLE}</h1><p>{LEAVE}</p><p style="display:none">hidden order</p>
    <h2>Office <em>hours</em></h2><div>{OFFICE}</div>
    <ul><li>tea<ul><li>green</li></ul></li><li>coffee</li></ul><ol><li>first</li><li>second</li></ol>
    <table>{rows}</table><pre>if x:
    return  1</pre><footer>© Acme</footer></body></html>"""


MARKDOWN = f"""---
title: "{TITLE}"
tags: [a]
---
# Nghỉ phép

{LEAVE} See [the rules](https://example.org/rules).

## Office hours
**{OFFICE}**

- tea
  - green
- coffee

1. first
2. second

| Họ tên | Phòng | Lương |
|---|:-:|--:|
| Nguyễn Thị Hường | Kế toán | 18500000 |
| Trần Văn Đức | Kỹ thuật | 21000000 |

```python
if x:
    return  1
```
<!-- not for readers -->
"""

TEXT = f"""{TITLE}
=========================

{LEAVE}

Chương 2

{OFFICE}
"""


def make_mail(*, html_only: bool = False) -> bytes:
    """A mail with a Vietnamese subject, both kinds of text and an attachment."""
    mail = EmailMessage()
    mail["Subject"], mail["From"], mail["To"] = TITLE, "Nguyễn Thị Hường <huong@example.org>", "an@example.org"
    mail["Date"] = "Mon, 06 May 2024 08:00:00 +0700"
    if html_only:
        mail.set_content(make_html(), subtype="html")
    else:
        mail.set_content(LEAVE, charset="utf-8")
        mail.add_alternative("<p>other</p>", subtype="html")
        mail.add_attachment(b"%PDF-1.7", maintype="application", subtype="pdf", filename="luật.pdf")
    return mail.as_bytes()


@cache
def _font() -> str:
    """A font whose file comes with reportlab, taught the Vietnamese letters (drawn as their plain ones: the text counts)."""
    font: Any = FontFile(Path(reportlab.__file__).with_name("fonts") / "Vera.ttf")
    plain = {"đ": "d", "Đ": "D"}
    for table in font["cmap"].tables:
        for code in (*range(0x100, 0x1B1), *range(0x1EA0, 0x1EFA)):
            letter = plain.get(chr(code), unicodedata.normalize("NFD", chr(code))[0])
            if table.isUnicode() and ord(letter) in table.cmap:
                table.cmap.setdefault(code, table.cmap[ord(letter)])
    packed = io.BytesIO()
    font.save(packed)
    packed.seek(0)
    pdfmetrics.registerFont(TTFont("Vietnamese", packed))
    return "Vietnamese"


def make_pdf(pages: list[list[tuple[int, str]]], *, running: str = "", bookmarks: bool = False) -> bytes:
    """Pages of lines, each with the size of its letters; an empty line leaves space. `running` is drawn on top of each page,
    with its number at the bottom; `bookmarks`: each page's first line stands in the outline."""
    packed = io.BytesIO()
    canvas = Canvas(packed, pagesize=A4, invariant=True)
    canvas.setTitle(TITLE)
    for number, lines in enumerate(pages, 1):
        top = 780
        canvas.setFont(_font(), 8)
        if running:
            canvas.drawString(72, 815, running)
            canvas.drawString(290, 20, f"Page {number} of {len(pages)}")
        if bookmarks:
            canvas.bookmarkPage(f"p{number}")
            canvas.addOutlineEntry(lines[0][1], f"p{number}")
        for size, line in lines:
            canvas.setFont(_font(), size)
            canvas.drawString(72, top, line)
            top -= size + 3
        canvas.showPage()
    canvas.save()
    return packed.getvalue()


def make_scanned_pdf(*pages: list[str]) -> bytes:
    """Pages that are pictures of text."""
    packed = io.BytesIO()
    pictures = [draw(*lines) for lines in pages]
    pictures[0].save(packed, "PDF", save_all=True, append_images=pictures[1:])
    return packed.getvalue()


def encrypt(pdf: bytes, password: str) -> bytes:
    """The PDF with a password that is needed to open it; an empty one opens for everybody."""
    writer = PdfWriter(clone_from=PdfReader(io.BytesIO(pdf)))
    writer.encrypt(user_password=password, owner_password="owner", algorithm="AES-256")
    packed = io.BytesIO()
    writer.write(packed)
    return packed.getvalue()


def draw(*lines: str) -> Image.Image:
    """Black lines of text on white."""
    image = Image.new("RGB", (400, 80 + 60 * len(lines)), "white")
    for number, line in enumerate(lines):
        place = (30, 40 + 60 * number)
        ImageDraw.Draw(image).text(place, line, font=ImageFont.load_default(size=34), fill="black")
    return image


def make_image(*lines: str, kind: str = "PNG") -> bytes:
    """The drawn lines as a file."""
    packed = io.BytesIO()
    draw(*lines).save(packed, kind)
    return packed.getvalue()


def _saved(document: Any) -> bytes:
    packed = io.BytesIO()
    document.save(packed)
    return packed.getvalue()


def joined(frames: list[Image.Image]) -> bytes:
    """A TIFF of several pages."""
    packed = io.BytesIO()
    frames[0].save(packed, "TIFF", save_all=True, append_images=frames[1:])
    return packed.getvalue()
