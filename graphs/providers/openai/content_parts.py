"""Reads a content that is no text but parts of one, as Mistral and some gateways send it."""

from typing import Any

_THOUGHTS = ("thinking", "reasoning", "thought")
"""Types of parts of a content, and the fields in which they have their text (Mistral)."""


def read_parts(content: Any) -> tuple[str, str]:
    """Return text and thoughts of a content that is a list of parts, or one part."""
    said, thought = "", ""
    for part in content if isinstance(content, list) else [content]:
        if isinstance(part, str):
            said += part
        elif isinstance(part, dict):
            name = next((name for name in _THOUGHTS if part.get("type") == name), "")
            inner = part.get(name, part.get("text")) if name else part.get("text")
            text = inner if isinstance(inner, str) else read_parts(inner)[0] if isinstance(inner, list) else ""
            said, thought = (said, thought + text) if name else (said + text, thought)
    return said, thought
