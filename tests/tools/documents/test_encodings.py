"""Text comes out letter by letter, whatever it was written in; Vietnamese above all."""

import unicodedata

import pytest

from tests.tools.documents import sample_files
from tests.tools.documents.read_files import read, texts
from tools.documents.cleaning import clean, clean_line
from tools.documents.decoding import decode
from tools.documents.display_names import clean_name

VIETNAMESE = "Người lao động được nghỉ phép 12 ngày mỗi năm, hưởng nguyên lương. ẰẲẴẶ ỹỵ Đđ"
SHAPES = "\u0302\u0306\u031b"


def windows_1258(text: str) -> bytes:
    """The tones stand behind their letters there; Python's codec wants them so already."""
    spelled = ""
    for letter in text:
        base, *marks = unicodedata.normalize("NFD", letter)
        shape = "".join(mark for mark in marks if mark in SHAPES)
        spelled += unicodedata.normalize("NFC", base + shape) + "".join(mark for mark in marks if mark not in SHAPES)
    return spelled.encode("cp1258")


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"])
def test_vietnamese_is_read_exactly_in_any_form_of_unicode(encoding: str) -> None:
    found = read("a.txt", VIETNAMESE.encode(encoding))
    assert ([VIETNAMESE], []) == (texts(found), found.notes)


def test_vietnamese_is_read_exactly_from_windows_1258_and_from_letters_in_pieces() -> None:
    found = read("a.txt", windows_1258(VIETNAMESE))
    assert ([VIETNAMESE], ["The file doesn't say its encoding; it was read as cp1258."]) == (texts(found), found.notes)
    assert [VIETNAMESE] == texts(read("a.txt", unicodedata.normalize("NFD", VIETNAMESE)))


@pytest.mark.parametrize(
    "text", ["Hà Nội", "Kính gửi ông Nguyễn Văn A", "Hợp đồng số 12", "Điều 5. Trách nhiệm của bên A"]
)
def test_a_few_words_are_enough_to_know_vietnamese(text: str) -> None:
    assert [text] == texts(read("a.txt", windows_1258(text)))


@pytest.mark.parametrize(
    ("encoding", "text"),
    [
        ("latin-1", "São João não é uma opção para as mães"),
        ("cp1252", "L’été à la plage, c’est très agréable – 5 €"),
        ("cp1252", "Die Straße wäre größer, über alle Maße schön."),
        ("cp1250", "Příliš žluťoučký kůň úpěl ďábelské ódy"),
        ("cp1251", "Привет, это обычный русский текст для проверки."),
        ("shift_jis", "これは日本語のテキストです。文字コードの判定を試します。"),
    ],
)
def test_old_encodings_are_recognised(encoding: str, text: str) -> None:
    assert [text] == texts(read("a.txt", text.encode(encoding)))


def test_what_a_file_says_of_its_encoding_is_believed_only_where_it_fits() -> None:
    page = sample_files.make_html('<meta charset="shift_jis">')
    assert sample_files.LEAVE in texts(read("a.html", page))
    japanese = '<meta charset="shift_jis"><p>日本</p>'.encode("shift_jis")
    assert ["日本"] == texts(read("a.html", japanese))
    mail = b"Subject: =?iso-8859-1?q?caf=E9?=\nContent-Type: text/plain; charset=iso-8859-1\n\ncaf\xe9 \x80 5"
    assert ["café", "café € 5"] == texts(read("a.eml", mail))
    assert "caf\xe9" == decode(b"caf\xe9", "no-such-encoding").text
    assert "\\x41\xe9" == decode(b"\\x41\xe9", "unicode-escape").text


def test_text_has_one_spelling_and_nothing_that_is_not_seen() -> None:
    assert "ffi oﬀ".replace("ﬀ", "ff") == clean("ﬃ oﬀ")
    assert "cooperate" == clean("co\u00adoperate")
    assert "a b c" == clean("a\u00a0b\u3000 \t c")
    assert "ab" == clean("a\0\x07\x1b\u200b\u202e\ufeff\ud800\U000e0041b")
    assert "😀" == clean("\ud83d\ude00")
    assert "a\n\nb\nc" == clean(" a \r\n\r\n\r\n\r\n b\rc ")
    assert "a b" == clean_line(" a\n\n b ")


def test_names_are_shown_without_what_tricks_the_eye() -> None:
    assert "etc/passwd" == clean_name("../../etc/passwd")
    assert "a/b.txt" == clean_name("C:\\..\\a\\b.txt").removeprefix("C:/")
    assert "exe.txt" == clean_name("exe\u202e.txt\n")
    assert "unnamed" == clean_name("../\0")
    assert ("….pdf", 500) == (clean_name("x" * 900 + ".pdf")[-5:], max(500, len(clean_name("y/" * 900 + "a.pdf"))))
