"""Sentences, words and tokens of a text, and the sentences that match a question. Rules 3 to 6 and 8 of `provider.py`."""

import math
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable

MAX_QUOTES = 3
MIN_RELATIVE_SCORE = 0.4

# The look-behind tries a run of marks only once, not from each of its positions: a million dots must not take an hour.
_SENTENCE = re.compile(r"[^\n]+?(?:(?<![.!?…])[.!?…]+(?=\s|$)|。|$)", re.MULTILINE)
_WORD = re.compile(r"\w+")
_TOKEN = re.compile(r"\s*\S+|\s+$")
_SOURCE_MARK = re.compile(r"^\s*\[(\d{1,3}|[A-Za-z]\d{0,3})\][:.]?\s*")
_SOURCE_LABEL = re.compile(r"\(.{1,600}\)")
_ENGLISH_AND_VIETNAMESE = (
    "a an and are as at be been but by can could did do does for from had has have he her his how i if in is it its "
    "me my no not of on or our she so tell than that the their them then there these they this to us was we were what "
    "when where which who why will with would you your please "
    "ai anh bao bạn bị bởi các cái cho chị chưa chúng có của cũng cùng do gì hay hãy hoặc khi không là làm lại mà một "
    "nào này nên nếu những như nhưng nhiêu ở ra rằng sao sẽ ta tại theo thì tôi trong trên từ và vào về vì với đã đang "
    "đâu đây để đến đó được"
)


def word_set(words: str) -> frozenset[str]:
    """Return the set of words in a string."""
    return frozenset(words.split())


_TRAILING_MARK = re.compile(r" \[\d+\]$")
STOP_WORDS = word_set(_ENGLISH_AND_VIETNAMESE)


def pick_sentences(question: str, quotable: Iterable[str]) -> list[str]:
    """Return the sentences worth quoting (rules 4–6), in order; none if no word is shared."""
    question_words = words(question)
    candidates = [one for one in dict.fromkeys(quotable) if not _is_repeated_heading(one, question_words)]
    word_sets = [words(s) for s in candidates]
    sentence_counts = Counter(word for found_words in word_sets for word in found_words & question_words)
    # Sorted, because a sum of floats depends on its order and a set's order on the process.
    scores = [
        sum(math.log(1 + len(word_sets) / sentence_counts[w]) for w in sorted(found_words & question_words))
        for found_words in word_sets
    ]
    best = sorted(range(len(candidates)), key=lambda i: -scores[i])[:MAX_QUOTES]
    return [candidates[i] for i in sorted(best) if scores[i] > 0 and scores[i] >= MIN_RELATIVE_SCORE * scores[best[0]]]


def _is_repeated_heading(line: str, question_words: frozenset[str]) -> bool:
    """Whether a line is a heading, not a sentence, and only repeats words of the question."""
    text = _TRAILING_MARK.sub("", line)
    return not text.endswith((".", "!", "?", "…", "。")) and words(text) <= question_words


def sentences(text: str) -> list[str]:
    """Return the sentences of a text (rule 3), without surrounding white space and list marks."""
    found = (m.group().strip().lstrip("-*•># ").strip() for m in _SENTENCE.finditer(unicodedata.normalize("NFC", text)))
    return [s for s in found if s]


def sentences_with_sources(text: str) -> list[str]:
    """Return the sentences of a text; those in a passage `[n] …` have that mark at their end. A passage ends at the next mark
    or an empty line. Brackets right after a mark name the passage's origin and are left out."""
    found: list[str] = []
    source = ""
    for line in text.split("\n"):
        if mark := _SOURCE_MARK.match(line):
            source = f" [{mark[1]}]"
            line = "" if _SOURCE_LABEL.fullmatch(line[mark.end() :].strip()) else line[mark.end() :]  # noqa: PLW2901
        elif not line.strip():
            source = ""
        found.extend(sentence + source for sentence in sentences(line))
    return found


def words(sentence: str) -> frozenset[str]:
    """Return the significant words (rule 4)."""
    found = _WORD.findall(unicodedata.normalize("NFC", sentence).casefold())
    return frozenset(_singular(w) for w in found if w not in STOP_WORDS)


def split_tokens(text: str) -> list[str]:
    """Return the text as tokens (rule 8); joined, they are the text again."""
    return _TOKEN.findall(text)


def _singular(word: str) -> str:
    return word[:-1] if len(word) > 3 and word.isascii() and word.endswith("s") and word[-2] not in "su" else word
