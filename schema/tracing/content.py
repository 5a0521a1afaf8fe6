"""What people, models and tools said, as attributes of spans: only for spans that may have it (`spans.records_content`)."""

from typing import Any

import msgspec

from schema.storable import storable, storable_text

LONGEST = 32_768
"""Characters of one attribute; more is cut off, with an ellipsis at the end."""


def as_json(value: Any) -> str:
    """Return a value as an attribute has it: a text as it is, others as JSON; without what neither can hold."""
    text = storable_text(value) if isinstance(value, str) else msgspec.json.encode(storable(value)).decode()
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}…"
