"""What was written into a document is what is read from it, with its headings, lists, tables and pages."""

import json

import pytest

from tests.tools.documents import sample_files
from tests.tools.documents.read_files import read, refusal, shapes, texts
from tests.tools.documents.sample_files import LEAVE, OFFICE, STAFF, STAFF_TABLE, TITLE

CODE = "if x:\n    return  1"


def test_a_word_file_is_read_in_order_without_what_is_hidden_or_deleted() -> None:
    found = read("a.docx", sample_files.make_docx(title="Luật"))
    assert [
        ("h1", None, TITLE),
        ("text", None, LEAVE),
        ("h2", None, "Office hours"),
        ("text", None, OFFICE + " Inserted."),
        ("list", None, "- tea\n- coffee"),
        ("text", None, "After the list."),
        ("list", None, "1. first\n2. second"),
        ("table", None, STAFF_TABLE),
    ] == shapes(found)
    assert ("Luật", None, []) == (found.title, found.pages, found.notes)


def test_a_slide_is_a_page_and_its_title_the_heading() -> None:
    found = read("a.pptx", sample_files.make_pptx())
    assert [
        ("h1", 1, TITLE),
        ("list", 1, "- Nghỉ phép\n- Làm thêm giờ"),
        ("text", 1, "Nhắc: " + LEAVE),
        ("h1", 2, "Staff"),
        ("table", 2, STAFF_TABLE),
    ] == shapes(found)
    assert (3, ["Slide 3 is hidden and was left out."]) == (found.pages, found.notes)


def test_a_sheet_is_a_page_and_its_long_table_repeats_its_head() -> None:
    found = read("a.xlsx", sample_files.make_xlsx(rows=41))
    head = "| item | count | share |\n| --- | --- | --- |\n"
    assert [
        ("h1", 1, "Nhân viên"),
        ("text", 1, "Bảng lương tháng 5"),
        ("table", 1, STAFF_TABLE),
        ("h1", 2, "Stock"),
        ("table", 2, head + "\n".join(f"| item {number} | {number} | 25% |" for number in range(40))),
        ("table", 2, head + "| item 40 | 40 | 25% |"),
    ] == shapes(found)
    assert (3, ["The sheet “Secret” is hidden and was left out."]) == (found.pages, found.notes)


def test_rows_and_columns_beyond_the_limit_are_left_out_with_a_note() -> None:
    found = read("a.xlsx", sample_files.make_xlsx(rows=9), max_rows=6, max_columns=2)
    assert "| item | count |\n| --- | --- |\n| item 0 | 0 |" == texts(found)[-1]
    assert "Only the first 2 columns of “Nhân viên” were read." == found.notes[0]
    assert "The file has too many rows; those of “Stock” were cut off." in found.notes
    table = "a,b,c\n" + "1,2,3\n" * 9
    found = read("a.csv", table, max_rows=2, max_columns=2)
    assert ["| a | b |\n| --- | --- |\n| 1 | 2 |\n| 1 | 2 |"] == texts(found)
    assert ["Only the first 2 columns were read.", "Only the first 2 rows were read."] == found.notes


def test_a_page_is_read_as_it_is_seen() -> None:
    found = read("a.html", sample_files.make_html())
    assert [
        ("h1", None, TITLE),
        ("text", None, LEAVE),
        ("h2", None, "Office hours"),
        ("text", None, OFFICE),
        ("list", None, "- tea\n  - green\n- coffee"),
        ("list", None, "1. first\n2. second"),
        ("table", None, STAFF_TABLE),
        ("code", None, CODE),
    ] == shapes(found)
    assert TITLE == found.title


def test_of_a_page_that_says_what_its_main_part_is_only_that_is_read() -> None:
    page = "<body><div>Subscribe now</div><main><h1>Leave</h1><p>Twelve<br>days</p></main><div>Related</div>"
    assert [("h1", None, "Leave"), ("text", None, "Twelve\ndays")] == shapes(read("a.html", page))


def test_markdown_is_read_without_its_marks() -> None:
    found = read("a.md", sample_files.MARKDOWN)
    assert [
        ("h1", None, "Nghỉ phép"),
        ("text", None, LEAVE + " See the rules."),
        ("h2", None, "Office hours"),
        ("text", None, OFFICE),
        ("list", None, "- tea\n  - green\n- coffee"),
        ("list", None, "1. first\n2. second"),
        ("table", None, STAFF_TABLE),
        ("code", None, CODE),
    ] == shapes(found)
    assert TITLE == found.title


def test_html_in_markdown_is_read_as_html() -> None:
    text = '<h1 align="center">Title</h1>\n\n<div hidden>\nno\n</div>\n\n| a | b |\n|---|---|\n| x<br>y | z |\n'
    assert ["Title", "| a | b |\n| --- | --- |\n| x y | z |"] == texts(read("a.md", text))


def test_the_obvious_headings_of_plain_text_are_found() -> None:
    expected = [("h1", None, TITLE), ("text", None, LEAVE), ("h1", None, "Chương 2"), ("text", None, OFFICE)]
    assert expected == shapes(read("a.txt", sample_files.TEXT))
    numbered = "2.1 Scope\n\n1. Wash your hands.\n\nSUMMARY\n\n1984 was a year\n\n- a\n- b"
    kinds = [kind for kind, _, _ in shapes(read("a.txt", numbered))]
    assert ["h2", "text", "h1", "text", "list"] == kinds


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_a_table_of_text_is_read_with_any_delimiter(delimiter: str) -> None:
    table = "\r\n".join(delimiter.join(f'"{cell}"' for cell in row) for row in STAFF)
    assert [STAFF_TABLE] == texts(read("a.csv", table))


def test_a_table_without_a_head_gets_one() -> None:
    assert ["| Column 1 | Column 2 |\n| --- | --- |\n| An | 12 |\n| Ba \\| Bo | 13 |"] == texts(
        read("a.csv", "An,12\nBa | Bo,13")
    )


def test_json_becomes_readable_and_each_record_stands_alone() -> None:
    data = {
        "name": "Công ty",
        "address": {"city": "Hà Nội", "codes": [10, 11]},
        "none": None,
        "staff": [{"name": "Hường", "jobs": [{"at": "a"}, {"at": "b"}]}, {"name": "Đức", "pay": 1.50}],
    }
    assert [
        ("text", None, "name: Công ty\naddress.city: Hà Nội\naddress.codes: 10, 11"),
        ("h1", None, "staff"),
        ("text", None, "name: Hường\njobs[1].at: a\njobs[2].at: b"),
        ("text", None, "name: Đức\npay: 1.5"),
    ] == shapes(read("a.json", json.dumps(data)))


def test_a_broken_line_of_json_lines_is_left_out_with_a_note() -> None:
    found = read("a.jsonl", '{"a": 1.50}\n{"a": \n{"a": [1, {"b": true}]}\n')
    assert ["a: 1.50", "a[1]: 1\na[2].b: true"] == texts(found)
    assert ["1 line is not valid JSON and was left out."] == found.notes
    assert "damaged" == refusal("a.json", '{"a": [1, 2')


def test_a_mail_is_read_with_its_head_and_its_attachments_are_named() -> None:
    found = read("a.eml", sample_files.make_mail())
    head = "From: Nguyễn Thị Hường <huong@example.org>\nTo: an@example.org\nDate: Mon, 06 May 2024 08:00:00 +0700"
    assert [("h1", None, TITLE), ("text", None, head), ("text", None, LEAVE)] == shapes(found)
    assert ["Attachments are not read; upload them separately: luật.pdf."] == found.notes


def test_a_mail_without_plain_text_is_read_from_its_html() -> None:
    found = shapes(read("a.eml", sample_files.make_mail(html_only=True)))
    assert [("h1", None, TITLE), ("text", None, LEAVE), ("h2", None, "Office hours"), ("text", None, OFFICE)] == found[
        2:6
    ]


@pytest.mark.parametrize("name", ["a.txt", "a.md", "a.html", "a.csv", "a.json", "a.eml"])
def test_too_much_text_is_refused(name: str) -> None:
    data = {"a.json": json.dumps(["word " * 500]), "a.eml": "Subject: x\n\n" + "word " * 500}.get(name, "word " * 500)
    assert "too_large" == refusal(name, data, max_characters=1000)


@pytest.mark.parametrize("name", ["a.html", "a.md"])
def test_a_file_without_any_text_is_empty(name: str) -> None:
    assert "empty" == refusal(name, "<script>alert(1)</script><!-- x -->")


def test_lines_that_were_wrapped_are_one_and_lines_that_were_ended_are_not() -> None:
    wrapped = "Leave of more than ten days in a row is agreed with the head of the\ndepartment, two months ahead of it."
    verse = "A short line.\nAnother one.\nAnd a last."
    joined = wrapped.replace("\n", " ")
    assert [joined, verse] == texts(read("a.txt", f"{wrapped}\n\n{verse}"))
    assert [joined] == texts(read("a.md", wrapped))
