"""Asking a service over HTTP and getting JSON, with a sentence for every way in which that can fail.

The client has passed the egress guard; redirects are not followed. Not for model vendors (`graphs/providers/`).
"""

import json
from collections.abc import Mapping
from typing import Any

import httpx2

from tools.errors import ToolFailed, ToolUnavailable

MAX_QUOTED_CHARACTERS = 200
"""How much of a service's own explanation is passed on."""


async def request_json(
    fetch: httpx2.AsyncClient,
    url: str,
    *,
    service: str,
    params: Mapping[str, str | int | float] | None = None,
    headers: Mapping[str, str] | None = None,
    body: Any = None,
) -> Any:
    """Return the JSON of a GET, or of a POST where there is a `body`. Raises ToolFailed, ToolUnavailable and the guard's
    errors."""
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
    """Return for 2xx. Raises ToolUnavailable for what may pass, ToolFailed for what needs another call or an admin."""
    status = response.status_code
    if response.is_success:
        return
    if status in (408, 425, 429) or status >= 500:
        busy = "has too many requests" if status == 429 else "has a fault of its own"
        raise ToolUnavailable(f"{service} {busy} (status {status}); try again later or go on without it.")
    if 300 <= status < 400:
        raise ToolFailed(f"{service} sends us to another address (status {status}); an admin corrects the address.")
    sentences = {
        401: f"{service} did not accept the sign-in (status 401); an admin checks its key.",
        403: f"{service} does not allow this to the caller (status 403).",
        404: f"{service} has nothing there (status 404); check the names and ids in the arguments.",
    }
    raise ToolFailed(
        sentences.get(status, f"{service} refused the request (status {status})") + _quoted_reason(response)
    )


def _quoted_reason(response: httpx2.Response) -> str:
    """What the service says about a refusal, if it says it in JSON as services do."""
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
    """The JSON in an answer. Raises ToolUnavailable."""
    try:
        return json.loads(response.content)
    except (ValueError, RecursionError):
        kind = response.headers.get("content-type", "").partition(";")[0].strip()[:60] or "something"
        raise ToolUnavailable(f"{service} answered with {kind} that is not JSON; its address may be wrong.") from None


def expect_type(value: Any, kind: type, service: str) -> Any:
    """The value, if it has the shape that the service promises. Raises ToolUnavailable."""
    if not isinstance(value, kind):
        raise ToolUnavailable(f"{service} answered in another shape than it should.")
    return value
