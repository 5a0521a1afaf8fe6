"""What the OpenAPI document says of all routes alike: operation ids, how every one may fail, which headers come back, that a
body may be left out. And of some routes what Litestar has no words for: their handlers say it as `opt=described(…)`. The
right that a route needs stands in its `security`, and in its answer 403.

Not for what one handler alone knows: its summary, its own failures (`responses=problems(…)`), its shapes.
"""

import re
from collections.abc import Iterator
from enum import Enum
from functools import partial
from inspect import cleandoc
from typing import Any

import msgspec
from litestar import Litestar, Response
from litestar.handlers import HTTPRouteHandler
from litestar.openapi.spec import (
    Components,
    Example,
    OpenAPIMediaType,
    OpenAPIResponse,
    Operation,
    Reference,
    RequestBody,
    Schema,
    SecurityScheme,
)
from litestar.openapi.spec.enums import OpenAPIType
from litestar.routes import HTTPRoute

from api.auth.principals import is_ours
from api.http.errors import ProblemSpec
from api.openapi.error_docs import error_examples, failures_of, show_errors
from api.openapi.event_docs import COMPLETION_CHUNK, JOB_EVENT, event_schemas
from api.openapi.header_docs import HEADERS, PARAMETERS, parameter, response_headers

TEXT = Schema(type=OpenAPIType.STRING)
EVENTS, CHUNKS = JOB_EVENT, COMPLETION_CHUNK


def described(
    *,
    example: Any = None,
    answer: Any = None,
    also: dict[str, Schema | Reference] | None = None,
    body: RequestBody | None = None,
    accepts: tuple[str, ...] = (),
    sends: dict[int, tuple[str, ...]] | None = None,
) -> dict[str, Any]:
    """Return the `opt` of a handler: an example of its body; an example of its main answer, the one with the handler's own
    `status_code`; media types that this answer may have besides the first; the body of one that reads it by itself; the
    headers that it honours, and those that it answers with, by status (`api/openapi/header_docs.py`)."""
    return {"example": example, "answer": answer, "also": also or {}, "body": body, "accepts": accepts, "sends": sends}


def operation_id(handler: HTTPRouteHandler, method: Any, path: list[str | Any]) -> str:
    """Return the name that SDKs give to an operation: the handler's, in camelCase (`list_jobs` is `listJobs`). Of a handler's
    several paths only the first, by the alphabet, has the bare name; the others add themselves (`uploadDocumentsAtUpload`).
    Litestar raises for two operations of one name."""
    words = handler.handler_name.strip("_").split("_")
    served, (first, *others) = "/" + "/".join(map(str, path)), sorted(handler.paths)
    if others and not served.endswith(first):
        words += ["at", *re.findall("[a-z]+", max((one for one in others if served.endswith(one)), key=len))]
    return words[0] + "".join(word.capitalize() for word in words[1:])


def describe_routes(app: Litestar) -> None:
    """Complete the documentation of every route of ours. Raises LookupError for one that doesn't say who may call it."""
    for route in app.routes:
        for handler in getattr(route, "route_handlers", ()):
            if isinstance(handler, HTTPRouteHandler) and is_ours(handler):
                own = {
                    status: spec
                    for status, spec in (handler.responses or {}).items()
                    if not isinstance(spec, ProblemSpec)
                }
                handler.responses = own | failures_of(handler, route.path)
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


def _operation(handler: HTTPRouteHandler, **fields: Any) -> Operation:
    """Return what the document says of one method of one path; Litestar calls it with what it has found."""
    operation = Operation(**fields)
    operation.parameters = [
        *(operation.parameters or []),
        *map(parameter, ("X-Request-ID", *_opt(handler, "accepts", ()))),
    ]
    if operation.request_body is not None:
        _describe_body(handler, operation.request_body)
    operation.request_body = operation.request_body or handler.opt.get("body")
    operation.responses = dict(sorted((operation.responses or {}).items()))
    for status, response in operation.responses.items():
        assert isinstance(response, OpenAPIResponse)
        _describe_response(handler, int(status), response)
    return operation


def _opt(handler: HTTPRouteHandler, name: str, default: Any) -> Any:
    return handler.opt.get(name) or default


def _describe_response(handler: HTTPRouteHandler, status: int, response: OpenAPIResponse) -> None:
    sent = _opt(handler, "sends", {}).get(status, ())
    response.headers = {**(response.headers or {}), **response_headers(status, sent)}
    spec = (handler.responses or {}).get(status)
    if isinstance(spec, ProblemSpec):
        show_errors(response, status, spec, handler)
    if status == handler.status_code:
        _describe_answer(handler, response)
    if status == 302:
        response.content = None


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


class DocumentComponents(Components):
    """Components that keep the events' schemas when Litestar sets those that it has found in handlers, which then say what
    they are."""

    def __setattr__(self, name: str, value: Any) -> None:
        if name == "schemas":
            value = dict(sorted({**event_schemas(), **_with_docstrings(value)}.items()))
        super().__setattr__(name, value)


def _with_docstrings(schemas: dict[str, Any]) -> dict[str, Any]:
    """Describe schemas by the docstrings of their structs. Litestar leaves them without a description, or gives them that of
    the first field that has the struct for its type."""
    said = {shape.__name__: shape.__dict__.get("__doc__") for shape in _structs(msgspec.Struct)}
    for name, schema in schemas.items():
        if doc := said.get(name):
            schema.description = cleandoc(doc)
    return schemas


def _structs(base: type[msgspec.Struct]) -> Iterator[type[msgspec.Struct]]:
    for shape in base.__subclasses__():
        yield shape
        yield from _structs(shape)


def components() -> Components:
    """Return what the routes of the document share."""
    return DocumentComponents(
        examples=error_examples(),
        headers=dict(HEADERS),
        parameters=dict(PARAMETERS),
        security_schemes=_security_schemes(),
    )


def _security_schemes() -> Any:
    key = "An API key of your tenant."
    signed_in = "An access token from POST /api/auth/login, or of your tenant's identity provider."
    return {
        "key": SecurityScheme(type="http", scheme="bearer", bearer_format="hr_…", description=key),
        "token": SecurityScheme(type="http", scheme="bearer", bearer_format="JWT", description=signed_in),
        "x-api-key": SecurityScheme(type="apiKey", name="X-API-Key", security_scheme_in="header", description=key),
    }
