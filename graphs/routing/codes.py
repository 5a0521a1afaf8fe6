"""Which agent knows codes of a form: by the `pattern`s in the schemas of its tools, and by the codes in its own texts.

A code of the form "three letters, a dash, five digits" in an agent's examples tells the form, not its meaning. A code that
nobody knows says nothing about the agent.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any

from graphs.language.patterns import codes_in
from tools.arguments import validator

MAX_PATTERNS = 32
"""Of an agent's tools."""
MAX_CODES = 8
"""Of a question that are compared."""
ORDINARY = ("customer", "order-list", "2024", "12", "1234", "abcdef123456", "no1", "Q3")
"""A pattern that fits one of these fits anything, and tells nothing."""


def patterns_of(schemas: Iterable[Mapping[str, Any]]) -> tuple[str, ...]:
    """Return the patterns of the text arguments in tools' schemas, as far as they tell codes from ordinary words."""
    found = dict[str, None]()
    for schema in schemas:
        properties = schema.get("properties")
        for one in properties.values() if isinstance(properties, dict) else ():
            pattern = one.get("pattern") if isinstance(one, dict) else None
            if isinstance(pattern, str) and not any(_fits(pattern, word) for word in ORDINARY):
                found[pattern] = None
    return tuple(found)[:MAX_PATTERNS]


class KnownCodes:
    """The forms of codes that an agent knows."""

    def __init__(self, patterns: Sequence[str], texts: Iterable[str]) -> None:
        self._patterns = tuple(patterns)
        own = {code for text in texts for code in codes_in(text)}
        self._forms = {form for code in own for form in (_outline(code), _letters(code)) if form}

    def knows_one_of(self, codes: Sequence[str]) -> bool:
        """Whether one of these codes is of a form that it knows."""
        return any(self._knows(code) for code in codes[:MAX_CODES])

    def _knows(self, code: str) -> bool:
        return bool({_outline(code), _letters(code)} & self._forms) or any(_fits(one, code) for one in self._patterns)


def _outline(code: str) -> str:
    """Return the form of a code, such as AAA-99999."""
    return re.sub(r"[^\W\d_]", "A", re.sub(r"\d", "9", code))


def _letters(code: str) -> str:
    """Return a code's letters and signs with any digits, such as SHP-9; "" without letters."""
    return re.sub(r"\d+", "9", code.upper()) if any(char.isalpha() for char in code) else ""


@lru_cache(maxsize=1024)
def _fits(pattern: str, word: str) -> bool:
    """Whether a pattern fits, as it is checked when the tool is called: with limits, so that no pattern takes long."""
    try:
        return validator({"type": "string", "pattern": pattern}).is_valid(word)
    except ValueError:
        return False
