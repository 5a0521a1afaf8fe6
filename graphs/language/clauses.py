"""Splits an utterance into the clauses that may be separate requests, in order. The router decides which of them are.

Strong joints (full stop, "then", "sau đó") always split; weak ones ("and", "và", a comma) only if what follows could stand
alone: it begins like a request, asks something, or has a code. Not for: which agent gets which clause (`router.py`).
"""

import re
import unicodedata

from graphs.language.patterns import CODE, mark_codes
from graphs.language.tokenization import fold, normalise, word_set

MAX_CLAUSES = 6
"""The rest of the utterance belongs to the last of them."""

_STRONG_JOINT = re.compile(
    r"[.?!;]+(?=\s|$)|\n+"
    r"|(?:[,.;]\s*)?\b(?:and then|then|after that|afterwards|and also|finally"
    r"|rồi sau đó|sau đó|xong rồi|xong thì|rồi thì|rồi|tiếp theo|tiếp đó|đồng thời|với lại|với cả|ngoài ra|xong"
    r"|roi sau do|sau do|xong roi|roi thi|tiep theo|dong thoi|voi lai|ngoai ra)\b",
    re.IGNORECASE,
)
_WEAK_JOINT = re.compile(
    r",\s*(?:and|và|va)?\s+|\s+(?:and|plus|as well as|và|va|roi|cùng với|kèm theo)\s+|\s&\s", re.IGNORECASE
)
_REQUEST_WORDS = word_set(
    """check show where what when which who why how find tell give read list get locate track summarise summarize
    extract transcribe translate compare is are has have does do did can could will explain see look let write convert
    send book cancel order create open close add change update calculate count remind
    đọc xem tra tìm kiểm liệt tóm cho chép lấy so trích phân kể viết dịch bao khi theo gửi đặt hủy tạo mở đổi tính đếm
    doc tim kiem liet tom chep lay trich phan ke viet dich gui dat huy tao mo doi tinh dem"""
)
# "according to the manual, how often …" is one request: such a lead-in belongs to what follows.
_LEAD_IN = re.compile(r"(?:according to|as per|per|under|based on|theo|dua tren)\b")
_QUESTION_WORDS = re.compile(
    r"\b(?:where|when|which|who|what|how|o dau|bao gio|bao nhieu|khi nao|the nao|la gi|gi khong|chua|may|ai|nao)\b"
)


def split_clauses(text: str, limit: int = MAX_CLAUSES) -> tuple[str, ...]:
    """Return the clauses without the joints; one if there is nothing to split. Never empty clauses, except for empty text."""
    clauses = [weak for strong in _cut_strong(text) for weak in _cut_weak(strong)]
    if len(clauses) > limit:
        clauses[limit - 1 :] = [" ".join(clauses[limit - 1 :])]
    return tuple(clauses) or (text.strip(),)


def _cut_strong(text: str) -> list[str]:
    """ "rồi" also ends sentences ("tới đâu rồi"): a joint with nothing after it doesn't split."""
    clauses, start = [], 0
    for joint in _STRONG_JOINT.finditer(text):
        before, after = text[start : joint.start()], text[joint.end() :]
        if _word_count(before) and _word_count(after):
            clauses.append(before.strip(" ,"))
            start = joint.end()
    return [part for part in (*clauses, text[start:].strip(" ,")) if part]


def _cut_weak(text: str) -> list[str]:
    clauses, start = [], 0
    for joint in _WEAK_JOINT.finditer(text):
        before, after = text[start : joint.start()], text[joint.end() :]
        following = _WEAK_JOINT.split(after, maxsplit=1)[0]
        if _word_count(before) >= 2 and _stands_alone(following) and not _LEAD_IN.match(fold(before.strip().lower())):
            clauses.append(before.strip(" ,"))
            start = joint.end()
    return [part for part in (*clauses, text[start:].strip(" ,")) if part]


def _stands_alone(text: str) -> bool:
    marked = normalise(mark_codes(text))
    words = re.findall(r"\w+", marked)
    if len(words) < 2:
        return False
    return words[0] in _REQUEST_WORDS or CODE in marked or bool(_QUESTION_WORDS.search(fold(marked)))


def _word_count(text: str) -> int:
    return len(re.findall(r"\w+", unicodedata.normalize("NFC", text)))
