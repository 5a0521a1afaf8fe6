"""Request and response headers in the OpenAPI document.

Each is described once, as a component; routes name them in `described(…)`. `Accept` is not among them: OpenAPI ignores a
parameter of that name; what it can choose from are the media types of the response.
"""

from typing import Any

from litestar.openapi.spec import OpenAPIHeader, Parameter, Reference, Schema
from litestar.openapi.spec.enums import OpenAPIFormat, OpenAPIType

TEXT = Schema(type=OpenAPIType.STRING)
REQUEST_ID = Schema(type=OpenAPIType.STRING, pattern="^[A-Za-z0-9._-]{8,64}$")
SECONDS = Schema(type=OpenAPIType.INTEGER, minimum=1)

JOB_REQUEST_HEADERS = (
    *("Idempotency-Key", "Prefer", "X-Headrace-Callback-URL", "X-Headrace-Callback-Events"),
    "X-Headrace-Run-At",
)
"""Request headers of a route that submits a job and waits for its result."""

RATE_LIMIT_HEADERS = ("RateLimit", "RateLimit-Policy")
JOB_RESPONSE_HEADERS = {
    200: ("X-Job-ID", *RATE_LIMIT_HEADERS),
    202: ("Location", "X-Job-ID", "Retry-After", "Preference-Applied", *RATE_LIMIT_HEADERS),
}
"""Response headers of such a route, by status."""

LOCATION_HEADER = {201: ("Location",)}
"""Response headers of a route that creates something."""


def _request(name: str, schema: Schema, description: str) -> Parameter:
    return Parameter(name=name, param_in="header", schema=schema, required=False, description=description)


def _response(schema: Schema, description: str, *, required: bool = False) -> OpenAPIHeader:
    return OpenAPIHeader(schema=schema, required=required, description=description)


PARAMETERS = {
    "X-Request-ID": _request(
        "X-Request-ID",
        TEXT,
        "An id for this request, to find it in logs: 8 to 64 of A-Z, a-z, 0-9 and ._-. Any other is replaced by a new one.",
    ),
    "Idempotency-Key": _request(
        "Idempotency-Key",
        Schema(type=OpenAPIType.STRING, min_length=1, max_length=257),
        "1 to 255 visible ASCII characters, such as a UUID. A request with a key that was used before gives the same job "
        "again; with another body it is refused.",
    ),
    "Prefer": _request(
        "Prefer",
        TEXT,
        "`respond-async` answers at once with the job; `wait=N` waits for its end, for up to N seconds (RFC 7240). Other "
        "preferences are ignored.",
    ),
    "anthropic-version": _request(
        "anthropic-version",
        TEXT,
        "Version of Anthropic's API, such as `2023-06-01`; any is taken, and none is needed here.",
    ),
    "anthropic-beta": _request(
        "anthropic-beta",
        TEXT,
        "Features of Anthropic's that are being tried, separated by commas; passed on to its models.",
    ),
    "X-Headrace-Callback-URL": _request(
        "X-Headrace-Callback-URL",
        TEXT,
        "Address to tell when the job ends, as `callback_url` in the bodies that have it.",
    ),
    "X-Headrace-Callback-Events": _request(
        "X-Headrace-Callback-Events",
        TEXT,
        "Of which ends, separated by commas: `job.succeeded`, `job.failed`, `job.cancelled`; all of them by default.",
    ),
    "X-Headrace-Run-At": _request(
        "X-Headrace-Run-At",
        Schema(type=OpenAPIType.STRING),  # a format would be a type that openapi-python-client has no header for
        "When to run the job, if not at once, as `run_at` in the bodies that have it; the answer is `202`.",
    ),
}
"""Request headers by name; `X-Request-ID` is on every operation."""

HEADERS = {
    "X-Headrace-Next-Cursor": _response(
        TEXT, "Of CSV: send as `cursor` to get the rows that follow. Absent if there are none."
    ),
    "X-Request-ID": _response(
        REQUEST_ID, "The request's id: the one sent as `X-Request-ID`, or a new one.", required=True
    ),
    "WWW-Authenticate": _response(TEXT, "How to authenticate.", required=True),
    "Retry-After": _response(SECONDS, "Seconds to wait before the next request; absent where waiting doesn't help."),
    "Location": _response(TEXT, "The path of what was created or accepted."),
    "X-Job-ID": _response(
        Schema(type=OpenAPIType.STRING, format=OpenAPIFormat.UUID),
        "The job that this request made, or that its key made before.",
    ),
    "Preference-Applied": _response(TEXT, "`respond-async`, when the preference was honoured."),
    "RateLimit": _response(
        TEXT, 'What is left of each limit and when it resets: `"requests";r=12;t=8`. Absent when nothing is limited.'
    ),
    "RateLimit-Policy": _response(
        TEXT, 'The tenant\'s limits: `"requests";q=60;w=60`. Absent when nothing is limited.'
    ),
    "X-Headrace-Ignored": _response(TEXT, "Parameters for which the model's provider has no place: `top_k, min_p`."),
    "X-Headrace-Cost-USD": _response(
        Schema(type=OpenAPIType.STRING, pattern=r"^[0-9]+(\\.[0-9]+)?$"),
        "What the answer cost in US dollars; absent if that is unknown. A stream has it in its usage.",
    ),
    "request-id": _response(REQUEST_ID, "The same as `X-Request-ID`, where Anthropic's SDKs look for it."),
    "X-Should-Retry": _response(TEXT, "`false` when the job was already retried as often as is sensible."),
}
"""Response headers by name; `X-Request-ID` is on every response."""


def parameter(name: str) -> Reference:
    """Return a reference to a request header. Raises KeyError for an unknown one."""
    assert PARAMETERS[name]
    return Reference(f"#/components/parameters/{name}")


def response_headers(status: int, names: tuple[str, ...]) -> dict[str, Any]:
    """Return the headers of a response: those that its route names, and those that every response of this status has."""
    names = ("X-Request-ID", *names)
    if status == 401:
        names += ("WWW-Authenticate",)
    if status in (429, 503):
        names += ("Retry-After",)
    if status == 429:
        names += RATE_LIMIT_HEADERS
    return {name: Reference(f"#/components/headers/{name}") for name in names if HEADERS[name]}
