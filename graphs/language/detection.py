"""Detects English, Vietnamese, or neither, by letters, frequent words, and the shape of syllables.

Vietnamese is recognised without its diacritics too ("cong no cua toi la bao nhieu"). In a mixed sentence, the language with
more evidence wins. All other languages are "other".
"""

import re
import unicodedata
from typing import Literal

from graphs.language.patterns import mark_codes
from graphs.language.tokenization import fold, word_set

Language = Literal["en", "vi", "other"]

_VIETNAMESE_ONLY = re.compile(r"[ăđơưạảấầẩẫậắằẳẵặẹẻẽếềểễệỉịọỏốồổỗộớờởỡợụủứừửữựỳỵỷỹ]")
_ALSO_IN_OTHERS = re.compile(r"[àáâãèéêìíòóôõùúýĩũ]")
_WORD = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)?")
_SYLLABLE = re.compile(
    r"(?:ngh?|nh|kh|th|tr|ch|gh|gi|ph|qu|[bcdghklmnprstvx])?"
    r"(?:uye|uya|uyu|uoi|uou|ieu|yeu|oai|oay|uay|oeo|ai|ao|au|ay|eo|eu|ia|ie|iu|oa|oe|oi|oo|ua|ue|ui|uo|uu|uy|ye|[aeiouy])"
    r"(?:ch|ng|nh|[cmnpt])?"
)
_ENGLISH = word_set(
    """the is are was were be been of and a to in for on with what where when which who how why does do did has have
    had can could will would should please me my i you your our us we they their it its this that these those from by
    at as or not any all about tell show give find check list get read many much still yet now then if than there here
    hi hello thanks thank good morning bye need want know say says make write name time it's what's i'm don't into
    out up first last next thing things nothing something anything with using through over think bring"""
)
_VIETNAMESE = word_set(
    """cua khong la bao nhieu nao duoc cho toi minh giup dang chua roi vay gi cong khach nhung cac voi trong
    hom nay xem kiem tra biet muon ban em anh chi oi nhe va hoa thi nhu den tu ve theo sau truoc khi ngay thang nam
    viet tieng xin chao cam on lam sao ai dau het tien hang tau lo van cang giay chu anh hinh bai ke noi dung tim
    quy dinh hop dong bao cao tom tat phan tich so sanh tai lieu nghi phep thue don cung het roi kia thoi tiet mot
    hai ba mua"""
)
_IN_BOTH = word_set("me to so no in do an am a i on can the ban long sang hang may con tin but hay than be y u as")
# Frequent words of the most common other languages in Latin letters; none is English or a Vietnamese syllable.
_OTHER_WORDS = word_set(
    """je vous nous est les des une dans pour avec sur qui quel quelle comment bonjour merci où mon votre notre pas plus
    ich sie wir ist sind der das und nicht mein meine bitte danke wie wo wann warum für mit auf ein eine kann morgen
    el los las una está dónde donde cuándo cuando qué quién cómo por para mi gracias hola cliente puede este esta
    il lo gli della quanto quando dove perché ciao grazie deve sono ancora questo o os onde meu minha você não obrigado
    het een niet waar hoe mijn dank apa ini itu yang berapa saya tidak adalah dengan untuk terima kasih dari pelanggan
    jest nie czy kiedy gdzie jak proszę dziękuję"""
) - {"o", "lo", "mi", "este"}
_OTHER_LETTERS = re.compile(r"[äöüßñçœæøåłśżźćńęąşğıěřšžčů]")
MAX_CHARS = 400
"""Of a text that are examined; more would add nothing."""


def detect_language(text: str) -> Language:
    """Return the dominant language; "other" for other scripts, and for texts without words."""
    words = _WORD.findall(
        re.sub(r"‹\w+›", " ", mark_codes(unicodedata.normalize("NFC", text[:MAX_CHARS]).replace("‹", "")))
    )
    latin = [word for word in words if _is_latin(word)]
    if not latin or len("".join(latin)) * 2 < len("".join(words)):
        return "other"
    in_sentence = len(latin) > 1
    vietnamese = english = other = 0.0
    for word in latin:
        if word.lower() in _OTHER_WORDS or _OTHER_LETTERS.search(word.lower()):
            other += 1.2
            continue
        v, e = _word_evidence(word, in_sentence=in_sentence)
        vietnamese, english = vietnamese + v, english + e
    if other >= max(vietnamese, english):
        return "other"
    return "vi" if vietnamese > english else "en"


def _word_evidence(word: str, *, in_sentence: bool) -> tuple[float, float]:
    """Return a word's evidence for Vietnamese and for English. Names (capitals) count little for either."""
    lower = word.lower()
    if lower in _IN_BOTH:
        return 0.1, 0.15
    if lower in _ENGLISH:
        return 0.0, 1.0
    if _VIETNAMESE_ONLY.search(lower):
        return (1.0 if in_sentence and word[0].isupper() else 2.0), 0.0
    vietnamese, english = _shape_evidence(lower)
    share = 0.3 if in_sentence and word[0].isupper() and english else 1.0
    return vietnamese * share, english * share


def _shape_evidence(lower: str) -> tuple[float, float]:
    """Evidence from letters that are rare in English, then from whether it is a frequent word or could be a syllable."""
    if _ALSO_IN_OTHERS.search(lower):
        return 1.2, 0.0
    if fold(lower) in _VIETNAMESE:
        return 0.8, 0.0
    return (0.35, 0.1) if _SYLLABLE.fullmatch(fold(lower)) else (0.0, 0.5)


def _is_latin(word: str) -> bool:
    return all(unicodedata.name(c, "").startswith("LATIN") or c in "'’" for c in unicodedata.normalize("NFC", word))
