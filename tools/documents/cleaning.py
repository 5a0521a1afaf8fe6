"""Normalizes text from files before it is stored: NFC, without invisible characters or ones that can't be stored."""

import re
import unicodedata

LIGATURES = {0xFB00: "ff", 0xFB01: "fi", 0xFB02: "fl", 0xFB03: "ffi", 0xFB04: "ffl", 0xFB05: "st", 0xFB06: "st"}
BULLETS = dict.fromkeys((0xF0B7, 0xF0A7, 0xF0D8, 0xF076, 0xF0FC), "•")
"""Bullets that Word and old PDF files write as private-use code points."""

BLANK_CHARACTERS = dict.fromkeys((0xA0, 0x1680, *range(0x2000, 0x200B), 0x202F, 0x205F, 0x3000), " ")
INVISIBLE = dict.fromkeys(
    (
        *(code for code in range(32) if chr(code) not in "\t\n"),
        *range(0x7F, 0xA0),
        *(0xAD, 0x180E, 0x200B, 0x200E, 0x200F, 0x2060, 0xFEFF),  # soft hyphen, zero-width spaces, direction marks
        *(*range(0x202A, 0x202F), *range(0x2066, 0x206A)),  # bidirectional overrides
        *range(0xD800, 0xE000),  # surrogates
        *(
            *range(0xFFF9, 0xFFFD),
            0xFFFE,
            0xFFFF,
            *range(0xE0000, 0xE0080),
        ),  # tag characters: text that only machines see
    )
)
TRANSLATION_TABLE = {**LIGATURES, **BULLETS, **BLANK_CHARACTERS, **INVISIBLE, 0x2028: "\n", 0x2029: "\n\n", 0x85: "\n"}
_MARKS = "".join(chr(code) for code in range(0x300, 0x20000) if unicodedata.combining(chr(code)))
EXCESSIVE_MARKS = re.compile(f"([{re.escape(_MARKS)}]{{30}})[{re.escape(_MARKS)}]+")
"""More combining marks than any script puts on one letter; normalizing them takes quadratic time."""
LINE_ENDS = re.compile(r"\r\n?|[\x0b\x0c]")
SPACES = re.compile(r"[ \t]+")
SPACES_AROUND_LINE_END = re.compile(r" ?\n ?")
EMPTY_LINES = re.compile(r"\n{3,}")
TRAILING_SPACES = re.compile(r"[ \t]+$", re.MULTILINE)


def clean(text: str) -> str:
    """Return the text, stripped, with its lines kept, runs of spaces collapsed, and at most one empty line in a row."""
    text = SPACES.sub(" ", normalize_text(text))
    return EMPTY_LINES.sub("\n\n", SPACES_AROUND_LINE_END.sub("\n", text)).strip()


def clean_line(text: str) -> str:
    """Return the text as one line."""
    return " ".join(normalize_text(text).split())


def clean_code(text: str) -> str:
    """Return the text with its indentation and spacing kept."""
    return TRAILING_SPACES.sub("", normalize_text(text)).strip("\n")


def normalize_text(text: str) -> str:
    """Return the text in NFC with `\\n` line ends and without characters that are invisible or can't be stored."""
    if text.isascii():
        text = LINE_ENDS.sub("\n", text)
        return text if text.isprintable() else text.translate(TRANSLATION_TABLE)
    joined = text.encode("utf-16", "surrogatepass").decode("utf-16", "ignore")  # joins surrogate pairs
    joined = EXCESSIVE_MARKS.sub(r"\1", LINE_ENDS.sub("\n", joined).translate(TRANSLATION_TABLE))
    return unicodedata.normalize("NFC", joined)
