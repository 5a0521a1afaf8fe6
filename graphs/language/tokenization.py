"""Turns texts into comparable words: Unicode forms, Vietnamese tone marks, typing shortcuts, English endings, stop words.

Both sides of every comparison go through here. Not for: languages (`detection.py`) or numbers and codes (`patterns.py`).
"""

import re
import unicodedata
from collections.abc import Iterable
from functools import lru_cache

MAX_UTTERANCE_CHARS = 800
"""Of an utterance that decide its route; of a longer one, half from its beginning and half from its end."""

_WORD = re.compile(r"‹\w+›|[^\W_]+(?:['’](?!s\b)[^\W_]+)?")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u200b-\u200f\ufeff]+")
# "hoá" and "hóa" are both correct; the tone mark is moved to the first vowel.
_LATE_TONE = re.compile(r"([ou])([aey])([\u0300\u0301\u0303\u0309\u0323])(?![^\W\d_])")

SHORTCUTS = {
    "cty": "công ty",
    "kh": "khách hàng",
    "hđ": "hóa đơn",
    "ktra": "kiểm tra",
    "ko": "không",
    "hok": "không",
    "đc": "được",
    "mst": "mã số thuế",
    "vđ": "vận đơn",
    "cont": "container",
    "conts": "container",
    "pls": "please",
    "plz": "please",
}


def word_set(text: str) -> frozenset[str]:
    """Return the words of a list that is written as running text."""
    return frozenset(text.split())


ENGLISH_STOP_WORDS = word_set(
    """a an and are as at be been by can could did do does for from get give had has have how i if in is it its just let
    may me my need next no not now of off on one or our out please s say show so tell than that the their them then
    there these they this those to today us want was we were what what's when where which who whom why will with would
    you your about any after before more much many do all also into help check find"""
)
VIETNAMESE_STOP_WORDS = word_set(
    """anh ạ à bạn bị bên các cái cho chưa chị chúng có còn con cùng của cần dùm đã đang đây để đến đi đó được em gì
    giúp hay hả hãy hết hôm không là lại làm mà mấy mình mới một muốn nào này nay nên nếu nhé nhiêu những như nữa ở ra
    rồi sao sẽ sau tại tất tôi tới thì thế theo trên trong từ và vào vẫn vậy về với xem xin ai bao bây giờ giùm hộ khi
    kiểm tra biết lúc ngày tháng năm tuần số hiện đâu bằng vì do nhờ bởi ấy kia"""
)


def clean_utterance(text: str) -> str:
    """Return the part of an utterance that is examined: NFC, without control characters, of bounded length."""
    text = _CONTROL.sub(" ", head_and_tail(text, MAX_UTTERANCE_CHARS).encode("utf-8", "ignore").decode("utf-8"))
    return unicodedata.normalize("NFC", text).strip()


def head_and_tail(text: str, max_chars: int) -> str:
    """Return the text, or of a longer one its beginning and its end, where the request usually is."""
    return text if len(text) <= max_chars else f"{text[: max_chars // 2]} {text[-max_chars // 2 :]}"


def normalise(text: str) -> str:
    """Return the text in lower case and NFC, with tone marks in one position and shortcuts expanded."""
    lowered = unicodedata.normalize("NFD", text.lower())
    moved = unicodedata.normalize("NFC", _LATE_TONE.sub(r"\1\3\2", lowered))
    return re.sub(r"[^\W\d_]+", lambda m: SHORTCUTS.get(m[0], m[0]), moved)


@lru_cache(maxsize=20_000)
def fold(word: str) -> str:
    """Remove diacritics, as Vietnamese is often typed: "nợ" → "no", "đơn" → "don"."""
    plain = "".join(c for c in unicodedata.normalize("NFD", word) if not unicodedata.combining(c))
    return plain.replace("đ", "d").replace("Đ", "D")


def tokenize(text: str, *, folded: bool) -> list[str]:
    """Return the words of a normalised text without English endings; without diacritics if `folded`."""
    found = _WORD.findall(text)
    return [_stem(fold(word) if folded else word) for word in found]


def has_diacritics(text: str) -> bool:
    """Whether a text was typed with Vietnamese letters: then words without diacritics are meant so."""
    return any(c in "đĐ" or unicodedata.combining(c) for c in unicodedata.normalize("NFD", text))


@lru_cache(maxsize=20_000)
def _stem(word: str) -> str:
    """Crude on purpose: it only has to map the forms of a word to one string, the same on both sides."""
    if not word.isascii() or len(word) < 4:
        return word
    for ending in ("ations", "ation", "ings", "ing", "ed", "es", "s", "e"):
        if word.endswith(ending) and len(word) - len(ending) >= (3 if len(ending) < 3 else 4):
            return word[: -len(ending)] if not word.endswith("ss") else word
    return word


def _all_forms(words: Iterable[str]) -> frozenset[str]:
    return frozenset(form for w in words for form in (w, fold(w), _stem(w), _stem(fold(w))))


STOP_WORDS: dict[str, frozenset[str]] = {"en": _all_forms(ENGLISH_STOP_WORDS), "vi": _all_forms(VIETNAMESE_STOP_WORDS)}
"""The stop words of each language in every form that `tokenize` gives them."""
FOLDED_STOP_WORDS = STOP_WORDS["en"] | STOP_WORDS["vi"]
