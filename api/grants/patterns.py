"""Valid names of grants: an exact name, or a prefix that ends in `*`."""

import re
from typing import Annotated

from msgspec import Meta

from schema.errors import InputError
from schema.identity.tenancy import GrantKind

_PROVIDER = r"[a-z0-9][a-z0-9_-]{0,62}/"
_MODEL = r"[^\s*\x00-\x1f\x7f]{1,200}"
MODEL_NAME = re.compile(_PROVIDER + _MODEL)
MODEL_PATTERN = re.compile(rf"\*|{_PROVIDER}(\*|{_MODEL}\*?)")
NAME_PATTERN = re.compile(r"\*|[\w.:-]{1,100}\*?")

Pattern = Annotated[str, Meta(min_length=1, max_length=300)]

RULES: dict[GrantKind, str] = {
    "model": "must be a model (`provider/name`), a prefix of models (`ollama/*`, `ollama/llama*`), or `*`",
    "agent": "must be an agent's name, a prefix of names that ends in `*`, or `*`",
    "tool": "must be a tool's name, a prefix of names that ends in `*`, or `*`",
}


def check_pattern(kind: GrantKind, pattern: str, field: str) -> str:
    """Return a grant's name. Raises InputError unless it fits the kind."""
    if not (MODEL_PATTERN if kind == "model" else NAME_PATTERN).fullmatch(pattern):
        raise InputError(f"{field} {RULES[kind]}; not {pattern[:80]!r}.", field=field)
    return pattern


def check_model(name: str, field: str) -> str:
    """Return a model's full name. Raises InputError unless it is `provider/name`."""
    if not MODEL_NAME.fullmatch(name):
        raise InputError(f"{field} must be a model as `provider/name`, such as ollama/llama3.2:3b.", field=field)
    return name
