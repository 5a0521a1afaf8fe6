"""Shows what tools returned: values as lists and tables, sentences as quotes with their sources. Rules 15 and 16 of
`offline.py`. Adds no word of its own but those of `phrases.py`."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from graphs.language.tokenization import fold
from graphs.providers.offline.concepts import concepts_of, terms_of
from graphs.providers.offline.conversation import CalledTool
from graphs.providers.offline.phrases import phrase
from graphs.providers.offline.texts import cited, pick
from tools.builtin.search_documents import NO_PASSAGES

ROWS, COLUMNS, FIELDS, LINES = 10, 6, 12, 6
LONGEST_CELL = 120
_SOURCE_KEYS = ("number", "citation", "source_id", "n", "ref", "index", "id")
_TEXT_KEYS = ("text", "passage", "content", "snippet", "quote")
_WRAPPERS = ("data", "result", "results", "items", "rows", "passages")


def show(question: str, calls: Sequence[CalledTool]) -> str:
    """The results of all calls, in their order; of several each stands under its tool's name."""
    return "\n\n".join(_shown(question, call, alone=len(calls) == 1) for call in calls)


def _shown(question: str, call: CalledTool, *, alone: bool) -> str:
    label = call.name
    if call.arguments:
        label += f" ({', '.join(f'{name}: {_cell(value)}' for name, value in call.arguments.items())})"
    data = unwrapped(call.data)
    if why := failure(data):
        return phrase("failed", question, tool=label, why=why)
    body = phrase("nowhere", question) if data == NO_PASSAGES else _body(question, data, call.arguments)
    if not body:
        return phrase("empty", question, tool=label)
    return body if alone else f"{phrase('from', question, tool=label)}\n\n{body}"


def unwrapped(data: Any) -> Any:
    """What is inside of `{"data": …}` and the like, where nothing else stands beside it."""
    while isinstance(data, dict) and len(data) == 1 and next(iter(data)) in _WRAPPERS:
        data = next(iter(data.values()))
    return data


def failure(data: Any) -> str:
    """The reason, of a result that says that the tool failed; empty for any other."""
    if isinstance(data, dict) and data.get("error"):
        error = data["error"]
        return _cell(error.get("message") or error if isinstance(error, dict) else error)
    if isinstance(data, str) and data.casefold().startswith(("error:", "error (", "failed:", "tool_", "lỗi:")):
        return _cell(data.partition(":")[2].strip() or data)
    return ""


def _body(question: str, data: Any, known: Mapping[str, Any] | None = None) -> str:
    """What a result says. `known` are the arguments that it was asked with."""
    match data:
        case dict():
            return _record(question, data, known or {})
        case [dict(), *_]:
            records = [one for one in data if isinstance(one, dict)]
            return _passages(question, records) or _table(question, records)
        case [_, *_]:
            return "\n".join(f"- {_cell(one)}" for one in data[:FIELDS])
        case str():
            return _quotes(question, data)
        case None | []:
            return ""
    return f"- {_cell(data)}"


def _record(question: str, data: dict[str, Any], known: Mapping[str, Any]) -> str:
    """The plain fields as a list, nested ones with a dot, those first that the question names and doesn't know yet; then each
    list of records as a table."""
    lines, tables = [], []
    for name, value in sorted(_flat(data), key=lambda field: _place(question, *field, known)):
        if isinstance(value, list) and value and isinstance(value[0], dict):
            tables.append(f"{name}:\n\n{_body(question, value)}")
        elif value not in ([], {}):
            lines.append(f"- {name}: {_cell(value)}")
    more = [phrase("more", question, n=len(lines) - FIELDS)] if len(lines) > FIELDS else []
    return "\n\n".join(["\n".join([*lines[:FIELDS], *more])] * bool(lines) + tables)


def _place(question: str, name: str, value: Any, known: Mapping[str, Any]) -> float:
    """Where a field stands in an answer: as early as the question names it; infinity if it doesn't, or knows the value."""
    if value in known.values():
        return math.inf
    said = fold(question.casefold())
    found = [at for term in terms_of(name) if (at := said.find(term)) >= 0]
    meant = concepts_of(name) & concepts_of(question)
    return min(found, default=len(said) if meant else math.inf)


def _flat(data: dict[str, Any], before: str = "", depth: int = 0) -> list[tuple[str, Any]]:
    found: list[tuple[str, Any]] = []
    for name, value in data.items():
        if isinstance(value, dict) and value and depth < 3:
            found += _flat(value, f"{before}{name}.", depth + 1)
        else:
            found.append((f"{before}{name}", value))
    return found


def _table(question: str, records: list[dict[str, Any]]) -> str:
    names = list(dict.fromkeys(name for record in records for name in record))[:COLUMNS]
    rows = [names, ["---"] * len(names), *([_cell(r.get(name)) for name in names] for r in records[:ROWS])]
    lines = [f"| {' | '.join(row)} |" for row in rows]
    more = [f"\n{phrase('more', question, n=len(records) - ROWS)}"] if len(records) > ROWS else []
    return "\n".join([*lines, *more])


def _passages(question: str, records: list[dict[str, Any]]) -> str:
    """The best sentences of records that hold text, each with its source; empty if they hold none."""
    said = []
    for number, record in enumerate(records, 1):
        text = next((record[key] for key in _TEXT_KEYS if isinstance(record.get(key), str)), None)
        if text is None:
            return ""
        source = next((record[key] for key in _SOURCE_KEYS if isinstance(record.get(key), int)), number)
        said.append(f"[{source}] {' '.join(text.split())}")
    return _quotes(question, "\n\n".join(said))


def _quotes(question: str, text: str) -> str:
    """A short text as it stands; of a longer one quotes: the sentences that fit the question, else its first."""
    lines = [line.strip() for line in text.split("\n") if line.strip()]
    if len(lines) <= LINES and len(text) <= 600 and not text.lstrip().startswith("["):
        return "\n".join(lines)
    sentences = cited(text)
    return "\n".join(f"> {line}" for line in pick(question, sentences) or sentences[:3])


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (list, tuple)):
        text = ", ".join(_cell(one) for one in value)
    elif isinstance(value, dict):
        text = ", ".join(f"{name}: {_cell(one)}" for name, one in value.items())
    else:
        text = str(value)
    text = " ".join(text.split()).replace("|", "\\|")
    return text if len(text) <= LONGEST_CELL else text[: LONGEST_CELL - 1] + "…"
