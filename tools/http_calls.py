"""Requests JSON from a service over HTTP, with a clear error for every way that can fail.

The client is one of the egress guard; redirects are not followed. Not for model vendors (`graphs/providers/`).
"""

import json
from collections.abc import Mapping
from typing import Any

import httpx2

from tools.errors import ToolFailed, ToolUnavailable

MAX_QUOTED_CHARACTERS = 200
"""How much of a service's own error message is quoted."""


async def request_json(
    fetch: httpx2.AsyncClient,
    url: str,
    *,
    service: str,
    params: Mapping[str, str | int | float] | None = None,
    headers: Mapping[str, str] | None = None,
    body: Any = None,
) -> Any:
    """Send a GET, or a POST if there is a `body`; return the JSON. Raises ToolFailed, ToolUnavailable and egress errors."""
    response = await fetch.request(
        "GET" if body is None else "POST",
        url,
        params=dict(params) if params else None,
        headers={"accept": "application/json", **(headers or {})},
        json=body,
    )
    check_status(response, service)
    return read_json(response, service)


def check_status(response: httpx2.Response, service: str) -> None:
    """Return for 2xx. Raises ToolUnavailable for temporary errors, ToolFailed for all others."""
    status = response.status_code
    if response.is_success:
        return
    if status in (408, 425, 429) or status >= 500:
        problem = "is rate-limiting requests" if status == 429 else "has a server error"
        raise ToolUnavailable(f"{service} {problem} (status {status}); try again later or continue without it.")
    if 300 <= status < 400:
        raise ToolFailed(f"{service} redirects to another URL (status {status}); an admin must correct the URL.")
    sentences = {
        401: f"{service} rejected the credentials (status 401); an admin must check its key.",
        403: f"{service} does not permit this for the caller (status 403).",
        404: f"{service} found nothing (status 404); check the names and ids in the arguments.",
    }
    raise ToolFailed(
        sentences.get(status, f"{service} refused the request (status {status})") + _quoted_reason(response)
    )


def _quoted_reason(response: httpx2.Response) -> str:
    """The service's own error message, if it sent one as JSON."""
    if response.status_code in (401, 403, 404):
        return ""
    try:
        body = json.loads(response.content)
    except (ValueError, RecursionError):
        return "."
    if isinstance(body, dict):
        for name in ("detail", "message", "error", "title"):
            if isinstance(reason := body.get(name), str):
                return f'; it says: "{"".join(c if c.isprintable() else " " for c in reason[:MAX_QUOTED_CHARACTERS])}".'
    return "."


def read_json(response: httpx2.Response, service: str) -> Any:
    """The JSON in a response. Raises ToolUnavailable."""
    try:
        return json.loads(response.content)
    except (ValueError, RecursionError):
        kind = response.headers.get("content-type", "").partition(";")[0].strip()[:60] or "something"
        raise ToolUnavailable(f"{service} returned {kind}, not JSON; its URL may be wrong.") from None


def expect_type(value: Any, kind: type, service: str) -> Any:
    """Return the value if it is of the expected type. Raises ToolUnavailable."""
    if not isinstance(value, kind):
        raise ToolUnavailable(f"{service} returned a response in an unexpected format.")
    return value
