"""Errors in Anthropic's format. The status is decided in `api/http/errors.py`."""

from typing import Annotated, Any, Literal

import msgspec
from litestar import Response
from litestar.datastructures import Headers
from msgspec import Meta

TYPES = {
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    503: "overloaded_error",
    504: "timeout_error",
}
TOO_LONG = "prompt is too long"
"""Anthropic's words, by which its clients know that they should shorten the conversation."""


class AnthropicDetailsOut(msgspec.Struct, frozen=True):
    """What went wrong, for programs."""

    error_code: Annotated[str, Meta(description="Stable code of the error.")]


class AnthropicErrorOut(msgspec.Struct, frozen=True):
    """An error in Anthropic's shape."""

    type: Annotated[str, Meta(description="Class of the error, such as `invalid_request_error`.")]
    message: Annotated[str, Meta(description="What is wrong and what to do, for people.")]
    details: Annotated[AnthropicDetailsOut, Meta(description="What went wrong, for programs.")]


class AnthropicErrorResponseOut(msgspec.Struct, frozen=True, kw_only=True):
    """The response to a failed request under `/v1/messages`."""

    type: Annotated[Literal["error"], Meta(description="Always `error`.")] = "error"
    error: Annotated[AnthropicErrorOut, Meta(description="The error.")]
    request_id: Annotated[str, Meta(description="Id of the request, to find it in logs.")]


def is_anthropic(path: str, headers: Headers | None = None) -> bool:
    """Whether a path's errors have Anthropic's format: its own, and others under `/v1` for its clients."""
    if f"{path}/".startswith("/v1/messages/"):
        return True
    return headers is not None and f"{path}/".startswith("/v1/") and "anthropic-version" in headers


def error_out(status: int, message: str, *, code: str, request_id: str) -> AnthropicErrorResponseOut:
    """Return an error in Anthropic's format."""
    if code == "context_length_exceeded" and TOO_LONG not in message:
        message = f"{TOO_LONG}: {message}"
    kind = TYPES.get(status, "api_error" if status >= 500 else "invalid_request_error")
    return AnthropicErrorResponseOut(
        error=AnthropicErrorOut(kind, message, AnthropicDetailsOut(code)), request_id=request_id
    )


def anthropic_error(
    status: int, message: str, *, code: str, request_id: str, headers: dict[str, str] | None = None
) -> Response[Any]:
    """Return the response to a failed request of an Anthropic client's."""
    body = error_out(status, message, code=code, request_id=request_id)
    sent = {**(headers or {}), "request-id": request_id}
    return Response(body, status_code=status, headers=sent, media_type="application/json")
