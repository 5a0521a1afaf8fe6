"""Codes and names of files in a text. Each becomes one placeholder, so that texts about different ones are alike.

A code is known by its form alone: digits mixed with letters, or many digits. What it is a code of, a shipment or a customer,
nothing here knows: that is told by the tools of agents, and by their examples (`graphs/routing/codes.py`).
"""

import re
from functools import lru_cache

CODE, DOCUMENT, IMAGE = "‹code›", "‹document›", "‹image›"
MIN_DIGITS, MIN_DIGITS_ALONE = 3, 6
"""Of a code with letters or signs, and of one of digits alone: a year or a house number is none."""
MIN_DIGITS_WITH_SIGNS = 5

_FILES = (
    (DOCUMENT, re.compile(r"\b[\w-]+\.(?:pdf|docx?|xlsx?|pptx?|csv|txt|md)\b", re.IGNORECASE)),
    (IMAGE, re.compile(r"\b[\w-]+\.(?:jpe?g|png|tiff?|heic|bmp|webp|gif)\b", re.IGNORECASE)),
)
_TOKEN = re.compile(r"(?<![\w‹])(?=[A-Za-z]*[\w#/~.-]*?\d)[A-Za-z0-9#][\w#/~.-]*(?<=\w)")
# Amounts (1.150.000, 84.60), dates (05/11/2024, 2024-11-05), years from to (2023-2024), times, decades and percentages.
_NO_CODE = re.compile(
    r"\d{1,3}(?:[.,]\d{3})+|\d+[.,]\d+|\d{1,2}[./-]\d{1,2}(?:[./-]\d{2,4})?|\d{4}[./-]\d{1,2}(?:[./-]\d{1,2})?"
    r"|(?:19|20)\d\d[-/](?:19|20)?\d\d|(?:19|20)\d\ds|\d+(?:st|nd|rd|th|k|m|kg|km|cm|mm|ml|eur|usd|vnd|gsm|px|tr)",
    re.IGNORECASE,
)
MAX_CODE_CHARS = 64


def codes_in(text: str) -> tuple[str, ...]:
    """Return the codes of a text as they are written, in their order."""
    return tuple(found[0] for found in _TOKEN.finditer(_without_files(text)) if _is_code(found[0]))


@lru_cache(maxsize=32)  # a question's text is looked at nine times while it is routed
def mark_codes(text: str) -> str:
    """Return the text with each code, and each name of a file, replaced by its placeholder."""
    return _TOKEN.sub(lambda found: f" {CODE} " if _is_code(found[0]) else found[0], _without_files(text))


def _without_files(text: str) -> str:
    for word, pattern in _FILES:
        text = pattern.sub(f" {word} ", text)
    return text


def _is_code(token: str) -> bool:
    digits = sum(char.isdigit() for char in token)
    if digits < MIN_DIGITS or len(token) > MAX_CODE_CHARS or _NO_CODE.fullmatch(token):
        return False
    if digits == len(token):
        return digits >= MIN_DIGITS_ALONE
    return digits >= MIN_DIGITS_WITH_SIGNS or any(char.isalpha() for char in token)
