"""What libraries raise, as a frame: names of classes, and what a vendor's response said. They share no class, but fields."""

from collections.abc import Iterator
from typing import Any, Literal

import msgspec

from graphs.providers.langchain.frames import Failed
from tools.langchain.child import said_of

MAX_TEXT = 20_000
MAX_CAUSES = 8
HEADERS = ("Retry-After", "retry-after-ms")
Where = Literal["build", "tools", "options", "vectors", "call"]


def failed(id: int, where: Where, error: BaseException) -> Failed:
    """Return what was raised."""
    causes = list(_causes(error))
    answered = next((one for one in causes if _status(one)), error)
    response = next((found for one in causes if (found := getattr(one, "response", None)) is not None), None)
    return Failed(
        id,
        where,
        [kind.__name__ for one in causes for kind in type(one).__mro__],
        message=_plain(said_of(error) if where == "build" else str(error)),
        status=_status(answered),
        headers=_headers(response),
        body=_plain(_body(answered, response)),
        error=_json(getattr(answered, "body", None)),
    )


def _plain(text: str) -> str:
    """Return text that can be sent: half a surrogate pair can't."""
    return text[:MAX_TEXT].encode(errors="replace").decode()


def _causes(error: BaseException) -> Iterator[BaseException]:
    found: BaseException | None = error
    for _ in range(MAX_CAUSES):
        if found is None:
            return
        yield found
        found = found.__cause__ or found.__context__


def _status(error: BaseException) -> int:
    places = (error, getattr(error, "response", None))
    found = (getattr(place, name, None) for place in places for name in ("status_code", "code", "status"))
    return next((one for one in found if type(one) is int and 100 <= one <= 599), 0)


def _headers(response: Any) -> dict[str, str]:
    headers = getattr(response, "headers", None)
    if headers is None:
        return {}
    try:
        return {name: str(headers[name]) for name in HEADERS if name in headers}
    except (TypeError, KeyError):
        return {}


def _body(error: BaseException, response: Any) -> str:
    """Return the response's text, where it was read, else what the library made of it."""
    try:
        text = getattr(response, "text", "")
    except Exception:  # noqa: BLE001 - a stream that was not read raises an error of its library
        text = ""
    return text if isinstance(text, str) and text else str(getattr(error, "error", "") or error)


def _json(value: Any) -> Any:
    if not isinstance(value, dict | str):
        return None
    try:
        return msgspec.json.decode(msgspec.json.encode(value))
    except (TypeError, ValueError):
        return None
