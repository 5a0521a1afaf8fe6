"""Finds values in a question: formulas, codes, places, dates, numbers, quoted words. Rule 13 of `offline.py`.

Every function gives what it found in order, and an empty list for nothing.
"""

import re
import unicodedata
from itertools import pairwise

from graphs.language.tokenization import fold
from graphs.providers.offline.concepts import concepts_of
from graphs.providers.offline.texts import listed

_QUOTED = re.compile(
    r'"([^"\n]{1,300})"|“([^”\n]{1,300})”|«([^»\n]{1,300})»|(?<!\w)\'([^\'\n]{1,300})\'(?!\w)|`([^`\n]{1,300})`'
)
_CODE = re.compile(r"(?<![\w.])(?=[\w/-]*\d)(?:[A-Za-zĐđ]{1,8}[-_/ ]?)?\d[\w/-]*(?![\w.]*\w)")
_URL = re.compile(r"https?://[^\s<>\"'`]+[^\s<>\"'`.,;:!?)]")
_EMAIL = re.compile(r"[\w.+-]+@[\w-]+(?:\.[\w-]+)+")
_ISO_DATE = re.compile(r"\b(\d{4})-(\d{2})-(\d{2})\b")
_DAY_FIRST = re.compile(r"\b(\d{1,2})[/.](\d{1,2})[/.](\d{4})\b")
_NUMBER = re.compile(r"(?<![\w.,/-])-?\d+(?:[.,]\d{3})*(?:\.\d+)?(?![\w/-]|[.,]\d)")
_FENCED = re.compile(r"```\w*\n(.*?)```", re.DOTALL)
_WORD_NUMBERS = {
    **{"one": 1, "two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "seven": 7, "eight": 8, "nine": 9, "ten": 10},
    **{"một": 1, "hai": 2, "ba": 3, "bốn": 4, "năm": 5, "sáu": 6, "bảy": 7, "tám": 8, "chín": 9, "mười": 10},
}
_BEFORE_PLACE = listed("in at for of near from to around ở tại cho của về từ đến o tai")
_AFTER_PLACE = listed(
    "today now tomorrow tonight right please this next is are was like and or with hôm bây ngày như thế có bao thì và "
    "không ra sao nào lúc hiện đang nhé ạ vậy the it be will"
)
_LEADS = listed(
    "what what's how which who where when is are can could would please tell show give check find get look search calculate "
    "compute list compare i and also then if does do did will has have my the thời cho hãy xem tìm tra cứu kiểm khách công "
    "tính giúp tôi mã số bao có và mst"
)
_TOKENS = re.compile(r"[^\W_][\w'’.-]*[\w]|[^\W_]|[,?!;:]")


def quoted(text: str) -> list[str]:
    """Words in quotation marks."""
    return [next(group for group in match.groups() if group) for match in _QUOTED.finditer(text)]


def codes(text: str) -> list[str]:
    """Tokens of four or more characters with a digit, such as 0104985841, SHP-1029 or MSKU1234567; not dates."""
    found = (match[0].strip() for match in _CODE.finditer(text))
    dates = {match[0] for pattern in (_ISO_DATE, _DAY_FIRST) for match in pattern.finditer(text)}
    return [code for code in dict.fromkeys(found) if len(code) >= 4 and code not in dates]


def matching(pattern: str, text: str) -> list[str]:
    """Tokens, pairs of tokens and whole codes that fit the pattern of a JSON Schema from end to end where it is anchored.
    A pattern that can't be compiled, or might take for ever, finds nothing: one that is long, repeats a group, or has more
    than three open repetitions."""
    if len(pattern) > 200 or re.search(r"\)[*+{]", pattern) or len(re.findall(r"[*+]|,\}", pattern)) > 3:
        return []
    try:
        fits = re.compile(pattern)
    except re.error:
        return []
    tokens = [token.strip(".,;:!?()[]\"'“”‘’") for token in text.split()[:400]]
    runs = [
        *tokens,
        *(f"{a}{space}{b}" for a, b in pairwise(tokens) for space in (" ", "")),
        *(c for c in codes(text) if " " in c),
    ]
    runs = [run for run in runs if len(run) <= 40 and any(c.isdigit() for c in run)]
    found = [run for run in runs if fits.search(run)] or [run.upper() for run in runs if fits.search(run.upper())]
    return list(dict.fromkeys(found))


def urls(text: str) -> list[str]:
    """Addresses that begin with http."""
    return _URL.findall(text)


def emails(text: str) -> list[str]:
    """E-mail addresses."""
    return _EMAIL.findall(text)


def dates(text: str) -> list[str]:
    """Dates as ISO 8601, from 2026-03-01 and from 1/3/2026, day first."""
    found = [(m.start(), m[0]) for m in _ISO_DATE.finditer(text)]
    found += [
        (m.start(), f"{m[3]}-{int(m[2]):02}-{int(m[1]):02}") for m in _DAY_FIRST.finditer(text) if int(m[2]) <= 12
    ]
    return [date for _, date in sorted(found)]


def numbers(text: str) -> list[str]:
    """Numbers as they stand, commas between thousands left out; then number words from one to ten."""
    found = [match[0].replace(",", "") for match in _NUMBER.finditer(text)]
    said = unicodedata.normalize("NFC", text).casefold().split()
    return found or [str(_WORD_NUMBERS[word]) for word in said if word in _WORD_NUMBERS]


def number_near(text: str, hints: frozenset[str]) -> str | None:
    """The number right before or after one of these words: "5 days", "top 5"."""
    said = [token.strip(".,;:?!()=") for token in text.split()]
    for at, word in enumerate(said):
        if fold(word.casefold()) in hints:
            for neighbour in (at - 1, at + 1):
                if 0 <= neighbour < len(said) and (found := numbers(said[neighbour])):
                    return found[0]
    return None


def fenced(text: str) -> list[str]:
    """What stands in code fences, else after the first colon that is followed by text."""
    if found := [match[1].rstrip("\n") for match in _FENCED.finditer(text)]:
        return found
    return [inner for inner in quoted(text) if re.search(r"[()=]", inner)]


def names(text: str) -> list[str]:
    """Runs of capitalised words: those after a preposition first. Words that begin a sentence as any word does don't count."""
    runs: list[tuple[bool, str]] = []
    current: list[str] = []
    led = False
    before, begins = "", True
    for token in [*_TOKENS.findall(text), "."]:
        plain = token.casefold()
        proper = token[0].isupper() and not any(c.isdigit() for c in token)
        if (
            proper
            and not (begins and (plain in _LEADS or concepts_of(plain)))
            and not (len(token) > 1 and plain in ("mst",))
        ):
            led = (
                led
                if current
                else before in _BEFORE_PLACE or (before in (",", "and", "và") and bool(runs) and runs[-1][0])
            )
            current.append(token)
        elif current:
            runs.append((led, " ".join(current).strip(".")))
            current = []
        before, begins = plain, token in ("?", "!", ".", ";")
    after = [run for was_led, run in runs if was_led]
    return list(dict.fromkeys(after or [run for _, run in runs][-1:]))


def places(text: str) -> list[str]:
    """Names of places; without capitals, the words after a preposition up to one that can't belong to a name."""
    if found := names(text):
        return found
    said = _TOKENS.findall(unicodedata.normalize("NFC", text).casefold())
    for at, word in enumerate(said[:-1]):
        if word in ("in", "at", "near", "ở", "tại", "for") or (word == "of" and at):
            run: list[str] = []
            for token in said[at + 1 : at + 5]:
                if token in _AFTER_PLACE or not token[0].isalpha():
                    break
                run.append(token)
            if run and run[0] not in ("the", "a", "me"):
                return [" ".join(run)]
    return []
