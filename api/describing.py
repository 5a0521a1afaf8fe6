"""What the OpenAPI document says of all routes alike: the right that one needs, how every one may fail, which headers come
back, that a body may be left out. And of some routes what Litestar has no words for: their handlers say it as
`opt=described(…)`.

Not for what one handler alone knows: its summary, its own failures (`responses=problems(…)`), its shapes.
"""

import re
from enum import Enum
from functools import partial
from inspect import cleandoc
from typing import Any

import msgspec
from litestar import Litestar, Response
from litestar.handlers import HTTPRouteHandler
from litestar.openapi.datastructures import ResponseSpec
from litestar.openapi.spec import (
    Example,
    OpenAPIHeader,
    OpenAPIMediaType,
    OpenAPIResponse,
    Operation,
    RequestBody,
    Schema,
)
from litestar.openapi.spec.enums import OpenAPIType
from litestar.routes import HTTPRoute

from api.errors import ProblemSpec, openai_problems, problems
from api.principals import is_ours, right_of

TEXT = Schema(type=OpenAPIType.STRING)
EVENTS = Schema(
    type=OpenAPIType.OBJECT,
    description="One Server-Sent Event of the stream.",
    properties={"id": TEXT, "event": TEXT, "data": TEXT, "retry": Schema(type=OpenAPIType.INTEGER)},
)

REQUEST_ID = OpenAPIHeader(
    schema=Schema(type=OpenAPIType.STRING, pattern="^[A-Za-z0-9._-]{8,64}$"),
    required=True,
    description="The request's id: the one that was sent as `X-Request-ID`, or a new one.",
)
CHALLENGE = OpenAPIHeader(schema=TEXT, required=True, description="How to say who you are.")
RETRY_AFTER = OpenAPIHeader(
    schema=Schema(type=OpenAPIType.INTEGER, minimum=1),
    required=True,
    description="Seconds to wait before the next try.",
)


def described(
    *,
    example: Any = None,
    answer: Any = None,
    also: dict[str, Schema] | None = None,
    body: RequestBody | None = None,
) -> dict[str, Any]:
    """Return the `opt` of a handler: an example of its body; an example of its main answer, the one with the handler's own
    `status_code`; media types that this answer may have besides the first; the body of one that reads it by itself."""
    return {"example": example, "answer": answer, "also": also or {}, "body": body}


def operation_id(handler: HTTPRouteHandler, method: Any, path: list[str | Any]) -> str:
    """Return the name that SDKs give to an operation: the handler's, in camelCase (`list_jobs` is `listJobs`). Of a handler's
    several paths only the first, by the alphabet, has the bare name; the others add themselves (`uploadDocumentsAtUpload`)."""
    words = handler.handler_name.strip("_").split("_")
    served, (first, *others) = "/" + "/".join(map(str, path)), sorted(handler.paths)
    for other in others:
        if served.endswith(other) and not served.endswith(first):
            words += ["at", *re.findall("[a-z]+", other)]
    return words[0] + "".join(word.capitalize() for word in words[1:]) + f" {method} {served}"


def describe_routes(app: Litestar) -> None:
    """Complete the documentation of every route of ours. Raises LookupError for one that doesn't say who may call it."""
    for route in app.routes:
        for handler in getattr(route, "route_handlers", ()):
            if isinstance(handler, HTTPRouteHandler) and is_ours(handler):
                handler.responses = _with_failures(handler, route.path)
                handler.operation_class = partial(_operation, handler)  # type: ignore[assignment]


def tell_methods(app: Litestar) -> None:
    """Make OPTIONS tell all methods of a path. Litestar's own answer has those of the handler that was registered first."""
    methods: dict[str, set[str]] = {}
    for route in app.routes:
        if isinstance(route, HTTPRoute):
            methods.setdefault(route.path_format, set()).update(route.route_handler_map)
    for route in app.routes:
        for handler in getattr(route, "route_handlers", ()):
            if isinstance(handler, HTTPRouteHandler) and handler.http_methods == {"OPTIONS"}:
                handler.before_request = partial(_options, ", ".join(sorted(methods[route.path_format])))


async def _options(allowed: str, request: Any) -> Response[None]:
    return Response(None, status_code=204, headers={"Allow": allowed}, media_type="text/plain")


def _with_failures(handler: HTTPRouteHandler, path: str) -> dict[int, ResponseSpec]:
    """Return a handler's responses with all that it may fail with: on top of its own errors those that come before it is
    reached, and those that are our fault."""
    own = dict(handler.responses or {})
    codes = ["invalid_input", "internal"]
    if right_of(handler) is not None:
        codes += ["unauthenticated", "forbidden", "tenant_suspended", "unavailable"]
    if handler.parsed_data_field is not None:
        codes += ["body_too_large", "unsupported_media_type"]
    if "{" in path:
        codes += ["not_found"]
    codes += [code for spec in own.values() if isinstance(spec, ProblemSpec) for code in spec.codes]
    failures = (openai_problems if path.startswith("/v1/") else problems)(*codes)
    return {status: spec for status, spec in own.items() if not isinstance(spec, ProblemSpec)} | failures


def _operation(handler: HTTPRouteHandler, **fields: Any) -> Operation:
    """Return what the document says of one method of one path; Litestar calls it with what it has found."""
    operation = Operation(**fields)
    operation.operation_id = str(operation.operation_id).split()[
        0
    ]  # for as long as handlers of several files share names
    operation.description = _description(handler, operation.description)
    if operation.request_body is not None:
        _describe_body(handler, operation.request_body)
    operation.request_body = operation.request_body or handler.opt.get("body")
    operation.responses = dict(sorted((operation.responses or {}).items()))
    for status, response in operation.responses.items():
        assert isinstance(response, OpenAPIResponse)
        _describe_headers(int(status), response)
        if int(status) == handler.status_code:
            _describe_answer(handler, response)
        if status == "302":
            response.content = None
    return operation


def _description(handler: HTTPRouteHandler, said: str | None) -> str:
    right = right_of(handler)
    needs = "Needs no key." if right is None else f"Needs the right `{right}`."
    return f"{cleandoc(said)}\n\n{needs}" if said else needs


def _describe_body(handler: HTTPRouteHandler, body: Any) -> None:
    field, example = handler.parsed_data_field, handler.opt.get("example")
    body.required = field is None or not field.has_default  # Litestar calls every body required
    if example is not None:
        for media in body.content.values():
            media.examples = {"example": Example(value=_with_nulls(example))}


def _describe_answer(handler: HTTPRouteHandler, response: OpenAPIResponse) -> None:
    """Add the example of the main answer, and the media types that it may have besides the first."""
    answer = handler.opt.get("answer")
    if answer is not None:
        for media in (response.content or {}).values():
            media.examples = {"example": Example(value=_with_nulls(msgspec.to_builtins(answer)))}
    also = {kind: OpenAPIMediaType(schema=schema) for kind, schema in handler.opt.get("also", {}).items()}
    response.content = {**(response.content or {}), **also} or None


class _Null(Enum):
    """Litestar drops None from every dict of the document, and writes the value of an enum's member."""

    NULL = None


def _with_nulls(value: Any) -> Any:
    """Return an example whose nulls survive Litestar."""
    if isinstance(value, dict):
        return {name: _with_nulls(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [_with_nulls(inner) for inner in value]
    return _Null.NULL if value is None else value


def _describe_headers(status: int, response: OpenAPIResponse) -> None:
    headers: dict[str, Any] = {"X-Request-ID": REQUEST_ID}
    if status == 401:
        headers["WWW-Authenticate"] = CHALLENGE
    if status in (429, 503):
        headers["Retry-After"] = RETRY_AFTER
    response.headers = {**(response.headers or {}), **headers}
