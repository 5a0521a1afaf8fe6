"""Business numbers and codes: tax codes, containers, bills of lading, invoices, files. Each kind becomes one placeholder.

An agent with a container number in its examples then matches every container number, as if it were a shared word.
"""

import re
from functools import lru_cache

TAX_CODE, CONTAINER, SHIPMENT, INVOICE, DOCUMENT, IMAGE, PHONE = (
    "‹tax_code›",
    "‹container›",
    "‹shipment›",
    "‹invoice›",
    "‹document›",
    "‹image›",
    "‹phone›",
)
CODES = frozenset({TAX_CODE, CONTAINER, SHIPMENT, INVOICE})

# In order: the first match takes the characters.
_KINDS: tuple[tuple[str, re.Pattern[str]], ...] = (
    (DOCUMENT, re.compile(r"\b[\w-]+\.(?:pdf|docx?|xlsx?|pptx?|csv|txt|md)\b", re.IGNORECASE)),
    (IMAGE, re.compile(r"\b[\w-]+\.(?:jpe?g|png|tiff?|heic|bmp|webp|gif)\b", re.IGNORECASE)),
    (CONTAINER, re.compile(r"\b[A-Z]{3}[UJZ][ -]?\d{6}[ -]?\d\b", re.IGNORECASE)),  # ISO 6346
    (PHONE, re.compile(r"(?:\+84|(?<=phone )|(?<=sđt )|(?<=gọi )|(?<=call ))[ .-]?\d[\d .-]{7,11}\d", re.IGNORECASE)),
    (SHIPMENT, re.compile(r"\bM?AWB[ -]?\d{3}[ -]?\d{8}\b|\b\d{3}-\d{8}\b", re.IGNORECASE)),
    (INVOICE, re.compile(r"\b(?:INV|HĐ|HD)[-_/ ]?\d[\d/-]*\b|\b[1-6][CK]\d{2}[A-Z]{3}\b", re.IGNORECASE)),
    (SHIPMENT, re.compile(r"\b(?:SHP?|SHIP|BKG?|[HM]?BL|VD|VĐ|LOT|[A-Z]{4})[-_ ]?\d{4,12}\b", re.IGNORECASE)),
    (TAX_CODE, re.compile(r"\b\d{10}(?:-\d{3})?\b")),  # 10 digits; a branch has 3 more
)


@lru_cache(maxsize=32)  # a question's text is looked at nine times while it is routed
def mark_codes(text: str) -> str:
    """Return the text with each number or code replaced by the placeholder of its kind."""
    for word, pattern in _KINDS:
        text = pattern.sub(f" {word} ", text)
    return text


def codes_in(marked: str) -> frozenset[str]:
    """Return the kinds of codes in a text from `mark_codes`."""
    return frozenset(re.findall(r"‹\w+›", marked))
