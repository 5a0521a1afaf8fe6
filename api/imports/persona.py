"""`persona.json`: who all agents of the tenant are: `{"system_prompt", "traits", "style"}`, or that as `persona`.

The limits are those of `PUT /api/admin/configuration/persona`, which takes the same.
"""

from collections import Counter
from typing import Any, cast

import msgspec

from api.imports.conversations import Unknown, first
from api.imports.session_files import MESSAGES
from api.tenants.configuration import PersonaIn


def is_persona(content: Any) -> bool:
    """Whether a file's content is a persona."""
    fields = _fields(content)
    return bool(set(PersonaIn.__struct_fields__) & set(fields)) and first(fields, MESSAGES) is None


def read(content: Any, left_out: Counter[str]) -> PersonaIn:
    """Return the persona of a file. Raises Unknown."""
    fields = _fields(content)
    known = {name: value for name, value in fields.items() if name in PersonaIn.__struct_fields__}
    left_out["fields of the persona that are none here"] += len(fields) - len(known)
    try:
        return msgspec.convert(known, PersonaIn)
    except msgspec.ValidationError as error:
        raise Unknown(f"it is no persona: {error}") from None


def _fields(content: Any) -> dict[str, Any]:
    if not isinstance(content, dict):
        return {}
    fields = cast(dict[str, Any], content)
    inner = fields.get("persona")
    return cast(dict[str, Any], inner) if isinstance(inner, dict) else fields
