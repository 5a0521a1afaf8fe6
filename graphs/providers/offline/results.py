"""Formats tool results: values as lists and tables, sentences as quotes with their sources. Rules 15 and 16 of `provider.py`.
Adds no text except that of `phrases.py`."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from graphs.language.tokenization import fold
from graphs.providers.offline.concepts import extract_terms, find_concepts
from graphs.providers.offline.conversation import CalledTool
from graphs.providers.offline.phrases import fixed_phrase
from graphs.providers.offline.texts import pick_sentences, sentences_with_sources
from tools.builtin.search_documents import NEAREST, NO_PASSAGES

MAX_ROWS, MAX_COLUMNS, MAX_FIELDS, MAX_LINES = 10, 6, 12, 6
MAX_CELL_CHARS = 120
_SOURCE_KEYS = ("number", "citation", "source_id", "n", "ref", "index", "id")
_TEXT_KEYS = ("text", "passage", "content", "snippet", "quote")
_WRAPPERS = ("data", "result", "results", "items", "rows", "passages")


def show_results(question: str, calls: Sequence[CalledTool]) -> str:
    """Return the results of all calls in order; several are headed by their tools' names."""
    return "\n\n".join(_show_result(question, call, is_only=len(calls) == 1) for call in calls)


def _show_result(question: str, call: CalledTool, *, is_only: bool) -> str:
    label = call.name
    if call.arguments:
        label += f" ({', '.join(f'{name}: {_cell(value)}' for name, value in call.arguments.items())})"
    data = unwrap(call.data)
    if reason := failure_reason(data):
        return fixed_phrase("failed", question, tool=label, why=reason)
    missing = isinstance(data, str) and data.startswith(NO_PASSAGES)
    body = not_in_documents(question, data) if missing else _body(question, data, call.arguments)
    if not body:
        return fixed_phrase("empty", question, tool=label)
    return body if is_only else f"{fixed_phrase('from', question, tool=label)}\n\n{body}"


def not_in_documents(question: str, said: str) -> str:
    """Return that it is not in the documents, and the nearest passages if they are named."""
    nearest = [f"> {line[2:]}" for line in said.partition(NEAREST)[2].split("\n") if line.startswith("- ")]
    parts = [fixed_phrase("nowhere", question), *([fixed_phrase("nearest", question), *nearest] if nearest else [])]
    return "\n".join(parts)


def unwrap(data: Any) -> Any:
    """Return the inner value of `{"data": …}` and the like, if that is the only key."""
    while isinstance(data, dict) and len(data) == 1 and next(iter(data)) in _WRAPPERS:
        data = next(iter(data.values()))
    return data


def failure_reason(data: Any) -> str:
    """Return the reason if the result says that the tool failed; empty otherwise."""
    if isinstance(data, dict) and data.get("error"):
        error = data["error"]
        return _cell(error.get("message") or error if isinstance(error, dict) else error)
    if isinstance(data, str) and data.casefold().startswith(("error:", "error (", "failed:", "tool_", "lỗi:")):
        return _cell(data.partition(":")[2].strip() or data)
    return ""


def _body(question: str, data: Any, arguments: Mapping[str, Any] | None = None) -> str:
    """Return a formatted result. `arguments` are those of the call."""
    match data:
        case dict():
            return _record(question, data, arguments or {})
        case [dict(), *_]:
            records = [one for one in data if isinstance(one, dict)]
            return _passages(question, records) or _table(question, records)
        case [_, *_]:
            return "\n".join(f"- {_cell(one)}" for one in data[:MAX_FIELDS])
        case str():
            return _quotes(question, data)
        case None | []:
            return ""
    return f"- {_cell(data)}"


def _record(question: str, data: dict[str, Any], arguments: Mapping[str, Any]) -> str:
    """Return the fields as a list, nested ones with a dot, first those that the question asks for; then each list of records
    as a table."""
    lines, tables = [], []
    for name, value in sorted(_flatten(data), key=lambda field: _field_rank(question, *field, arguments)):
        if isinstance(value, list) and value and isinstance(value[0], dict):
            tables.append(f"{name}:\n\n{_body(question, value)}")
        elif value not in ([], {}):
            lines.append(f"- {name}: {_cell(value)}")
    more = [fixed_phrase("more", question, n=len(lines) - MAX_FIELDS)] if len(lines) > MAX_FIELDS else []
    return "\n\n".join(["\n".join([*lines[:MAX_FIELDS], *more])] * bool(lines) + tables)


def _field_rank(question: str, name: str, value: Any, arguments: Mapping[str, Any]) -> float:
    """Return a field's sort key: the earlier the question names it, the lower; infinity if it doesn't, or has its value."""
    if value in arguments.values():
        return math.inf
    folded_question = fold(question.casefold())
    found = [at for term in extract_terms(name) if (at := folded_question.find(term)) >= 0]
    meant = find_concepts(name) & find_concepts(question)
    return min(found, default=len(folded_question) if meant else math.inf)


def _flatten(data: dict[str, Any], before: str = "", depth: int = 0) -> list[tuple[str, Any]]:
    found: list[tuple[str, Any]] = []
    for name, value in data.items():
        if isinstance(value, dict) and value and depth < 3:
            found += _flatten(value, f"{before}{name}.", depth + 1)
        else:
            found.append((f"{before}{name}", value))
    return found


def _table(question: str, records: list[dict[str, Any]]) -> str:
    names = list(dict.fromkeys(name for record in records for name in record))[:MAX_COLUMNS]
    rows = [names, ["---"] * len(names), *([_cell(r.get(name)) for name in names] for r in records[:MAX_ROWS])]
    lines = [f"| {' | '.join(row)} |" for row in rows]
    more = [f"\n{fixed_phrase('more', question, n=len(records) - MAX_ROWS)}"] if len(records) > MAX_ROWS else []
    return "\n".join([*lines, *more])


def _passages(question: str, records: list[dict[str, Any]]) -> str:
    """Return the best sentences of records with text, each with its source; empty if they have none."""
    passages = []
    for number, record in enumerate(records, 1):
        text = next((record[key] for key in _TEXT_KEYS if isinstance(record.get(key), str)), None)
        if text is None:
            return ""
        source = next((record[key] for key in _SOURCE_KEYS if isinstance(record.get(key), int)), number)
        passages.append(f"[{source}] {' '.join(text.split())}")
    return _quotes(question, "\n\n".join(passages))


def _quotes(question: str, text: str) -> str:
    """Return a short text as it is; of a longer one the sentences that match the question, else its first ones."""
    lines = [line.strip() for line in text.split("\n") if line.strip()]
    if len(lines) <= MAX_LINES and len(text) <= 600 and not text.lstrip().startswith("["):
        return "\n".join(lines)
    sentences = sentences_with_sources(text)
    return "\n".join(f"> {line}" for line in pick_sentences(question, sentences) or sentences[:3])


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
    return text if len(text) <= MAX_CELL_CHARS else text[: MAX_CELL_CHARS - 1] + "…"
