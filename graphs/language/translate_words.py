"""Vietnamese in English words, one by one: "lô hàng của tôi đang ở đâu" → "shipment of I where is".

The default embedder knows English only; a gloss, however crude, puts a Vietnamese text near the English one of the
same meaning, where the letters alone would put it anywhere. Not for: translating anything that a person reads.

The words stand in `vietnamese.txt`; a word that is not there stays as it is. In a text without any diacritics, a word
has the gloss of the first entry that looks so; in one with them, a word without is meant without, or is English.
"""

import re
from functools import lru_cache
from pathlib import Path

from graphs.language.tokenization import fold, has_diacritics, normalised

WORDS = Path(__file__).with_name("vietnamese.txt")
_NAME = "‹name›"
_TOKEN = re.compile(r"[^\W_]+(?:[-._/][^\W_]+)*|[^\w\s]")


def translate_words(text: str) -> str:
    """The text with every known Vietnamese phrase, the longest first, put into English; names (capitals inside a
    sentence) stay."""
    words = _TOKEN.findall(text)
    names = [place > 0 and word[:1].isupper() and not _ends(words[place - 1]) for place, word in enumerate(words)]
    plain = [_NAME if is_name else normalised(word) for word, is_name in zip(words, names, strict=True)]
    table, longest = _table(folded=not has_diacritics(text))
    out: list[str] = []
    place = 0
    while place < len(words):
        for length in range(min(longest, len(words) - place), 0, -1):
            found = table.get(" ".join(plain[place : place + length]))
            if found is not None:
                out.append(found)
                place += length
                break
        else:
            out.append(words[place])
            place += 1
    return " ".join(word for word in out if word)


def _ends(word: str) -> bool:
    return word in (".", "?", "!", ":")


@lru_cache(maxsize=2)
def _table(*, folded: bool) -> tuple[dict[str, str], int]:
    """Phrases to glosses, with diacritics or without, and the length of the longest phrase in syllables."""
    lines = (line for line in WORDS.read_text("utf-8").splitlines() if not line.startswith("#"))
    pairs = [entry.partition("=") for line in lines for entry in line.split(";") if entry.strip()]
    table: dict[str, str] = {}
    for vietnamese, _, english in pairs:
        spelt = normalised(vietnamese.strip())
        table.setdefault(fold(spelt) if folded else spelt, english.strip())
    return table, max(phrase.count(" ") + 1 for phrase in table)
