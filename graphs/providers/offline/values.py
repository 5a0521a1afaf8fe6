"""Finds values in a question: formulas, codes, places, dates, numbers, quoted words. Rule 13 of `provider.py`.

Every function returns what it found in order.
"""

import re
import unicodedata
from itertools import pairwise

from graphs.language.tokenization import fold
from graphs.providers.offline.concepts import find_concepts
from graphs.providers.offline.texts import word_set

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
_BEFORE_PLACE = word_set("in at for of near from to around ở tại cho của về từ đến bên o tai ben")
_AFTER_PLACE = word_set(
    "today now tomorrow tonight right please this next is are was like and or with hôm bây ngày như thế có bao thì và "
    "không ra sao nào lúc hiện đang nhé ạ vậy the it be will weekend week"
)
_SENTENCE_STARTS = word_set(
    "what what's how which who where when is are can could would please tell show give check find get look search calculate "
    "compute list compare i and also then if does do did will has have my the thời cho hãy xem tìm tra cứu kiểm khách công "
    "tính giúp tôi mã số bao có và mst bên chiều sáng tối trưa"
)
MAX_KEYWORDS = 4
_TOKENS = re.compile(r"[^\W_][\w'’.-]*[\w]|[^\W_]|[,?!;:]")


def find_quoted(text: str) -> list[str]:
    """Return texts in quotation marks."""
    return [next(group for group in match.groups() if group) for match in _QUOTED.finditer(text)]


def find_codes(text: str) -> list[str]:
    """Return tokens of four or more characters with a digit, such as 0104985841, SHP-1029 or MSKU1234567; not dates."""
    found = (match[0].strip() for match in _CODE.finditer(text))
    find_dates = {match[0] for pattern in (_ISO_DATE, _DAY_FIRST) for match in pattern.finditer(text)}
    return [code for code in dict.fromkeys(found) if len(code) >= 4 and code not in find_dates]


def find_matching(pattern: str, text: str) -> list[str]:
    """Return tokens, pairs of tokens and codes that match the pattern of a JSON Schema. A pattern that can't be compiled or
    may be too slow (a long one, one that repeats a group, or one with more than three open repetitions) matches nothing."""
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
        *(c for c in find_codes(text) if " " in c),
    ]
    runs = [run for run in runs if len(run) <= 40 and any(c.isdigit() for c in run)]
    found = [run for run in runs if fits.search(run)] or [run.upper() for run in runs if fits.search(run.upper())]
    return list(dict.fromkeys(found))


def find_urls(text: str) -> list[str]:
    """Return URLs that begin with http."""
    return _URL.findall(text)


def find_emails(text: str) -> list[str]:
    """Return e-mail addresses."""
    return _EMAIL.findall(text)


def find_dates(text: str) -> list[str]:
    """Return dates in ISO 8601, from 2026-03-01 and from 1/3/2026, day first."""
    found = [(m.start(), m[0]) for m in _ISO_DATE.finditer(text)]
    found += [
        (m.start(), f"{m[3]}-{int(m[2]):02}-{int(m[1]):02}") for m in _DAY_FIRST.finditer(text) if int(m[2]) <= 12
    ]
    return [date for _, date in sorted(found)]


def find_numbers(text: str) -> list[str]:
    """Return numbers without thousands separators; if there are none, number words from one to ten."""
    found = [match[0].replace(",", "") for match in _NUMBER.finditer(text)]
    tokens_in_text = unicodedata.normalize("NFC", text).casefold().split()
    return found or [str(_WORD_NUMBERS[word]) for word in tokens_in_text if word in _WORD_NUMBERS]


def number_near(text: str, hints: frozenset[str]) -> str | None:
    """Return the number right before or after one of these words: "5 days", "top 5"."""
    tokens_in_text = [token.strip(".,;:?!()=") for token in text.split()]
    for at, word in enumerate(tokens_in_text):
        if fold(word.casefold()) in hints:
            for neighbour in (at - 1, at + 1):
                if 0 <= neighbour < len(tokens_in_text) and (found := find_numbers(tokens_in_text[neighbour])):
                    return found[0]
    return None


_ONE_LINE = re.compile(r"\b(?:import \w+;\s*)?print\(.*\)")
"""A program of one line, without a fence."""
_COMPREHENSION = re.compile(r"[\[({][^\n]*\bfor\s+\w+\s+in\b[^\n]*[\])}]")


def find_code_blocks(text: str) -> list[str]:
    """Return the contents of code fences, or else quoted texts that look like code."""
    if found := [match[1].rstrip("\n") for match in _FENCED.finditer(text)]:
        return found
    if called := _ONE_LINE.search(text):
        return [called[0].strip()]
    if listed := _COMPREHENSION.search(text):
        return [f"print({listed[0]})"]
    return [inner for inner in find_quoted(text) if re.search(r"[()=]", inner)]


_ROW = re.compile(r"[^,;\t|\n]*(?:[,;\t|][^,;\t|\n]*)+")
_LIST = re.compile(r"(?<![\w.])-?\d+(?:\.\d+)?(?:(?:\s*[,;]\s*|\s+)-?\d+(?:\.\d+)?){4,}(?![\w])")


def find_tables(text: str) -> list[str]:
    """Return a table in a text: at least two lines that follow each other, cut by the same sign into as many cells, the second
    with a number; or a list of five numbers or more, as a table of one column."""
    rows: list[str] = []
    for line in [*text.split("\n"), ""]:
        sign = next((sign for sign in (";", "\t", "|", ",") if sign in line), "")
        if _ROW.fullmatch(line.strip()) and (not rows or line.count(sign) == rows[0].count(sign)):
            rows.append(line.strip())
        elif len(rows) > 1:
            break
        else:
            rows = [line.strip()] if _ROW.fullmatch(line.strip()) else []
    if len(rows) > 1 and any(char.isdigit() for char in rows[1]):
        return ["\n".join(rows)]
    return ["\n".join(["value", *re.findall(r"-?\d+(?:\.\d+)?", match[0])]) for match in _LIST.finditer(text)][:1]


def find_names(text: str) -> list[str]:
    """Return runs of capitalised words after a preposition, or else the last one. Common sentence starts don't count."""
    runs: list[tuple[bool, str]] = []
    current: list[str] = []
    after_preposition = False
    before, begins = "", True
    for token in [*_TOKENS.findall(text), "."]:
        plain = token.casefold()
        proper = token[0].isupper() and not any(c.isdigit() for c in token)
        if (
            proper
            and not (begins and (plain in _SENTENCE_STARTS or find_concepts(plain)))
            and not (len(token) > 1 and plain in ("mst",))
        ):
            after_preposition = (
                after_preposition
                if current
                else before in _BEFORE_PLACE or (before in (",", "and", "và") and bool(runs) and runs[-1][0])
            )
            current.append(token)
        elif current:
            runs.append((after_preposition, " ".join(current).strip(".")))
            current = []
        before, begins = plain, token in ("?", "!", ".", ";")
    after = [run for was_after, run in runs if was_after]
    return list(dict.fromkeys(after or [run for _, run in runs][-1:]))


def find_places(text: str) -> list[str]:
    """Return names of places; without capitals, the words after a preposition up to one that can't be part of a name."""
    if found := find_names(text):
        return found
    tokens_in_text = _TOKENS.findall(unicodedata.normalize("NFC", text).casefold())
    for at, word in enumerate(tokens_in_text[:-1]):
        if word in ("in", "at", "near", "ở", "tại", "for") or (word == "of" and at):
            run: list[str] = []
            for token in tokens_in_text[at + 1 : at + 5]:
                if token in _AFTER_PLACE or not token[0].isalpha():
                    break
                run.append(token)
            if run and run[0] not in ("the", "a", "me"):
                return [" ".join(run)]
    return _place_in_keywords(tokens_in_text)


def _place_in_keywords(tokens: list[str]) -> list[str]:
    """Return the place in a few words without a sentence ("weather oslo weekend")."""
    if not find_concepts(tokens[0] if tokens else "") or len(tokens) > MAX_KEYWORDS or "?" in tokens:
        return []
    rest = [token for token in tokens if not find_concepts(token) and token not in _AFTER_PLACE and token.isalpha()]
    return [" ".join(rest)] if rest else []
