"""What is told of a file besides its text: its language, and why a child that read it died."""

import signal

import pytest

from tests.tools.documents.sample_files import LEAVE
from tools.documents.blocks import Unreadable
from tools.documents.read_document import detect_document_language
from tools.documents.reader_pool import ReadLimits, _parse_outcome

ENGLISH = "The office opens at eight and closes at half past five on every day that is a working day."


@pytest.mark.parametrize(
    ("status", "memory", "cpu_s", "code"),
    [
        (signal.SIGXCPU, 0, 60.0, "took_too_long"),
        (signal.SIGKILL, 0, 60.0, "took_too_long"),
        (signal.SIGKILL, 0, 1.0, "needs_too_much"),
        (signal.SIGABRT, 0, 1.0, "needs_too_much"),
        (signal.SIGSEGV, 0, 1.0, "damaged"),
        (signal.SIGSEGV, 500 << 20, 1.0, "needs_too_much"),
        (1 << 8, 0, 1.0, "damaged"),
        (0, 0, 1.0, "damaged"),
    ],
)
def test_a_child_that_died_says_why_by_how_it_died(status: int, memory: int, cpu_s: float, code: str) -> None:
    with pytest.raises(Unreadable) as caught:
        _parse_outcome(bytearray(b"\xc1 half an answer"), status, memory, cpu_s, ReadLimits())
    assert code == caught.value.code


@pytest.mark.parametrize(
    ("text", "language"),
    [
        (ENGLISH, "en"),
        (LEAVE, "vi"),
        ("Quyết định về nghỉ phép. The annex is in English and it is short.", "vi"),
        ("Der Rat hat in seiner Sitzung vom 3. Mai die neue Ordnung beschlossen und bekannt gemacht.", "und"),
        ("Le conseil a décidé à la majorité que la séance était levée après le déjeuner.", "und"),
        ("Ăn cơm", "und"),
        ("1 2 3 4 5 6 7", "und"),
        ("", "und"),
    ],
)
def test_the_language_is_told_by_letters_and_common_words(text: str, language: str) -> None:
    assert language == detect_document_language([text])
