"""Finds where text may be cut: after sentences, at whitespace, between graphemes. Every function looks only at a window of the
text, in time linear in that window.

Positions are string indices: a cut at `p` falls between `text[p - 1]` and `text[p]`.
"""

import re
import unicodedata
from collections.abc import Iterator

_CLOSING_MARKS = "\"'”’»)\\]"
_SENTENCE_END = re.compile(
    rf"(?<=[.!?…।؟۔])[{_CLOSING_MARKS}]{{0,3}}(?=\s)"  # these need a space after them: 3.14, example.com
    r"|[。！？；｡][”’」』）】》]{0,3}"  # these don't
    r"|\n(?=\n)"
)
_WORD_BEFORE = re.compile(r"[^\W_]+(?:\.[^\W_]+){0,3}\Z")
_NOT_SPACE = re.compile(r"\S")
_MAX_ABBREVIATION_LENGTH = 12

_ABBREVIATIONS = (
    "mr mrs ms dr prof st jr sr vs no nos nr fig figs eq vol ed eds al inc ltd co corp dept est approx ca cf pp sec ch art "
    "e.g i.e u.s jan feb mar apr jun jul aug sep sept oct nov dec "
    "z.b d.h u.a bzw abb abs hr str "
    "tp ts ths pgs gs bs ks tt ubnd"
)
ABBREVIATIONS = frozenset(_ABBREVIATIONS.split())
"""Common abbreviations (English, German, Vietnamese) whose full stop does not end a sentence."""

_JOINS_NEXT = frozenset("เแโใไ\u200d")
"""Thai vowels that are written before their consonant; the zero-width joiner."""

_JOINS_PREVIOUS = frozenset("\u200d\u0e33\u0eb3")


def sentence_ends(text: str, low: int, high: int) -> Iterator[int]:
    """Positions from `low` to `high` at which a sentence has just ended, in order. Empty lines count as ends."""
    for found in _SENTENCE_END.finditer(text, low, min(high + 1, len(text))):
        if low <= found.end() <= high and not _is_abbreviation(text, found.start()):
            yield found.end()


def last_sentence_end(text: str, low: int, high: int) -> int | None:
    """The last of `sentence_ends`; what is an abbreviation is asked from the end only."""
    for found in reversed(list(_SENTENCE_END.finditer(text, low, min(high + 1, len(text))))):
        if low <= found.end() <= high and not _is_abbreviation(text, found.start()):
            return found.end()
    return None


def last_space(text: str, low: int, high: int) -> int | None:
    """The last position from `low` to `high` that holds whitespace or follows a CJK comma. A line end in the second half of the
    window is preferred to other spaces."""
    line = text.rfind("\n", (low + high) // 2, high + 1)
    if line >= 0:
        return line
    found = max(text.rfind(space, low, high + 1) for space in (" ", "\n", "\t", "\u3000", "\xa0"))
    comma = max(text.rfind(comma, low, high) + 1 for comma in "，、")
    best = max(found, comma)
    return best if best >= max(low, 1) else None


def word_start(text: str, low: int, high: int) -> int | None:
    """The first position in `[low, high)` where a word begins after whitespace."""
    spaces = (text.find(space, max(low - 1, 0), high) for space in (" ", "\n", "\t", "\u3000", "\xa0"))
    first = min((space for space in spaces if space >= 0), default=None)
    if first is None:
        return None
    found = skip_space(text, first, high)
    return found if low <= found < high else None


def skip_space(text: str, low: int, high: int) -> int:
    """The first position from `low` that is not whitespace; `high` if there is none."""
    found = _NOT_SPACE.search(text, low, high)
    return found.start() if found else high


def last_grapheme_boundary(text: str, low: int, high: int) -> int:
    """The last position in `(low, high]` that does not split a grapheme; `high` if there is none (a letter with a thousand
    combining marks)."""
    for position in range(high, low, -1):
        if not _is_inside_grapheme(text, position):
            return position
    return high


def next_grapheme_boundary(text: str, low: int, high: int) -> int:
    """The first position in `[low, high)` that does not split a grapheme; `high` if there is none."""
    return next((position for position in range(low, high) if not _is_inside_grapheme(text, position)), high)


def _is_inside_grapheme(text: str, position: int) -> bool:
    """Whether `position` splits a letter from its combining marks, an emoji sequence, a flag, or a Hangul syllable."""
    if not 0 < position < len(text):
        return False
    before, after = text[position - 1], text[position]
    if after < "\u0300":
        return before == "\r" and after == "\n"
    if before in _JOINS_NEXT or after in _JOINS_PREVIOUS or unicodedata.category(after).startswith("M"):
        return True
    if "\U0001f3fb" <= after <= "\U0001f3ff" or "\u1160" <= after <= "\u11ff":  # skin tones; Hangul vowels and finals
        return True
    return _is_flag(before) and _is_flag(after) and _flags_before(text, position) % 2 == 1


def _is_flag(letter: str) -> bool:
    return "\U0001f1e6" <= letter <= "\U0001f1ff"


def _flags_before(text: str, position: int) -> int:
    """How many regional indicators come right before; an odd number means an unfinished flag. Looks back 64 at most."""
    count = 0
    while count < min(position, 64) and _is_flag(text[position - 1 - count]):
        count += 1
    return count


def _is_abbreviation(text: str, end: int) -> bool:
    """Whether the full stop before `end` ends a word and not a sentence: "Dr. Lan", "J. Smith", "1. First", "etc. and"."""
    if end < 1 or text[end - 1] != ".":
        return False
    after = text[skip_space(text, end, min(end + 3, len(text))) : end + 4][:1]
    if after.islower():
        return True
    begin = max(end - 1 - _MAX_ABBREVIATION_LENGTH, 0)
    found = _WORD_BEFORE.search(text[begin : end - 1])
    if not found:
        return False
    word = found.group()
    if word.isdigit():  # "1. First" at the beginning of a line
        first = begin + found.start()
        return len(word) <= 3 and (first == 0 or text[first - 1] == "\n")
    return word.casefold() in ABBREVIATIONS or (len(word) == 1 and word.isupper())
