"""Cuts an utterance into the things that it may be asking for, in order. The router decides which of them are.

Strong joints (full stop, "then", "sau đó") always cut; weak ones ("and", "và", a comma) only where what follows could
stand alone: it begins like a request, asks something, or names a code. Not for: whose part is whose (`router.py`).
"""

import re
import unicodedata

from graphs.language.patterns import CODES, codes_in, mark_codes
from graphs.language.tokenization import fold, normalised, word_set

MOST = 6
"""Parts; what follows belongs to the last of them."""

_STRONG = re.compile(
    r"[.?!;]+(?=\s|$)|\n+"
    r"|(?:[,.;]\s*)?\b(?:and then|then|after that|afterwards|and also|finally"
    r"|rồi sau đó|sau đó|xong rồi|xong thì|rồi thì|rồi|tiếp theo|tiếp đó|đồng thời|với lại|ngoài ra|xong"
    r"|roi sau do|sau do|xong roi|roi thi|tiep theo|dong thoi|voi lai|ngoai ra)\b",
    re.IGNORECASE,
)
_WEAK = re.compile(
    r",\s*(?:and|và|va)?\s+|\s+(?:and|plus|as well as|và|va|roi|cùng với|kèm theo)\s+|\s&\s", re.IGNORECASE
)
_STARTS = word_set(
    """check show where what when which who why how find tell give read list get locate track summarise summarize
    extract transcribe translate compare is are has have does do did can could will explain see look let write convert
    send book cancel order create open close add change update calculate count remind
    đọc xem tra tìm kiểm liệt tóm cho chép lấy so trích phân kể viết dịch bao khi theo gửi đặt hủy tạo mở đổi tính đếm
    doc tim kiem liet tom chep lay trich phan ke viet dich gui dat huy tao mo doi tinh dem"""
)
# "according to the manual, how often …" asks one thing: such a beginning belongs to what follows.
_LEAD = re.compile(r"(?:according to|as per|per|under|based on|theo|dua tren)\b")
_ASKS = re.compile(
    r"\b(?:where|when|which|who|what|how|o dau|bao gio|bao nhieu|khi nao|the nao|la gi|gi khong|chua|may|ai|nao)\b"
)


def split(text: str) -> tuple[str, ...]:
    """The parts, without the joints; one part if there is nothing to cut. Never empty parts, except for empty text."""
    parts = [weak for strong in _cut_strong(text) for weak in _cut_weak(strong)]
    if len(parts) > MOST:
        parts[MOST - 1 :] = [" ".join(parts[MOST - 1 :])]
    return tuple(parts) or (text.strip(),)


def _cut_strong(text: str) -> list[str]:
    """ "rồi" also ends sentences ("tới đâu rồi"): a joint with nothing after it cuts nothing off."""
    parts, start = [], 0
    for joint in _STRONG.finditer(text):
        before, after = text[start : joint.start()], text[joint.end() :]
        if _word_count(before) and _word_count(after):
            parts.append(before.strip(" ,"))
            start = joint.end()
    return [part for part in (*parts, text[start:].strip(" ,")) if part]


def _cut_weak(text: str) -> list[str]:
    parts, start = [], 0
    for joint in _WEAK.finditer(text):
        before, after = text[start : joint.start()], text[joint.end() :]
        following = _WEAK.split(after, maxsplit=1)[0]
        if _word_count(before) >= 2 and _stands_alone(following) and not _LEAD.match(fold(before.strip().lower())):
            parts.append(before.strip(" ,"))
            start = joint.end()
    return [part for part in (*parts, text[start:].strip(" ,")) if part]


def _stands_alone(text: str) -> bool:
    marked = normalised(mark_codes(text))
    words = re.findall(r"\w+", marked)
    if len(words) < 2:
        return False
    return words[0] in _STARTS or bool(codes_in(marked) & CODES) or bool(_ASKS.search(fold(marked)))


def _word_count(text: str) -> int:
    return len(re.findall(r"\w+", unicodedata.normalize("NFC", text)))
