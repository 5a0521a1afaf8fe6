"""Whether the error that a route answered with is among those that its documentation lists."""

import re
from functools import cache
from typing import Any

import httpx
import msgspec

from tests.openapi_document import openapi_document

NOT_ROUTED = {"method_not_allowed"}
"""Of paths, not of operations."""


async def require_documented(response: httpx.Response) -> None:
    """Event hook of a client. Raises AssertionError for an error that its operation does not list."""
    if response.status_code >= 400:
        await response.aread()
        request = response.request
        missing = undocumented(request.method, request.url.path, response.content)
        assert missing is None, f"{request.method} {request.url.path}: {missing} is not in problems(…) of the route"


def undocumented(method: str, path: str, content: bytes) -> str | None:
    """Return the error code of an answer when its operation does not list it."""
    known = find_codes(method, path)
    try:
        body = msgspec.json.decode(content)
        code = code_of(body)
    except (msgspec.DecodeError, KeyError, TypeError):
        return None
    return code if known is not None and code not in known | NOT_ROUTED else None


def code_of(body: dict[str, Any]) -> str | None:
    """Return the code of an error: a problem's, or one in OpenAI's or Anthropic's shape."""
    error = body.get("error", body)
    return error["details"]["error_code"] if "details" in error else error["code"]


def find_codes(method: str, path: str) -> frozenset[str | None] | None:
    """Return the codes that an operation lists; None where there is no operation."""
    path = path if path.startswith(("/api/", "/v1/", "/health", "/.well-known")) else f"/api{path}"
    return next((codes for pattern, codes in _operations(method) if pattern.fullmatch(path)), None)


@cache
def _operations(method: str) -> list[tuple[re.Pattern[str], frozenset[str | None]]]:
    """Return the patterns of paths with their codes, those with the fewest parameters first."""
    items = sorted(openapi_document()["paths"].items(), key=lambda item: (item[0].count("{"), item[0]))
    return [
        (re.compile(re.sub(r"\{(\w+)\}", lambda found: _hole(found[1]), path)), _codes(item[method.lower()]))
        for path, item in items
        if method.lower() in item
    ]


def _hole(name: str) -> str:
    return ".+" if name in ("name", "model_id") else "[^/]+"


def _codes(operation: dict[str, Any]) -> frozenset[str | None]:
    examples = openapi_document()["components"]["examples"]
    codes: set[str | None] = set()
    for status, answer in operation["responses"].items():
        for media in answer.get("content", {}).values() if status >= "4" else ():
            for name, example in media.get("examples", {}).items():
                value = (examples[example["$ref"].rsplit("/", 1)[1]] if "$ref" in example else example)["value"]
                codes.add(code_of(value) if "error" in value else name)
    return frozenset(codes)
