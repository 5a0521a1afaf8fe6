"""Judges answers by rule: exactly, by what they contain, by a pattern, a number or a JSON schema. None of it takes
long, whatever the answer says. A model as judge is asked in `run.py`."""

import re
import unicodedata
from typing import Any

import msgspec

from tools.arguments import validator
from workers.benchmarks.quality.items import ExpectedAnswer, compile_pattern

NUMBER = re.compile(r"[-+]?\d[\d,]*(?:\.\d+)?(?:[eE][-+]?\d{1,3})?")
FENCED = re.compile(r"```(?:json)?\n(.*?)```", re.DOTALL)
MAX_CHARS = 100_000
"""Longer answers are judged by their beginning."""


def judge_by_rule(expected: ExpectedAnswer, answer: str) -> bool:
    """Return whether an answer is right. Not for `judge`."""
    answer = answer[:MAX_CHARS]
    match expected.check:
        case "exact":
            return _normal(answer) == _normal(expected.value)
        case "contains":
            return _normal(expected.value) in _normal(answer)
        case "regex":
            return compile_pattern(expected.value).is_valid(answer)
        case "number":
            found = read_number(answer)
            return found is not None and abs(found - float(expected.value)) <= expected.tolerance
        case "json_schema":
            return _fits(expected.value, answer)
        case "judge":
            raise ValueError("a model judges this one")


def _normal(text: Any) -> str:
    return " ".join(unicodedata.normalize("NFC", str(text)).casefold().split())


def read_number(answer: str) -> float | None:
    """Return the first number in a text, with commas between thousands; None if there is none."""
    found = NUMBER.search(answer)
    return float(found[0].replace(",", "")) if found else None


def _fits(schema: dict[str, Any], answer: str) -> bool:
    fenced = FENCED.search(answer)
    try:
        data = msgspec.json.decode((fenced[1] if fenced else answer).strip().encode())
    except (msgspec.DecodeError, RecursionError):
        return False
    return validator(schema).is_valid(data)
