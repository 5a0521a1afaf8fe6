"""Errors in OpenAI's format. The status is decided in `api/http/errors.py`."""

from typing import Annotated, Any

import msgspec
from litestar import Response
from msgspec import Meta

TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "invalid_request_error",
    405: "invalid_request_error",
    408: "invalid_request_error",
    409: "conflict_error",
    413: "invalid_request_error",
    415: "invalid_request_error",
    422: "invalid_request_error",
    431: "invalid_request_error",
    429: "rate_limit_error",
    503: "service_unavailable_error",
}

CODES = {
    "model_unknown": "model_not_found",
    "agent_unknown": "model_not_found",
    "unauthenticated": "invalid_api_key",
    "queue_full": "rate_limit_exceeded",
    "provider_rate_limited": "rate_limit_exceeded",
    "budget_exceeded": "insufficient_quota",
    "provider_spent": "insufficient_quota",
    "invalid_input": None,
}
"""Our code → the one that OpenAI's clients know; other codes stay as they are."""


VENDORS_OWN = frozenset({"provider_refused", "provider_overloaded", "provider_failed", "provider_rate_limited"})
"""Codes of ours that say less than the provider's own."""


def vendor_words(code: str, vendor_code: str | None) -> str:
    """Return the code of an error as the provider named it, where ours only says that it did."""
    return vendor_code if vendor_code and code in VENDORS_OWN else code


class ErrorOut(msgspec.Struct, frozen=True):
    """An error in OpenAI's shape."""

    message: Annotated[str, Meta(description="What is wrong and what to do, for people.")]
    type: Annotated[str, Meta(description="Class of the error, such as `invalid_request_error`.")]
    param: Annotated[str | None, Meta(description="The parameter that is wrong; null if none is.")]
    code: Annotated[str | None, Meta(description="Stable code of the error; null for most invalid requests.")]


class OpenAIErrorOut(msgspec.Struct, frozen=True):
    """The response to a failed request under `/v1`."""

    error: Annotated[ErrorOut, Meta(description="The error.")]


def error_out(status: int, message: str, *, code: str, param: str | None = None) -> OpenAIErrorOut:
    """Return an error in OpenAI's format."""
    return OpenAIErrorOut(ErrorOut(message, TYPES.get(status, "server_error"), param, CODES.get(code, code)))


def openai_error(
    status: int, message: str, *, code: str, param: str | None = None, headers: dict[str, str] | None = None
) -> Response[Any]:
    """Return the response to a failed request under `/v1`."""
    body = error_out(status, message, code=code, param=param)
    return Response(body, status_code=status, headers=headers, media_type="application/json")
