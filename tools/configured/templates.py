"""JSON with `{name}` in it, filled with a call's arguments. Values are inserted into a tree that is encoded afterwards, so no
argument can change its structure.
"""

import json
import re
from typing import Any

from schema.errors import InputError
from tools.errors import ToolBadArguments

PLACEHOLDER = re.compile(r"\{([A-Za-z_][A-Za-z0-9_]{0,63})\}")
MAX_DEPTH = 32


class Absent:
    """Stands for an optional argument that is missing: what contains it is left out."""


def placeholder_names(template: Any) -> set[str]:
    """The arguments that a template uses."""
    if isinstance(template, str):
        return set(PLACEHOLDER.findall(template))
    if isinstance(template, dict):
        return {name for inner in template.values() for name in placeholder_names(inner)}
    return {name for inner in template for name in placeholder_names(inner)} if isinstance(template, list) else set()


def check_template(template: Any, field: str, depth: int = 0) -> None:
    """Raises InputError for a template that is nested too deeply or contains a secret."""
    if depth > MAX_DEPTH:
        raise InputError(f"{field} is nested more than {MAX_DEPTH} levels deep.", field=field)
    if isinstance(template, str) and "{{" in template:
        raise InputError(
            f"{field} contains '{{{{'; secrets are allowed in headers only, arguments are written {{name}}.",
            field=field,
        )
    inner = (
        template.items() if isinstance(template, dict) else enumerate(template if isinstance(template, list) else ())
    )
    for name, value in inner:
        if isinstance(name, str) and PLACEHOLDER.search(name):
            raise InputError(f"{field} has a placeholder in a key; only values can be filled in.", field=field)
        check_template(value, f"{field}.{name}", depth + 1)


def fill_template(template: Any, arguments: dict[str, Any]) -> Any:
    """Fill the template: `"{due}"` alone becomes the value itself, `"Dear {who}"` a text. Raises ToolBadArguments for a list or
    an object inside a text."""
    found = _fill(template, arguments)
    return None if found is Absent else found


def _fill(template: Any, arguments: dict[str, Any]) -> Any:
    if isinstance(template, str):
        whole = PLACEHOLDER.fullmatch(template)
        return (
            arguments.get(whole[1], Absent)
            if whole
            else PLACEHOLDER.sub(lambda m: _placeholder_text(m[1], arguments), template)
        )
    if isinstance(template, dict):
        pairs = ((name, _fill(inner, arguments)) for name, inner in template.items())
        return {name: value for name, value in pairs if value is not Absent}
    if isinstance(template, list):
        return [value for value in (_fill(inner, arguments) for inner in template) if value is not Absent]
    return template


def _placeholder_text(name: str, arguments: dict[str, Any]) -> str:
    return as_text(name, arguments[name]) if name in arguments else ""


def as_text(name: str, value: Any) -> str:
    """A simple value as text for a URL or a template. Raises ToolBadArguments for lists and objects."""
    reject_lone_surrogates(value, name)
    if isinstance(value, str):
        return value
    if isinstance(value, bool | int | float):
        return json.dumps(value)
    raise ToolBadArguments(f"The argument {name} must be a text or a number here.", field=name)


def reject_lone_surrogates(value: Any, name: str | None = None) -> None:
    """Raises ToolBadArguments for text with a lone surrogate, which JSON can express and UTF-8 can't."""
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        subject = f"The argument {name} contains" if name else "The arguments contain"
        raise ToolBadArguments(
            f"{subject} half of a character (a lone surrogate); send the whole character.", field=name
        ) from None
