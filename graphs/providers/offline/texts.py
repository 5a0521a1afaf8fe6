"""Sentences, words and tokens of a text, and the sentences that fit a question. Rules 3 to 6 and 8 of `offline.py`."""

import math
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable

QUOTES = 3
WORTH = 0.4

# The look-behind lets a run of marks be tried once, not from each of its places: a million dots must cost no hour.
_SENTENCE = re.compile(r"[^\n]+?(?:(?<![.!?…])[.!?…]+(?=\s|$)|。|$)", re.MULTILINE)
_WORD = re.compile(r"\w+")
_TOKEN = re.compile(r"\s*\S+|\s+$")
_SOURCE = re.compile(r"^\s*\[(\d{1,3}|[A-Za-z]\d{0,3})\][:.]?\s*")
_LABEL = re.compile(r"\(.{1,600}\)")
_ENGLISH_AND_VIETNAMESE = (
    "a an and are as at be been but by can could did do does for from had has have he her his how i if in is it its "
    "me my no not of on or our she so tell than that the their them then there these they this to us was we were what "
    "when where which who why will with would you your please "
    "ai anh bao bạn bị bởi các cái cho chị chưa chúng có của cũng cùng do gì hay hãy hoặc khi không là làm lại mà một "
    "nào này nên nếu những như nhưng nhiêu ở ra rằng sao sẽ ta tại theo thì tôi trong trên từ và vào về vì với đã đang "
    "đâu đây để đến đó được"
)


def listed(words: str) -> frozenset[str]:
    """A set of words from a string of them."""
    return frozenset(words.split())


_MARK = re.compile(r" \[\d+\]$")
STOP_WORDS = listed(_ENGLISH_AND_VIETNAMESE)


def pick(question: str, at_hand: Iterable[str]) -> list[str]:
    """The sentences worth quoting (rules 4–6), in their order; none when no word is shared."""
    asked = words(question)
    candidates = [one for one in dict.fromkeys(at_hand) if not _only_repeats(one, asked)]
    bags = [words(s) for s in candidates]
    spread = Counter(word for bag in bags for word in bag & asked)
    # Sorted, because a sum of floats depends on its order and a set's order on the process.
    scores = [sum(math.log(1 + len(bags) / spread[w]) for w in sorted(bag & asked)) for bag in bags]
    best = sorted(range(len(candidates)), key=lambda i: -scores[i])[:QUOTES]
    return [candidates[i] for i in sorted(best) if scores[i] > 0 and scores[i] >= WORTH * scores[best[0]]]


def _only_repeats(line: str, asked: frozenset[str]) -> bool:
    """Whether a line is a heading, no sentence, and has no word that the question hasn't."""
    text = _MARK.sub("", line)
    return not text.endswith((".", "!", "?", "…", "。")) and words(text) <= asked


def sentences(text: str) -> list[str]:
    """The sentences of a text (rule 3), without the white space and list marks around them."""
    found = (m.group().strip().lstrip("-*•># ").strip() for m in _SENTENCE.finditer(unicodedata.normalize("NFC", text)))
    return [s for s in found if s]


def cited(text: str) -> list[str]:
    """The sentences of a text; one that stands in a passage `[n] …` carries that mark at its end. A passage lasts until the
    next mark or an empty line. What stands in brackets behind a mark says where the passage is from, and is none."""
    found: list[str] = []
    source = ""
    for line in text.split("\n"):
        if mark := _SOURCE.match(line):
            source = f" [{mark[1]}]"
            line = "" if _LABEL.fullmatch(line[mark.end() :].strip()) else line[mark.end() :]  # noqa: PLW2901
        elif not line.strip():
            source = ""
        found.extend(sentence + source for sentence in sentences(line))
    return found


def words(sentence: str) -> frozenset[str]:
    """The words that count (rule 4)."""
    found = _WORD.findall(unicodedata.normalize("NFC", sentence).casefold())
    return frozenset(_singular(w) for w in found if w not in STOP_WORDS)


def split_tokens(text: str) -> list[str]:
    """The text as tokens (rule 8); joined they are the text again."""
    return _TOKEN.findall(text)


def _singular(word: str) -> str:
    return word[:-1] if len(word) > 3 and word.isascii() and word.endswith("s") and word[-2] not in "su" else word
