"""Finds formulas in a question, and the operation to apply. Rule 12 of `provider.py`. Computes nothing."""

import re
import unicodedata

from graphs.language.tokenization import fold

# In order: words to signs.
_SIGNS: tuple[tuple[re.Pattern[str], str], ...] = tuple(
    (re.compile(pattern, re.IGNORECASE), sign)
    for pattern, sign in (
        (r"(?<=\d),(?=\d{3}\b)", ""),
        (r"(\d+(?:\.\d+)?)\s*(?:%|percent|per cent|phần trăm)\s*(?:of|của)\s*(\d+(?:\.\d+)?)", r"\1/100*\2"),
        (
            r"(\d+(?:\.\d+)?)\s*(?:%|percent)\s+\w+\s+on\s+(?:an?\s+|the\s+)?(?:\w+\s+of\s+)?(\d+(?:\.\d+)?)",
            r"\1/100*\2",
        ),
        (
            r"(?:logarithm|logarit|log)\s+(?:to\s+)?(?:the\s+)?(?:base|cơ số)\s+(\d+)\s+(?:of|của)\s+(\d+(?:\.\d+)?)",
            r"log(\2, \1)",
        ),
        (r"(?:the\s+)?square root of\s+(\d+(?:\.\d+)?)|căn bậc hai của\s+(\d+(?:\.\d+)?)", r"sqrt(\1\2)"),
        (r"\s(?:squared|bình phương)\b", "**2"),
        (r"\s(?:cubed|lập phương)\b", "**3"),
        (r"\s(?:to the power of|mũ)\s", " ** "),
        (r"\s(?:plus|cộng(?: với)?)\s", " + "),
        (r"\s(?:minus|trừ(?: đi)?)\s", " - "),
        (r"\s(?:times|multiplied by|nhân(?: với)?)\s|×", " * "),
        (r"(?<=\d)\s*x\s*(?=\d)", " * "),
        (r"\s(?:divided by|over|chia(?: cho)?)\s|÷", " / "),
        (r"\s(?:equals|bằng)\s(?=-?\d)", " = "),
        (r"−", "-"),
        (r"(?<![\w.])(\d+(?:\.\d+)?)(?=[xyznt]\b)", r"\1*"),
    )
)
_NOT_A_FORMULA = re.compile(
    r"\b\d{4}-\d{2}-\d{2}\b|\b\d{1,2}/\d{1,2}/\d{2,4}\b|\b\w*[A-Za-z]\w*[-/]\d[\w-]*|\b\d{6,}-\d+\b"
)
_PIECE = re.compile(
    r"\d+(?:\.\d+)?|(?:sqrt|sin|cos|tan|asin|acos|atan|log|ln|exp|abs)(?=\s*\()|\b(?:pi|[xyznt])\b|(?<=\d)[xyznt]\b"
    r"|\b[a-z]\b(?=\s?(?:\*\*|[-+*/^=)]))|(?:(?<=[-+*/^=(])|(?<=[-+*/^=(] ))[a-z]\b"  # another letter, beside a sign
    r"|\*\*|[-+*/^=(),!;]|[\[\]]"
)
_OPERATOR = re.compile(r"\*\*|[-+*/^=!]|[a-z]{2,}\(|\[")
_BOUNDS = re.compile(
    r"\b(?:from|between|từ)\s+(-?(?:\d+(?:\.\d+)?|pi|oo))\s+(?:to|and|đến|tới)\s+"
    r"(-?(?:\d+(?:\.\d+)?|pi|oo|infinity))\b",
    re.IGNORECASE,
)
_RANGE_OR_DATE = re.compile(r"\d+\s*[-/]\s*\d+")
_ASKS_FOR_RESULT = re.compile(
    r"what(?:'s| is)|how much|calculat|comput|evaluat|equals|=\s*\?|\bsum\b|solve|tính|bằng bao nhiêu|là bao nhiêu|kết quả"
)
_OPERATIONS: tuple[tuple[str, str], ...] = (
    ("differentiate", r"derivative|differentiate|dao ham"),
    ("integrate", r"integra|tich phan|nguyen ham"),
    ("solve", r"solve|equation|roots? of|giai|phuong trinh|nghiem"),
    ("simplify", r"simplify|rut gon"),
    ("expand", r"expand|khai trien"),
    ("factor", r"factor|phan tich"),
    ("limit", r"\blimit|gioi han"),
    ("determinant", r"determinant|dinh thuc"),
    ("inverse", r"inverse|nghich dao"),
)


def find_formulas(text: str) -> list[str]:
    """Return a text's formulas in the notation of SymPy or people: the longest runs of numbers, signs and single variables
    with an operator. A lone 24/7 or 3-5 counts only if the text asks for a result."""
    text = unicodedata.normalize("NFC", text)
    asks_for_result = bool(_ASKS_FOR_RESULT.search(text.casefold()))
    text = _NOT_A_FORMULA.sub(" , , ", text)
    for pattern, sign in _SIGNS:
        text = pattern.sub(sign, text)
    found, run, end = [], "", 0
    for piece in [*_PIECE.finditer(text), None]:
        if piece is None or text[end : piece.start()].strip():
            found.append(run)
            run = ""
        if piece is not None:
            gap = " " if run and piece.start() > end else ""
            run, end = run + gap + piece[0], piece.end()
    cleaned = (_trimmed(one) for one in found)
    return [
        one
        for one in cleaned
        if _OPERATOR.search(one) and re.search(r"\d|\b[a-z]\b", one) and (asks_for_result or not _is_range(one))
    ]


def find_bounds(text: str) -> tuple[str, str] | None:
    """Return the ends of a definite integral, lower and upper."""
    match = _BOUNDS.search(text) if requested_operation(text) == "integrate" else None
    return (match[1], match[2].replace("infinity", "oo")) if match else None


def requested_operation(text: str) -> str:
    """Return the operation that a text asks for; "evaluate" unless a word says otherwise."""
    folded = fold(text.casefold())
    return next((name for name, pattern in _OPERATIONS if re.search(pattern, folded)), "evaluate")


def _is_range(formula: str) -> bool:
    return bool(_RANGE_OR_DATE.fullmatch(formula))


def _trimmed(run: str) -> str:
    """Strip dangling operators and unmatched brackets."""
    run = run.strip(" ,;=*/^+").rstrip("-").strip()
    while run.count(")") > run.count("(") and run.endswith(")"):
        run = run[:-1].rstrip()
    while run.count("(") > run.count(")") and run.startswith("("):
        run = run[1:].lstrip()
    if run.count("(") != run.count(")") or run.count("[") != run.count("]"):
        return ""
    return "" if re.fullmatch(r"-?\s*\d+(?:\.\d+)?|[xyznt]", run) else run
