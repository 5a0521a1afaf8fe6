"""Turns exceptions into HTTP responses: the only place that knows statuses.

Native routes return RFC 9457 problem details (`application/problem+json`); those under `/v1` use OpenAI's or Anthropic's format
(`openai_errors.py`, `anthropic_errors.py`). An unexpected exception becomes a log line and a 500 without details.

Litestar's problem-details plugin is not used: it swaps title and detail, merges `extra` at the top level and leaves
unhandled exceptions in another format.
"""

from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Annotated, Any

import msgspec
import structlog
from litestar import Request, Response
from litestar.exceptions import HTTPException, InternalServerException, ValidationException
from litestar.exceptions.http_exceptions import RequestEntityTooLarge
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import ParameterKwarg
from litestar.typing import FieldDefinition
from msgspec import Meta

from api.http.bodies.limits import explain_too_large
from api.http.error_catalog import CATALOG
from api.http.query_params import declared_parameters
from api.http.unmatched_paths import explain_no_method, explain_no_route
from api.http.validation_messages import explain
from api.http.vendor_formats.anthropic_errors import AnthropicErrorResponseOut, anthropic_error, is_anthropic
from api.http.vendor_formats.openai_errors import OpenAIErrorOut, openai_error, vendor_words
from schema.errors import HeadraceError, LimitReached, Unavailable
from schema.events.base import Reason
from workers.logs import masked

log = structlog.get_logger()

DAMAGES = ("empty", "damaged", "encrypted", "unsupported", "mislabelled", "bomb")
UNREADABLE = (*DAMAGES, "no_text", "took_too_long", "needs_too_much")
"""Reasons why a file can't be read: `DAMAGES` are seen before it is read, the others while it is."""

VENDOR_TROUBLES = (
    *("provider_unreachable", "provider_cut", "provider_said_nothing", "provider_garbage", "provider_rejected_key"),
    *("provider_spent", "provider_elsewhere", "provider_is_headrace", "provider_address_refused", "provider_unknown"),
)
"""What the client of a call can't mend: its vendor's network, protocol, key or address."""

STATUS_BY_CODE = {
    **dict.fromkeys(UNREADABLE, 422),
    "too_large": 413,
    "invalid_input": 400,
    "model_unknown": 400,
    "agent_unknown": 400,
    "thread_unsupported_request": 400,
    "provider_refused": 400,
    "context_length_exceeded": 400,
    "provider_tools_unsupported": 400,
    "egress_refused": 400,
    "unauthenticated": 401,
    "forbidden": 403,
    "tenant_suspended": 403,
    "not_found": 404,
    "conflict": 409,
    "session_busy": 409,
    "cancelled": 409,
    "storage_full": 409,
    "body_too_large": 413,
    "idempotency_key_reused": 422,
    "credential_refused": 422,
    "secrets_required": 422,
    "fields_missing": 422,
    "nothing_ingested": 422,
    "batch_invalid": 422,
    "queue_full": 429,
    "rate_limit_exceeded": 429,
    "budget_exceeded": 429,
    "provider_rate_limited": 429,
    "provider_failed": 502,
    **dict.fromkeys(VENDOR_TROUBLES, 502),
    "egress_failed": 502,
    "egress_too_large": 502,
    "worker_lost": 502,
    "step_failed": 502,
    "unavailable": 503,
    "provider_overloaded": 503,
    "provider_resting": 503,
    "server_stopping": 503,
    "deadline_passed": 504,
    "provider_timeout": 504,
    "provider_stalled": 504,
    "timeout": 504,
}
"""Error code → status, for errors raised in this process and those that a job failed with. One that is not
listed is 500."""

OPENAI_STATUSES = {"model_unknown": 404, "agent_unknown": 404, "provider_spent": 429}
"""Where OpenAI uses another status: its SDKs turn 404 into NotFoundError, and 429 into RateLimitError."""

CODE_BY_STATUS = {
    400: "invalid_input",
    401: "unauthenticated",
    403: "forbidden",
    404: "not_found",
    405: "method_not_allowed",
    408: "request_timeout",
    413: "body_too_large",
    415: "unsupported_media_type",
}
"""Status → code, for errors that Litestar raises."""

FILE_CODES = ("files_refused", *DAMAGES, "duplicate_name", "not_yours")
"""Reasons why no file of an upload was accepted."""

OTHER_STATUSES = {
    **{code: status for status, code in CODE_BY_STATUS.items()},
    **dict.fromkeys(FILE_CODES, 422),
    "malformed_request": 400,
    "headers_too_large": 431,
    "tls_required": 403,
    "internal": 500,
}
"""Code → status, for responses that don't come from a `HeadraceError`."""

PROVIDER_FAILURES = (
    *("provider_refused", "context_length_exceeded", "provider_rate_limited", "provider_failed", "provider_overloaded"),
    *("provider_resting", "provider_timeout", "provider_stalled", *VENDOR_TROUBLES),
)
"""Codes that a call to a model provider can fail with."""

RETRY_AFTER = {429: "1", 503: "2"}

READING = ("GET", "HEAD")
TRY_AGAIN = "Try again shortly."
WHAT_NOW = {
    "nothing": "Nothing was accepted; try again shortly.",
    "unknown": "It broke while this was on its way, which may have been accepted: look before you send it again, or send it "
    "with the same Idempotency-Key.",
}
"""What a request that changes something is told when a store is unavailable, by what became of it."""


class FieldErrorOut(msgspec.Struct, frozen=True):
    """What is wrong with one field of the request."""

    field: Annotated[
        str, Meta(description="The field, such as `owner.email` or `models[0]`, the parameter or the header.")
    ]
    message: Annotated[str, Meta(description="What is wrong with it, and what it must be.")]


class ProblemOut(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An error, as RFC 9457 problem details."""

    type: Annotated[str, Meta(description="URN of the kind of problem; ends in `code`.")]
    title: Annotated[str, Meta(description="The status in words.")]
    status: Annotated[int, Meta(description="HTTP status.")]
    detail: Annotated[str, Meta(description="What went wrong and what to do, for people. The wording may change.")]
    instance: Annotated[str, Meta(description="Path of the request.")]
    code: Annotated[str, Meta(description="Stable error code, for programs.")]
    request_id: Annotated[str, Meta(description="Id of the request, to find it in logs.")]
    errors: Annotated[list[FieldErrorOut], Meta(description="The fields at fault; absent if none is.")] = []
    job_id: Annotated[str | None, Meta(description="The job that failed; absent if there was none.")] = None


class JobEnded(HeadraceError):
    """A job that a request waited for failed or was cancelled; `code` is the job's error code, `retry_after_s` what its
    model provider asked for."""

    def __init__(self, code: str, message: str, job_id: str, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.job_id = job_id
        self.retry_after_s = retry_after_s
        self.vendor_code: str | None = None
        self.vendor_param: str | None = None

    @classmethod
    def by(cls, reason: Reason, job_id: str) -> "JobEnded":
        """Return the error for a job that failed for this reason."""
        error = cls(reason.code, reason.message, job_id, reason.retry_after_s)
        error.vendor_code, error.vendor_param = reason.vendor_code, reason.vendor_param
        return error


def status_for_code(code: str, *, openai: bool = False) -> int:
    """Return the status for an error code."""
    if openai and code in OPENAI_STATUSES:
        return OPENAI_STATUSES[code]
    return STATUS_BY_CODE.get(code, 500)


@dataclass
class ProblemSpec(ResponseSpec):
    """One error status of a route in the OpenAPI document: its codes, and this route's own examples of `detail`.
    `api/openapi/errors.py` builds the response from it."""

    codes: tuple[str, ...] = ()
    details: dict[str, str] = field(default_factory=dict)


def problems(
    *codes: str | tuple[int, str], openai: bool = False, anthropic: bool = False, **details: str
) -> dict[int, ResponseSpec]:
    """Return the documentation of the errors that a handler itself may raise, by code. `api/openapi/errors.py` adds those of
    every route. A code passed as a keyword comes with its own example of `detail` instead of the catalog's:
    `problems("not_found", conflict="Only an ended job can be deleted.")`. A pair gives a code an unusual status. Raises
    KeyError for a code that is not in the catalog.
    """
    specs: dict[int, ResponseSpec] = {}
    for item in dict.fromkeys((*codes, *details)):
        status, code = item if isinstance(item, tuple) else (documented_status(item, openai=openai), item)
        spec = specs.setdefault(status, _spec(openai, anthropic))
        assert isinstance(spec, ProblemSpec)
        assert CATALOG[code]
        spec.codes += (code,)
        spec.details |= {code: details[code]} if code in details else {}
    return specs


def _spec(openai: bool, anthropic: bool) -> ProblemSpec:
    shape = AnthropicErrorResponseOut if anthropic else OpenAIErrorOut if openai else ProblemOut
    kind = "application/problem+json" if shape is ProblemOut else "application/json"
    return ProblemSpec(shape, media_type=kind, generate_examples=False)


def documented_status(code: str, *, openai: bool = False) -> int:
    """Return the status of a code, including those that are not raised as a `HeadraceError`."""
    return OTHER_STATUSES.get(code) or status_for_code(code, openai=openai)


def error_response(request: Request[Any, Any, Any], error: Exception) -> Response[Any]:
    """Turn any exception into a response, in the format of its route."""
    openai = f"{request.scope['path']}/".startswith("/v1/")
    error, status, code = _classify(error, openai)
    headers = _headers(error, status)
    request_id = request.scope.get("request_id", "")
    if (status == 500 and not _is_gone(error)) or (status > 500 and not isinstance(error, HeadraceError)):
        log.error("request_failed", request_id=request_id, path=request.scope["path"], exc_info=error)
    fields = _fields(request, error)
    detail = masked(_detail(request, error, fields))  # the message may quote a secret that was sent in the wrong field
    job_id = getattr(error, "job_id", None)
    if job_id:
        # The job was already retried as often as makes sense; OpenAI's SDKs would retry it three times more. But where the
        # provider said how long it wants to be left alone, the client may come back then; and where it would wait for the same
        # job, it may come back at once.
        waits = getattr(error, "is_repeatable", False) or (status == 429 and getattr(error, "retry_after_s", None))
        headers |= {"X-Job-ID": job_id, **({} if waits else {"X-Should-Retry": "false"})}
    if is_anthropic(request.scope["path"], request.headers):
        return anthropic_error(status, detail, code=code, request_id=request_id, headers=headers)
    if openai:
        param = fields[0].field or None if fields else getattr(error, "vendor_param", None)
        told = vendor_words(code, getattr(error, "vendor_code", None))
        return openai_error(status, detail, code=told, param=masked(param) if param else None, headers=headers)
    problem = ProblemOut(
        type=f"urn:headrace:problem:{code}",
        title=HTTPStatus(status).phrase,
        status=status,
        detail=detail,
        instance=masked(request.scope.get("original_path", request.scope["path"])),
        code=code,
        request_id=request_id,
        errors=[FieldErrorOut(masked(item.field), masked(item.message)) for item in fields if item.field],
        job_id=job_id,
    )
    return Response(problem, status_code=status, headers=headers, media_type="application/problem+json")


def _is_gone(error: Exception) -> bool:
    """Whether the client has closed its connection, or was refused, before its body was complete; Litestar says no more."""
    return isinstance(error, InternalServerException) and error.detail == "client disconnected prematurely"


def _classify(error: Exception, openai: bool) -> tuple[Exception, int, str]:
    if isinstance(error, HeadraceError):
        return error, status_for_code(error.code, openai=openai), error.code
    if isinstance(error, HTTPException):
        return (
            error,
            error.status_code,
            CODE_BY_STATUS.get(error.status_code, "internal" if error.status_code >= 500 else "http"),
        )
    return error, 500, "internal"


def _headers(error: Exception, status: int) -> dict[str, str]:
    headers = dict(getattr(error, "headers", None) or {})
    if status == 401:
        headers["WWW-Authenticate"] = 'Bearer realm="headrace"'
    is_hopeless = isinstance(error, LimitReached) and error.retry_after_s is None
    if status in RETRY_AFTER and not is_hopeless:
        retry_after_s = getattr(error, "retry_after_s", None)
        headers["Retry-After"] = str(max(1, round(retry_after_s))) if retry_after_s else RETRY_AFTER[status]
    return headers


def _fields(request: Request[Any, Any, Any], error: Exception) -> list[FieldErrorOut]:
    if isinstance(error, HeadraceError) and error.field:
        return [FieldErrorOut(error.field, error.message)]
    if isinstance(error, ValidationException) and isinstance(error.extra, list):
        parameters = declared_parameters(request.route_handler)
        items = [item for item in error.extra if isinstance(item, dict)]
        # A body that may be left out is reported as missing beside a parameter that is wrong.
        wrong = [item for item in items if item.get("key") != "data" or not parameters["data"].is_optional]
        return [_parameter_error(item, parameters) for item in wrong]
    return []


def _parameter_error(error: dict[str, Any], parameters: dict[str, FieldDefinition]) -> FieldErrorOut:
    """Describe an invalid query parameter or header, or a missing body."""
    key = str(error.get("key", ""))
    if key == "data":
        return FieldErrorOut("", "The body is empty; send a JSON object.")
    parameter = parameters.get(key)
    if parameter is None:
        return FieldErrorOut(key, f"{key} is invalid: {str(error.get('message', ''))[:200]}.")
    message = explain(str(error.get("message", "")), parameter.annotation).message
    definition = parameter.kwarg_definition
    name = (isinstance(definition, ParameterKwarg) and definition.name) or key
    return FieldErrorOut(name, message.replace("The body", name, 1))


def _detail(request: Request[Any, Any, Any], error: Exception, fields: list[FieldErrorOut]) -> str:
    if isinstance(error, Unavailable) and error.effect:
        reads = request.scope["method"] in READING
        return f"{error.message} {TRY_AGAIN if reads else WHAT_NOW[error.effect]}"
    if isinstance(error, HeadraceError):
        return error.message
    if fields:
        return " ".join(field.message for field in fields)
    if not isinstance(error, HTTPException) or error.status_code >= 500:
        return "Something went wrong here, not with your request. It is logged under the request id; try again."
    return _http_detail(request, error)


def _http_detail(request: Request[Any, Any, Any], error: HTTPException) -> str:
    """Return the message for an error that Litestar raised."""
    if error.status_code == 404:
        return explain_no_route(request.app, request.scope["path"])
    if error.status_code == 405:
        return explain_no_method(request.scope["method"], (error.headers or {}).get("allow", ""))
    if isinstance(error, RequestEntityTooLarge):  # Litestar's own; uploads raise others
        return explain_too_large(request.route_handler)
    return error.detail


EXCEPTION_HANDLERS: dict[Any, Any] = {
    HeadraceError: error_response,
    HTTPException: error_response,
    Exception: error_response,
}
