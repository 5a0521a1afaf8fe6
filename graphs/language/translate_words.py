"""Translates Vietnamese to English word by word: "lô hàng của tôi đang ở đâu" → "shipment of I where is".

The default embedder knows only English; even a crude translation puts a Vietnamese text near the English one of the same
meaning. Not for: anything that a person reads.

The dictionary is `vietnamese.txt`; unknown words stay as they are. In a text without any diacritics, a word is translated by
the first entry that looks like it; in one with diacritics, a word without them is meant so, or is English.
"""

import re
from functools import lru_cache
from pathlib import Path

from graphs.language.tokenization import fold, has_diacritics, normalise

DICTIONARY_FILE = Path(__file__).with_name("vietnamese.txt")
_NAME = "‹name›"
_TOKEN = re.compile(r"[^\W_]+(?:[-._/][^\W_]+)*|[^\w\s]")


def translate_words(text: str) -> str:
    """Return the text with every known Vietnamese phrase, the longest first, translated to English; names (capitals inside a
    sentence) stay."""
    words = _TOKEN.findall(text)
    names = [
        index > 0 and word[:1].isupper() and not _ends_sentence(words[index - 1]) for index, word in enumerate(words)
    ]
    keys = [_NAME if is_name else normalise(word) for word, is_name in zip(words, names, strict=True)]
    dictionary, max_words = _dictionary(folded=not has_diacritics(text))
    translated: list[str] = []
    index = 0
    while index < len(words):
        for length in range(min(max_words, len(words) - index), 0, -1):
            translation = dictionary.get(" ".join(keys[index : index + length]))
            if translation is not None:
                translated.append(translation)
                index += length
                break
        else:
            translated.append(words[index])
            index += 1
    return " ".join(word for word in translated if word)


def _ends_sentence(word: str) -> bool:
    return word in (".", "?", "!", ":")


@lru_cache(maxsize=2)
def _dictionary(*, folded: bool) -> tuple[dict[str, str], int]:
    """Return the dictionary, with or without diacritics, and the length of the longest phrase in syllables."""
    lines = (line for line in DICTIONARY_FILE.read_text("utf-8").splitlines() if not line.startswith("#"))
    pairs = [entry.partition("=") for line in lines for entry in line.split(";") if entry.strip()]
    dictionary: dict[str, str] = {}
    for vietnamese, _, english in pairs:
        phrase = normalise(vietnamese.strip())
        dictionary.setdefault(fold(phrase) if folded else phrase, english.strip())
    return dictionary, max(phrase.count(" ") + 1 for phrase in dictionary)
