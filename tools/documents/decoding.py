"""Decodes text files: by byte order mark, as UTF-8, or by a guess that is reported. Imports nothing heavy at load time."""

import codecs
from dataclasses import dataclass

BYTE_ORDER_MARKS = (
    (b"\xef\xbb\xbf", "utf-8-sig"),
    (b"\xff\xfe\x00\x00", "utf-32"),
    (b"\x00\x00\xfe\xff", "utf-32"),
    (b"\xff\xfe", "utf-16"),
    (b"\xfe\xff", "utf-16"),
)
CONTROLS = bytes(set(range(32)) - {7, 8, 9, 10, 12, 13, 27}) + b"\x7f"
ALLOWED_CONTROLS, MAX_CONTROL_SHARE = 2, 0.002
"""Control characters that a text may contain, as a count and as a share: old files have a few, compressed data about 10 %."""

REJECTED_ENCODINGS = {"idna", "punycode", "unicode-escape", "raw-unicode-escape", "utf-7", "undefined"}
"""Python codecs that no document uses: some are slow, others turn anything into text."""

GUESS_SAMPLE_BYTES = 256 * 1024
DEFAULT_ENCODING = "cp1252"
GUESSABLE_ENCODINGS = [
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
    """The text, the encoding used, and whether it was guessed."""

    text: str
    encoding: str
    guessed: bool = False


def is_text(data: bytes) -> bool:
    """Whether bytes (a file or its start) are text in some encoding."""
    if encoding := bom_encoding(data) or _utf16_without_bom(data):
        data = data.decode(encoding, "replace").replace("\ufffd", "\0").encode("utf-8", "replace")
    return len(data) - len(data.translate(None, CONTROLS)) <= max(ALLOWED_CONTROLS, MAX_CONTROL_SHARE * len(data))


def bom_encoding(data: bytes) -> str:
    """The encoding that the byte order mark stands for; empty if there is none."""
    return next((encoding for mark, encoding in BYTE_ORDER_MARKS if data.startswith(mark)), "")


def decode(data: bytes, declared: str = "") -> Decoded:
    """Return the text. `declared` is the encoding that the file names (an HTML meta tag, a mail header); it is used only if the
    bytes are not valid UTF-8. Undecodable bytes become U+FFFD; never raises."""
    if from_bom := bom_encoding(data) or _utf16_without_bom(data):
        return Decoded(data.decode(from_bom, "replace"), from_bom)
    for encoding in _candidates(declared):
        try:
            return Decoded(data.decode(encoding), encoding)
        except (UnicodeError, LookupError, ValueError):
            continue
    lenient = data.decode("utf-8", "replace")
    if lenient.count("\ufffd") * 1000 < len(lenient):  # still UTF-8, with a few broken characters
        return Decoded(lenient, "utf-8")
    encoding = _guess(data)
    return Decoded(data.decode(encoding, "replace"), encoding, guessed=True)


def _candidates(declared: str) -> tuple[str, ...]:
    """The encodings to try. Latin-1 means windows-1252, as in browsers; ISO-2022 looks like ASCII, so it is tried alone."""
    try:
        name = codecs.lookup(declared).name if declared else ""
    except LookupError:
        name = ""
    if name in REJECTED_ENCODINGS:
        name = ""
    if name.startswith("iso2022"):
        return (name,)
    return ("utf-8", *filter(None, ["cp1252" if name in ("iso8859-1", "ascii") else name]))


def _utf16_without_bom(data: bytes) -> str:
    """Detects UTF-16 without a byte order mark: in most text, every other byte is often zero."""
    head = data[:4096]
    if len(head) < 4:
        return ""
    pairs = len(head) // 2
    even, odd = head[0::2].count(0), head[1::2].count(0)
    if odd > 0.5 * pairs and even < 0.05 * pairs:
        return "utf-16-le"
    return "utf-16-be" if even > 0.5 * pairs and odd < 0.05 * pairs else ""


def _guess(data: bytes) -> str:
    """The most likely legacy encoding; windows-1252 wins over others that fit equally well."""
    from charset_normalizer import from_bytes

    found = list(from_bytes(data[:GUESS_SAMPLE_BYTES], cp_isolation=GUESSABLE_ENCODINGS, threshold=0.5))
    if not found:
        return DEFAULT_ENCODING
    best = found[0]
    similar = [one for one in found if one.chaos <= best.chaos + 0.02 and one.coherence >= best.coherence - 0.01]
    return DEFAULT_ENCODING if any(DEFAULT_ENCODING in one.could_be_from_charset for one in similar) else best.encoding
