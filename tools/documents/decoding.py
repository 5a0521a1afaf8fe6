"""Bytes of a text file into text: by its mark, as UTF-8, or by a guess that is told. Nothing heavy is loaded at import."""

import codecs
from dataclasses import dataclass

MARKS = (
    (b"\xef\xbb\xbf", "utf-8-sig"),
    (b"\xff\xfe\x00\x00", "utf-32"),
    (b"\x00\x00\xfe\xff", "utf-32"),
    (b"\xff\xfe", "utf-16"),
    (b"\xfe\xff", "utf-16"),
)
CONTROLS = bytes(set(range(32)) - {7, 8, 9, 10, 12, 13, 27}) + b"\x7f"
FEW_CONTROLS, MAX_CONTROLS = 2, 0.002
"""How many control characters a text may have, and what share of it: old files have a few, what is packed has a tenth."""

NEVER = {"idna", "punycode", "unicode-escape", "raw-unicode-escape", "utf-7", "undefined"}
"""Encodings that Python knows and that no document has: some are slow, others make text of what is none."""

GUESS_BYTES = 256 * 1024
WESTERN = "cp1252"
GUESSED = [
    "cp1252",
    "cp1258",
    "cp1250",
    "cp1251",
    "cp1253",
    "cp1254",
    "shift_jis",
    "euc_jp",
    "euc_kr",
    "gb18030",
    "big5",
    "koi8_r",
]


@dataclass(frozen=True, slots=True)
class Decoded:
    """The text, the encoding that it was read with, and whether that was a guess."""

    text: str
    encoding: str
    guessed: bool = False


def is_text(data: bytes) -> bool:
    """Whether bytes (a whole file, or its beginning) are text in some encoding."""
    if encoding := marked_encoding(data) or _without_mark(data):
        data = data.decode(encoding, "replace").replace("\ufffd", "\0").encode("utf-8", "replace")
    return len(data) - len(data.translate(None, CONTROLS)) <= max(FEW_CONTROLS, MAX_CONTROLS * len(data))


def marked_encoding(data: bytes) -> str:
    """The encoding that the mark at the beginning names; empty without one."""
    return next((encoding for mark, encoding in MARKS if data.startswith(mark)), "")


def decode(data: bytes, declared: str = "") -> Decoded:
    """Return the text. `declared` is what the file itself names (HTML's meta, a mail's head); it is believed only where the
    bytes are not UTF-8, which hardly anything else looks like. What can't be decoded becomes U+FFFD, in no case an error."""
    if marked := marked_encoding(data) or _without_mark(data):
        return Decoded(data.decode(marked, "replace"), marked)
    for encoding in _candidates(declared):
        try:
            return Decoded(data.decode(encoding), encoding)
        except (UnicodeError, LookupError, ValueError):
            continue
    cut = data.decode("utf-8", "replace")
    if cut.count("\ufffd") * 1000 < len(cut):  # UTF-8 with a broken character here and there is still that
        return Decoded(cut, "utf-8")
    encoding = _guess(data)
    return Decoded(data.decode(encoding, "replace"), encoding, guessed=True)


def _candidates(declared: str) -> tuple[str, ...]:
    """The encodings to try. Browsers read Latin-1 as windows-1252, and so do we; ISO-2022 looks like ASCII."""
    try:
        name = codecs.lookup(declared).name if declared else ""
    except LookupError:
        name = ""
    if name in NEVER:
        name = ""
    if name.startswith("iso2022"):
        return (name,)
    return ("utf-8", *filter(None, ["cp1252" if name in ("iso8859-1", "ascii") else name]))


def _without_mark(data: bytes) -> str:
    """UTF-16 that doesn't say so: of ordinary text every other byte is zero, often enough."""
    head = data[:4096]
    if len(head) < 4:
        return ""
    pairs = len(head) // 2
    even, odd = head[0::2].count(0), head[1::2].count(0)
    if odd > 0.5 * pairs and even < 0.05 * pairs:
        return "utf-16-le"
    return "utf-16-be" if even > 0.5 * pairs and odd < 0.05 * pairs else ""


def _guess(data: bytes) -> str:
    """The likeliest of the old encodings; windows-1252 is preferred to others that fit as well."""
    from charset_normalizer import from_bytes

    found = list(from_bytes(data[:GUESS_BYTES], cp_isolation=GUESSED, threshold=0.5))
    if not found:
        return WESTERN
    best = found[0]
    alike = [one for one in found if one.chaos <= best.chaos + 0.02 and one.coherence >= best.coherence - 0.01]
    return WESTERN if any(WESTERN in one.could_be_from_charset for one in alike) else best.encoding
