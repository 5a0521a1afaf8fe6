"""Places in a step's texts that are filled when it runs: `{{input}}`, `{{steps.NAME}}`, `{{steps.NAME.field.0.field}}`.

Values are put into a tree of JSON that was read before, so that none can change its shape; a text is filled once, so that a
place which a value spells out stays as it is.
"""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from graphs.pipelines.errors import StepFailed
from schema.errors import InputError

MAX_PLACES = 100
"""In one text."""
MAX_FILLED = 400_000
"""Characters of a filled text: some of them hold what tools returned, and a place may be named often."""

_PLACE = re.compile(r"\{\{(.*?)\}\}", re.DOTALL)
_PATH = re.compile(r"input|steps\.[A-Za-z][A-Za-z0-9_-]{0,63}(?:\.[^\s.{}]{1,100}){0,8}")
RIGHT = "{{input}}, {{steps.NAME}} or {{steps.NAME.field}}"


class Absent:
    """Stands for a field that is not there: what holds it is left out."""


@dataclass(frozen=True)
class Place:
    """What a place names: the input, or a step's output and a way into its data."""

    step: str | None = None
    path: tuple[str, ...] = ()


Lookup = Callable[[Place], Any]
"""Gives a place's value: a text, whatever JSON can hold, or Absent."""


def places_in(template: Any, field: str) -> list[tuple[Place, str]]:
    """Return the places of a text, or of all texts in a tree, with the field that each stands in. Raises InputError for one
    that is not spelled right."""
    if isinstance(template, str):
        return [(place, field) for place in _places(template, field)]
    if isinstance(template, dict):
        for name in template:
            if "{{" in name:
                raise InputError(f"{field} has a place in a name; only values can be filled.", field=field)
        return [found for name, inner in template.items() for found in places_in(inner, f"{field}.{name}")]
    if isinstance(template, list):
        return [found for i, inner in enumerate(template) for found in places_in(inner, f"{field}[{i}]")]
    return []


def _places(text: str, field: str) -> list[Place]:
    found = _PLACE.findall(text)
    if len(found) != text.count("{{"):
        raise InputError(
            f"{field} has '{{{{' that is not closed or stands inside another; right are {RIGHT}.", field=field
        )
    if len(found) > MAX_PLACES:
        raise InputError(f"{field} has more than {MAX_PLACES} places to fill.", field=field)
    for inner in found:
        if not _PATH.fullmatch(inner.strip()):
            raise InputError(f"{field} names {{{{{inner[:60]}}}}}, which is not known; right are {RIGHT}.", field=field)
    return [_read(inner) for inner in found]


def _read(inner: str) -> Place:
    _, *parts = inner.strip().split(".")
    return Place(parts[0], tuple(parts[1:])) if parts else Place()


def fill_text(template: str, lookup: Lookup) -> str:
    """Return the text with all its places filled; what is not there is nothing. Raises StepFailed when it grows too large."""
    length, parts, at = 0, list[str](), 0
    for match in _PLACE.finditer(template):
        parts += [template[at : match.start()], as_text(lookup(_read(match[1])))]
        at, length = match.end(), length + len(parts[-1])
        if length > MAX_FILLED:
            raise StepFailed(f"The text of a step became longer than {MAX_FILLED:,} characters; have less in it.")
    return "".join([*parts, template[at:]])


def fill_tree(template: Any, lookup: Lookup) -> Any:
    """Return JSON with its places filled: a text that is one place becomes the value itself, and a field whose value is not
    there is left out."""
    found = _fill_tree(template, lookup)
    return None if found is Absent else found


def _fill_tree(template: Any, lookup: Lookup) -> Any:
    if isinstance(template, str):
        whole = _PLACE.fullmatch(template.strip())
        return lookup(_read(whole[1])) if whole and template.count("{{") == 1 else fill_text(template, lookup)
    if isinstance(template, dict):
        pairs = ((name, _fill_tree(inner, lookup)) for name, inner in template.items())
        return {name: value for name, value in pairs if value is not Absent}
    if isinstance(template, list):
        return [value for value in (_fill_tree(inner, lookup) for inner in template) if value is not Absent]
    return template


def as_text(value: Any) -> str:
    """Return a value as it stands in a text."""
    if value is Absent or value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def walk(data: Any, path: tuple[str, ...]) -> Any:
    """Return what `path` leads to in `data`, by names and by numbers of lists; Absent where it leads nowhere."""
    for part in path:
        if isinstance(data, Mapping) and part in data:
            data = data[part]
        elif isinstance(data, list) and part.isascii() and part.isdigit() and len(part) < 7 and int(part) < len(data):
            data = data[int(part)]
        else:
            return Absent
    return data
