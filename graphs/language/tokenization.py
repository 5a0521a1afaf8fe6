"""Texts to comparable words: Unicode forms, Vietnamese tone marks, typing shortcuts, English endings, stop words.

Both sides of every comparison go through here. Not for: languages (`language.py`) or numbers and codes (`patterns.py`).
"""

import re
import unicodedata
from collections.abc import Iterable
from functools import lru_cache

LONGEST = 800
"""Characters of an utterance that decide its route; of a longer one, as many from its beginning as from its end."""

_WORD = re.compile(r"‹\w+›|[^\W_]+(?:['’](?!s\b)[^\W_]+)?")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u200b-\u200f\ufeff]+")
# "hoá" and "hóa" are both right; the tone mark is moved to the first vowel. Made from letters, to be sure of NFC.
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
    """The words of a list that is written as running text."""
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


def read(text: str) -> str:
    """The part of an utterance that is looked at: NFC, without control characters, of bounded length."""
    text = _CONTROL.sub(" ", ends_of(text, LONGEST).encode("utf-8", "ignore").decode("utf-8"))
    return unicodedata.normalize("NFC", text).strip()


def ends_of(text: str, longest: int) -> str:
    """The text, or its beginning and its end if it is longer: what is wanted stands there."""
    return text if len(text) <= longest else f"{text[: longest // 2]} {text[-longest // 2 :]}"


def normalised(text: str) -> str:
    """Lower case, NFC, one way of placing tone marks, shortcuts written out."""
    lowered = unicodedata.normalize("NFD", text.lower())
    moved = unicodedata.normalize("NFC", _LATE_TONE.sub(r"\1\3\2", lowered))
    return re.sub(r"[^\W\d_]+", lambda m: SHORTCUTS.get(m[0], m[0]), moved)


@lru_cache(maxsize=20_000)
def fold(word: str) -> str:
    """Without diacritics, the way Vietnamese is typed in a hurry: "nợ" → "no", "đơn" → "don"."""
    plain = "".join(c for c in unicodedata.normalize("NFD", word) if not unicodedata.combining(c))
    return plain.replace("đ", "d").replace("Đ", "D")


def words_of(text: str, *, folded: bool) -> list[str]:
    """The words of a normalised text, English endings off; without diacritics if `folded`."""
    found = _WORD.findall(text)
    return [_stem(fold(word) if folded else word) for word in found]


def has_diacritics(text: str) -> bool:
    """Whether a text was typed with Vietnamese letters: then a word without any is meant without any."""
    return any(c in "đĐ" or unicodedata.combining(c) for c in unicodedata.normalize("NFD", text))


@lru_cache(maxsize=20_000)
def _stem(word: str) -> str:
    """Crude on purpose: it only has to turn the forms of a word into one string, the same on both sides."""
    if not word.isascii() or len(word) < 4:
        return word
    for ending in ("ations", "ation", "ings", "ing", "ed", "es", "s", "e"):
        if word.endswith(ending) and len(word) - len(ending) >= (3 if len(ending) < 3 else 4):
            return word[: -len(ending)] if not word.endswith("ss") else word
    return word


def _all_forms(words: Iterable[str]) -> frozenset[str]:
    return frozenset(form for w in words for form in (w, fold(w), _stem(w), _stem(fold(w))))


STOPS: dict[str, frozenset[str]] = {"en": _all_forms(ENGLISH_STOP_WORDS), "vi": _all_forms(VIETNAMESE_STOP_WORDS)}
"""Stop words of a language in every form that `words_of` gives them."""
FOLDED_STOP_WORDS = STOPS["en"] | STOPS["vi"]
