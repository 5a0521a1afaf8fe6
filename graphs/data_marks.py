"""Marks around text from outside in prompts, so that a model doesn't take it for instructions.

    <data 8f3c0d2a91b7e654>
    … whatever a web page, a document, a tool or a memory says …
    </data 8f3c0d2a91b7e654>

The code is drawn for each run and is only in that run's prompts, so no text from outside can contain it, unless the model
gave it away. `wrap` therefore also removes the code, and breaks closing marks, in every spelling that a model might read as
one: other case, full-width and mathematical letters, invisible characters or spaces within, look-alikes of `<` and `/`.

Not for: what a model is told (`graphs/agents/prompts.py`), or which tools may be called then (`graphs/agents/tool_calls.py`).
"""

import re
import secrets
import unicodedata
from dataclasses import dataclass
from functools import cache

CODE_BYTES = 8
REMOVED_CODE = "[code removed]"

_CODE = r"[0-9a-f]{16}"
MARK = re.compile(rf"</?data(?: {_CODE})?>")
"""A mark in a prompt of ours: those of states that were stored before marks had codes have none."""
BLOCK = re.compile(rf"<data( {_CODE})?>\n.*?\n</data\1>", re.DOTALL)
"""Marked text with its marks."""

# What may stand between two characters of a mark and be overlooked: anything but letters, digits and brackets.
_BETWEEN = r"[^\w<>]*+"
_LESS_THAN = r"(?:<|&lt;?|&#0*60;?|&#x0*3c;?|\\u003c|\\x3c|%3c)"
_SLASH = r"(?:[/\\]|&#0*47;?|&#x0*2f;?|&sol;|%2f)"
_CLOSING = re.compile(rf"{_LESS_THAN}[^\w<>/\\&%]*+{_SLASH}{_BETWEEN}d{_BETWEEN}a{_BETWEEN}t{_BETWEEN}a", re.IGNORECASE)
_INVISIBLE_LETTERS = re.compile("[\U000e0000-\U000e007f]+")
"""Tag characters: a copy of ASCII that no reader sees, but models read."""

# Look-alikes that Unicode doesn't decompose to the ASCII character.
_LOOK_ALIKES = {
    "<": "‹〈⟨《❮❬❰≺˂ᐸ⧼ᚲ𐊨",
    "/": "⁄∕⧸╱⟋／〳᜵",
    "\\": "∖⧵⧹╲⟍﹨",
    "a": "аαɑᴀ",
    "b": "ьЬᖯ",
    "c": "сϲᴄ",
    "d": "ԁɗᴅ",
    "e": "еєҽᴇ",
    "t": "тτᴛ",
    "0": "оОοΟ",
    "3": "зЗӡ",
    "6": "б",
}
_COMPATIBLE_BLOCKS = ((0x80, 0x250), (0x2000, 0x2700), (0x3000, 0x3400), (0xFE00, 0xFFF0), (0x1D400, 0x1D800))
_MORE_COMPATIBLE_BLOCKS = ((0x1F100, 0x1F200), (0x1FBF0, 0x1FBFA))


@dataclass(frozen=True)
class DataMark:
    """The marks of one run. `code` is empty in states that were stored before marks had codes."""

    code: str

    @classmethod
    def new(cls) -> "DataMark":
        """Return marks that nobody can guess."""
        return cls(secrets.token_hex(CODE_BYTES))

    @property
    def opening(self) -> str:
        """The mark before marked text."""
        return f"<data {self.code}>" if self.code else "<data>"

    @property
    def closing(self) -> str:
        """The mark after marked text."""
        return f"</data {self.code}>" if self.code else "</data>"

    def wrap(self, text: str) -> str:
        """Mark text from outside as data. The text can't close the marks."""
        return f"{self.opening}\n{self._without_marks(text)}\n{self.closing}"

    def _without_marks(self, text: str) -> str:
        text = text if text.isascii() else _INVISIBLE_LETTERS.sub("", text)
        text = _replace(_CLOSING, r"<\/data", text)
        return _replace(_code_pattern(self.code), REMOVED_CODE, text) if self.code else text


def _replace(pattern: "re.Pattern[str]", by: str, text: str) -> str:
    """Replace what matches when it is written in ASCII; everything else stays as it is written."""
    plain = text if text.isascii() else text.translate(_plain_letters())
    parts, at = list[str](), 0
    for match in pattern.finditer(plain):
        parts += [text[at : match.start()], by]
        at = match.end()
    return "".join([*parts, text[at:]]) if parts else text


def _code_pattern(code: str) -> "re.Pattern[str]":
    return re.compile(r"[\W_]*+".join(code), re.IGNORECASE)


@cache
def _plain_letters() -> dict[int, str]:
    """Return the ASCII character for each character that is another form of one, or looks like one. Each stands for exactly
    one, so that positions in the translated text are those of the text."""
    found: dict[int, str] = {}
    for start, end in (*_COMPATIBLE_BLOCKS, *_MORE_COMPATIBLE_BLOCKS):
        for number in range(start, end):
            plain = unicodedata.normalize("NFKC", chr(number))
            plain = plain.strip("(). ") if len(plain) > 1 else plain
            if len(plain) == 1 and plain.isascii() and not plain.isspace():
                found[number] = plain
    alike = {one: plain for plain, others in _LOOK_ALIKES.items() for one in others}
    return found | {ord(form): plain for one, plain in alike.items() for form in {one, one.upper()} if len(form) == 1}
