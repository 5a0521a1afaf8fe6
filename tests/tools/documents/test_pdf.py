"""PDF: pages, headings, paragraphs, what is repeated on each page, passwords, and pages that are only pictures."""

from tests.tools.documents import sample_files
from tests.tools.documents.read_files import read, refusal, shapes, texts
from tests.tools.documents.sample_files import LEAVE, OFFICE, TITLE, make_pdf, make_scanned_pdf

CUT = [
    "Tổng công ty đã ký hợp đồng với các đối tác trong và ngoài nước trong năm vừa qua, inter-",
    "national and local.",
]
BODY = [(11, LEAVE), (11, ""), (11, CUT[0]), (11, CUT[1])]
JOINED = CUT[0].removesuffix("-") + CUT[1]


def test_headings_are_the_larger_lines_and_words_cut_at_a_lines_end_are_whole() -> None:
    found = read("a.pdf", make_pdf([[(20, TITLE), *BODY], [(15, "Điều 2"), (11, OFFICE)]]))
    assert [
        ("h1", 1, TITLE),
        ("text", 1, LEAVE),
        ("text", 1, JOINED),
        ("h2", 2, "Điều 2"),
        ("text", 2, OFFICE),
    ] == shapes(found)
    assert (TITLE, 2, []) == (found.title, found.pages, found.notes)


def test_headings_are_taken_from_the_outline_where_there_is_one() -> None:
    pages = [[(11, f"Chapter {word}"), (11, ""), (11, OFFICE), (11, ""), (20, "Shout")] for word in ("one", "two")]
    assert [
        ("h1", 1, "Chapter one"), ("text", 1, OFFICE), ("text", 1, "Shout"),
        ("h1", 2, "Chapter two"), ("text", 2, OFFICE), ("text", 2, "Shout"),
    ] == shapes(read("a.pdf", make_pdf(pages, bookmarks=True)))  # fmt: skip


def test_what_is_repeated_at_the_edge_of_the_pages_is_dropped() -> None:
    pages = [[(11, f"{word} is a line of its own.")] for word in ("Alpha", "Beta", "Gamma", "Delta")]
    expected = [("text", number, lines[0][1]) for number, lines in enumerate(pages, 1)]
    assert expected == shapes(read("a.pdf", make_pdf(pages, running="Acme rules 2024")))
    assert "Acme rules 2024" in texts(read("a.pdf", make_pdf(pages[:2], running="Acme rules 2024")))


def test_lists_keep_their_items_and_short_lines_their_ends() -> None:
    lines = [
        (11, text) for text in (OFFICE + " And so on.", "", "• tea", "• coffee", "  with milk", "", "Acme", "Hà Nội")
    ]
    found = shapes(read("a.pdf", make_pdf([lines])))
    assert [("list", 1, "- tea\n- coffee with milk"), ("text", 1, "Acme\nHà Nội")] == found[1:]


def test_a_password_is_asked_for_only_where_one_is_needed() -> None:
    pdf = make_pdf([BODY])
    assert "encrypted" == refusal("a.pdf", sample_files.encrypt(pdf, "secret"))
    assert [LEAVE, JOINED] == texts(read("a.pdf", sample_files.encrypt(pdf, "")))


def test_what_is_cut_off_or_too_long_is_refused() -> None:
    pdf = make_pdf([BODY] * 3)
    assert "damaged" == refusal("a.pdf", pdf[:300])
    assert "damaged" == refusal("a.pdf", b"%PDF-1.7\nnothing")
    assert "too_large" == refusal("a.pdf", pdf, max_pages=2)
    assert "too_large" == refusal("a.pdf", pdf, max_characters=300)
    assert "empty" == refusal("a.pdf", make_pdf([[(11, "")]]))


def test_pages_that_are_pictures_are_read_by_their_looks_up_to_a_limit() -> None:
    scanned = make_scanned_pdf(["Invoice No 10498", "Total 1,250,000 VND"], ["Second page"], ["Third page"])
    found = read("a.pdf", scanned, ocr_pages=1)
    assert [("text", 1, "Invoice No 10498\nTotal 1,250,000 VND")] == shapes(found)
    assert [
        "The text of 1 page was extracted by OCR; it may contain errors.",
        "Pages 2 to 3 contain only images, beyond the OCR limit, and were left out.",
    ] == found.notes
    assert "no_text" == refusal("a.pdf", scanned, ocr_pages=0)


def test_every_page_of_a_tiff_is_read_and_pictures_without_text_say_so() -> None:
    tiff = sample_files.joined([sample_files.draw("First page"), sample_files.draw("Second page")])
    found = read("a.tiff", tiff)
    assert [("text", 1, "First page"), ("text", 2, "Second page")] == shapes(found)
    assert 2 == found.pages
    assert "no_text" == refusal("a.tiff", tiff, ocr_pages=0)
    assert "damaged" == refusal("a.png", sample_files.make_image("x")[:200])
