"""Placeholders in a step's texts, filled when it runs: `{{input}}`, `{{steps.NAME}}`, `{{steps.NAME.field.0.field}}`.

Values are put into JSON that has been parsed before, so none can change its structure. A text is filled once, so a value that
contains a placeholder stays as it is.
"""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from graphs.pipelines.errors import StepFailed
from schema.errors import InputError

MAX_PLACEHOLDERS = 100
"""In one text."""
MAX_FILLED_CHARS = 400_000
"""Of a filled text, since tool results can be long and a placeholder may occur often."""

_PLACEHOLDER = re.compile(r"\{\{(.*?)\}\}", re.DOTALL)
_PATH = re.compile(r"input|steps\.[A-Za-z][A-Za-z0-9_-]{0,63}(?:\.[^\s.{}]{1,100}){0,8}")
SYNTAX = "{{input}}, {{steps.NAME}} or {{steps.NAME.field}}"


class Absent:
    """Stands for a missing value: the field that would contain it is left out."""


@dataclass(frozen=True)
class Placeholder:
    """What a placeholder refers to: the input, or a step's output and a path into its data."""

    step: str | None = None
    path: tuple[str, ...] = ()


Lookup = Callable[[Placeholder], Any]
"""Returns a placeholder's value: any JSON value, or Absent."""


def placeholders_in(template: Any, field: str) -> list[tuple[Placeholder, str]]:
    """Return the placeholders of a text, or of all texts in a JSON value, each with the field that contains it. Raises
    InputError for a malformed one."""
    if isinstance(template, str):
        return [(placeholder, field) for placeholder in _parse_placeholders(template, field)]
    if isinstance(template, dict):
        for name in template:
            if "{{" in name:
                raise InputError(f"{field} has a placeholder in a key; only values can have placeholders.", field=field)
        return [found for name, inner in template.items() for found in placeholders_in(inner, f"{field}.{name}")]
    if isinstance(template, list):
        return [found for i, inner in enumerate(template) for found in placeholders_in(inner, f"{field}[{i}]")]
    return []


def _parse_placeholders(text: str, field: str) -> list[Placeholder]:
    found = _PLACEHOLDER.findall(text)
    if len(found) != text.count("{{"):
        raise InputError(f"{field} has an unclosed or nested '{{{{'. A placeholder is {SYNTAX}.", field=field)
    if len(found) > MAX_PLACEHOLDERS:
        raise InputError(f"{field} has more than {MAX_PLACEHOLDERS} placeholders.", field=field)
    for inner in found:
        if not _PATH.fullmatch(inner.strip()):
            raise InputError(
                f"{field} has the unknown placeholder {{{{{inner[:60]}}}}}. A placeholder is {SYNTAX}.", field=field
            )
    return [_parse(inner) for inner in found]


def _parse(inner: str) -> Placeholder:
    _, *parts = inner.strip().split(".")
    return Placeholder(parts[0], tuple(parts[1:])) if parts else Placeholder()


def fill_text(template: str, lookup: Lookup) -> str:
    """Return the text with its placeholders filled, missing values as nothing. Raises StepFailed if it grows too large."""
    length, parts, at = 0, list[str](), 0
    for match in _PLACEHOLDER.finditer(template):
        parts += [template[at : match.start()], as_text(lookup(_parse(match[1])))]
        at, length = match.end(), length + len(parts[-1])
        if length > MAX_FILLED_CHARS:
            raise StepFailed(f"A step's filled text is longer than {MAX_FILLED_CHARS:,} characters; put less into it.")
    return "".join([*parts, template[at:]])


def fill_tree(template: Any, lookup: Lookup) -> Any:
    """Return JSON with its placeholders filled: a text that is just one placeholder becomes the value itself, and a field
    without a value is left out."""
    found = _fill_tree(template, lookup)
    return None if found is Absent else found


def _fill_tree(template: Any, lookup: Lookup) -> Any:
    if isinstance(template, str):
        sole_placeholder = _PLACEHOLDER.fullmatch(template.strip())
        return (
            lookup(_parse(sole_placeholder[1]))
            if sole_placeholder and template.count("{{") == 1
            else fill_text(template, lookup)
        )
    if isinstance(template, dict):
        pairs = ((name, _fill_tree(inner, lookup)) for name, inner in template.items())
        return {name: value for name, value in pairs if value is not Absent}
    if isinstance(template, list):
        return [value for value in (_fill_tree(inner, lookup) for inner in template) if value is not Absent]
    return template


def as_text(value: Any) -> str:
    """Return a value as text: strings as they are, everything else as JSON."""
    if value is Absent or value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def resolve_path(data: Any, path: tuple[str, ...]) -> Any:
    """Return the value at `path` in `data`, by keys and list indices; Absent if there is none."""
    for part in path:
        if isinstance(data, Mapping) and part in data:
            data = data[part]
        elif isinstance(data, list) and part.isascii() and part.isdigit() and len(part) < 7 and int(part) < len(data):
            data = data[int(part)]
        else:
            return Absent
    return data
