"""Text as files hold it into text as it is stored: one spelling per letter (NFC), nothing that can't be seen or stored."""

import re
import unicodedata

LIGATURES = {0xFB00: "ff", 0xFB01: "fi", 0xFB02: "fl", 0xFB03: "ffi", 0xFB04: "ffl", 0xFB05: "st", 0xFB06: "st"}
BULLETS = dict.fromkeys((0xF0B7, 0xF0A7, 0xF0D8, 0xF076, 0xF0FC), "•")
"""Where Word and old PDF files put their bullets: code points that belong to nobody."""

BLANKS = dict.fromkeys((0xA0, 0x1680, *range(0x2000, 0x200B), 0x202F, 0x205F, 0x3000), " ")
UNSEEN = dict.fromkeys(
    (
        *(code for code in range(32) if chr(code) not in "\t\n"),
        *range(0x7F, 0xA0),
        *(0xAD, 0x180E, 0x200B, 0x200E, 0x200F, 0x2060, 0xFEFF),  # soft hyphen, blanks of no width, marks of direction
        *(*range(0x202A, 0x202F), *range(0x2066, 0x206A)),  # what turns text around
        *range(0xD800, 0xE000),  # halves of characters
        *(*range(0xFFF9, 0xFFFD), 0xFFFE, 0xFFFF, *range(0xE0000, 0xE0080)),  # tags: text that only machines see
    )
)
TABLE = {**LIGATURES, **BULLETS, **BLANKS, **UNSEEN, 0x2028: "\n", 0x2029: "\n\n", 0x85: "\n"}
_MARKS = "".join(chr(code) for code in range(0x300, 0x20000) if unicodedata.combining(chr(code)))
HEAPED_MARKS = re.compile(f"([{re.escape(_MARKS)}]{{30}})[{re.escape(_MARKS)}]+")
"""More marks on one letter than any script has: putting them in order takes time that grows with the square."""
LINE_ENDS = re.compile(r"\r\n?|[\x0b\x0c]")
SPACES = re.compile(r"[ \t]+")
SPACES_AT_ENDS = re.compile(r" ?\n ?")
EMPTY_LINES = re.compile(r"\n{3,}")
TRAILING = re.compile(r"[ \t]+$", re.MULTILINE)


def clean(text: str) -> str:
    """Return the text with its lines kept: blanks collapsed, no more than one empty line in a row, nothing at the ends."""
    text = SPACES.sub(" ", clean_letters(text))
    return EMPTY_LINES.sub("\n\n", SPACES_AT_ENDS.sub("\n", text)).strip()


def clean_line(text: str) -> str:
    """Return the text as one line."""
    return " ".join(clean_letters(text).split())


def clean_code(text: str) -> str:
    """Return the text with its indentation and blanks kept."""
    return TRAILING.sub("", clean_letters(text)).strip("\n")


def clean_letters(text: str) -> str:
    """Return the text in NFC, with `\\n` at its lines' ends, and without what can't be seen or stored."""
    if text.isascii():
        text = LINE_ENDS.sub("\n", text)
        return text if text.isprintable() else text.translate(TABLE)
    whole = text.encode("utf-16", "surrogatepass").decode("utf-16", "ignore")  # two halves make a character again
    whole = HEAPED_MARKS.sub(r"\1", LINE_ENDS.sub("\n", whole).translate(TABLE))
    return unicodedata.normalize("NFC", whole)
