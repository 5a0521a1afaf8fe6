"""Figures and quotations of an answer that stand in nothing that was said, found or returned before it.

A small model copies 125,750,000 as 12,575,000, and quotes what no passage says. Where an answer rests on tools or documents,
what it adds to them is told beside it (`schema/events/notices.py`). Not for: whether an answer is right.
"""

import re
from collections.abc import Iterable

from graphs.agents.citations import CITATION

MIN_DIGITS = 2
"""A digit alone is a count, or the number of a line."""
MIN_QUOTED_WORDS = 4
MAX_REPORTED, MAX_REPORTED_CHARS = 5, 80

_FIGURE = re.compile(r"(?<![\w.,/-])\d+(?:[.,\u00a0\u202f']\d{3})*(?:[.,]\d+)?(?!\w)")
_RUN = re.compile(r"\d+")
_WORD = re.compile(r"\w+")
_QUOTED = re.compile(r'"([^"\n]{8,600})"|“([^”\n]{8,600})”|«([^»\n]{8,600})»|^> (.{8,600})$', re.MULTILINE)


def find_unsupported(answer: str, grounds: Iterable[str]) -> list[str]:
    """Return the figures and quotations of an answer that none of `grounds` has, in their order, as they are written."""
    texts = list(grounds)
    figures = {form for text in texts for found in _FIGURE.findall(text) for form in _forms(found)}
    figures |= {run.lstrip("0") for text in texts for run in _RUN.findall(text)}
    said = CITATION.sub("", answer)
    missing = [found for found in _FIGURE.findall(said) if len(_digits(found)) >= MIN_DIGITS]
    unsupported = [found for found in missing if not _forms(found) & figures]
    words = " ".join(word for text in texts for word in _WORD.findall(text.casefold()))
    quotes = ["".join(groups) for groups in _QUOTED.findall(said)]
    unsupported += [f"“{quote[:MAX_REPORTED_CHARS]}”" for quote in quotes if not _is_said(quote, words)]
    return list(dict.fromkeys(unsupported))[:MAX_REPORTED]


def _digits(figure: str) -> str:
    return re.sub(r"\D", "", figure).lstrip("0")


def _forms(figure: str) -> frozenset[str]:
    """Return the ways in which a figure counts as the same: 1,250.50 is 1250,5."""
    digits = _digits(figure)
    has_fraction = bool(re.search(r"[.,]\d{1,2}$|[.,]\d{4,}$", figure))
    return frozenset({digits, digits.rstrip("0")} if has_fraction else {digits})


def _is_said(quote: str, words: str) -> bool:
    own = _WORD.findall(quote.casefold())
    return len(own) < MIN_QUOTED_WORDS or f" {' '.join(own)} " in f" {words} "
