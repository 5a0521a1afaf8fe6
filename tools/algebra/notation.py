"""Rewrites formulas as people and models write them (2x², 3·sin(x), x^2, √2, 2(x+1)) in Python syntax.

Only rewrites text; `formulas.py` decides what a name may mean.
"""

import re
import unicodedata

from tools.errors import ToolBadArguments

MAX_CHARACTERS = 2_000
REPLACEMENTS = {
    **{
        "×": "*",
        "·": "*",
        "⋅": "*",
        "∙": "*",
        "÷": "/",
        "−": "-",
        "–": "-",
        "^": "**",
        "π": " pi ",
        "∞": " oo ",
        "≤": "<=",
        "≥": ">=",
    },
    **{"≠": "!=", "√": " sqrt ", "²": "**2", "³": "**3", "⁴": "**4", "⁵": "**5", "ℯ": " E ", "\u00a0": " ", "\n": " "},
}
TOKEN = re.compile(
    r"\s*(?:(?P<number>(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?(?![\w.]*\d\w*\()|\d+)|(?P<name>[^\W\d]\w*)|"
    r"(?P<sign>\*\*|<=|>=|==|!=|[-+*/%()\[\],=<>!;]))"
)
VARIABLE = re.compile(r"[^\W\d_]\d*|pi")
"""Names that multiply a following bracket: x(x + 1). After a longer name, a bracket means a call of an unknown function."""

IMPLICIT_MULTIPLICATION = {"number": ("name", "("), ")": ("name", "number", "("), "name": ("name", "number")}
"""The token kinds between which a `*` is implied."""


def to_python_syntax(text: str, functions: frozenset[str]) -> str:
    """Return the formula in Python syntax. A bracket after one of `functions` is a call. Raises ToolBadArguments."""
    if len(text) > MAX_CHARACTERS:
        raise ToolBadArguments(f"A formula may have at most {MAX_CHARACTERS:,} characters.", field="expression")
    for sign, spelled in REPLACEMENTS.items():
        text = text.replace(sign, spelled)
    tokens = _tokenize(unicodedata.normalize("NFKC", text), functions)
    written: list[str] = []
    for position, (kind, token) in enumerate(tokens):
        if position and _is_multiplication(tokens[position - 1], (kind, token), functions):
            written.append("*")
        written.append(token)
    return " ".join(written)


def _tokenize(text: str, functions: frozenset[str]) -> list[tuple[str, str]]:
    tokens: list[tuple[str, str]] = []
    place, text = 0, text.rstrip()
    while place < len(text):
        found = TOKEN.match(text, place)
        if found is None:
            raise ToolBadArguments(
                f"{text[place : place + 10]!r} can't be read as part of a formula.", field="expression"
            )
        kind = found.lastgroup or "sign"
        token = found[kind]
        tokens.append((kind, _canonical_name(token) if kind == "name" else token))
        place = found.end()
    return _add_call_brackets(tokens, functions)


def _canonical_name(name: str) -> str:
    return "log" if name == "ln" else name


def _add_call_brackets(tokens: list[tuple[str, str]], functions: frozenset[str]) -> list[tuple[str, str]]:
    """Add brackets to a function before a plain number or name: √2 becomes sqrt(2)."""
    result: list[tuple[str, str]] = []
    for position, (kind, token) in enumerate(tokens):
        result.append((kind, token))
        before = tokens[position - 1] if position else ("sign", "")
        if kind in ("number", "name") and before[0] == "name" and before[1] in functions and token not in functions:
            result[-1:] = [("sign", "("), (kind, token), ("sign", ")")]
    return result


def _is_multiplication(before: tuple[str, str], after: tuple[str, str], functions: frozenset[str]) -> bool:
    """Whether a `*` is implied between the two tokens."""
    left = before[1] if before[1] == ")" else before[0]
    right = "(" if after[1] == "(" else after[0]
    if left == "name" and right == "(":
        return before[1] not in functions and VARIABLE.fullmatch(before[1]) is not None
    if left == "name" and before[1] in functions:
        return False
    return right in IMPLICIT_MULTIPLICATION.get(left, ())
