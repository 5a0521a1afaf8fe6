"""Sources of an answer's text, as OpenAI's two APIs have them: flat in responses, nested in chat completions."""

from typing import Any

ANNOTATIONS = "annotations"
"""The extra of a message that holds them, in the shape of chat completions; those that it has none for are flat there, too."""

URL = "url_citation"


def nested(annotation: dict[str, Any]) -> dict[str, Any]:
    """Return an annotation of a response as chat completions have it."""
    if annotation.get("type") != URL:
        return annotation
    return {"type": URL, URL: {name: value for name, value in annotation.items() if name != "type"}}


def flat(annotation: dict[str, Any]) -> dict[str, Any]:
    """Return an annotation of a chat completion as responses have it."""
    inner = annotation.get(URL)
    return {"type": URL, **inner} if isinstance(inner, dict) else annotation
