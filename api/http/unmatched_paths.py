"""What a request is told whose path or method no route takes: which ids are UUIDs, which methods there are, and where the
paths are listed."""

import re
from functools import cache
from uuid import UUID

from litestar import Litestar
from litestar.routes import HTTPRoute

API_REFERENCE = "the API reference at /schema/swagger"
NO_SUCH_PATH = f"No such path; {API_REFERENCE} lists all paths."
NOUNS = {"key": "API key", "provider": "identity provider"}


def explain_no_route(app: Litestar, path: str) -> str:
    """Return why no route takes a path."""
    for pattern in _paths_with_ids(app):
        if match := pattern.fullmatch(path.rstrip("/")):
            for name, value in match.groupdict().items():
                if not _is_uuid(value):
                    noun = name.removesuffix("_id")
                    return f"No such {NOUNS.get(noun, noun)}; ids are UUIDs."
    return NO_SUCH_PATH


def explain_no_method(method: str, allowed: str) -> str:
    """Return which methods a path takes. `allowed` is the value of the header `Allow`."""
    methods = sorted({name.strip() for name in allowed.split(",")} - {"OPTIONS", ""})
    if not methods:
        return f"This path does not take {method}; {API_REFERENCE} lists what it takes."
    return f"This path does not take {method}. It takes {', '.join(methods)}."


@cache
def _paths_with_ids(app: Litestar) -> tuple[re.Pattern[str], ...]:
    """Return the paths that contain ids, as patterns with a group for each id."""
    patterns: list[re.Pattern[str]] = []
    for route in app.routes:
        if isinstance(route, HTTPRoute) and ":uuid}" in route.path:
            parts = [
                re.escape(part)
                if isinstance(part, str)
                else f"(?P<{part.name}>[^/]+)"
                if part.type is UUID
                else "[^/]+"
                for part in route.path_components
            ]
            patterns.append(re.compile("/" + "/".join(parts)))
    return tuple(patterns)


def _is_uuid(text: str) -> bool:
    try:
        UUID(text)
    except ValueError:
        return False
    return True
