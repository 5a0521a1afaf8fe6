"""What the OpenAPI document says about every route: operation ids, common errors, response headers, optional bodies. Also
what Litestar can't express: handlers pass it as `opt=described(…)`. The right that a route requires is in its `security` and
in its 403 response.

Not here: what only the handler knows, such as its summary, its own errors (`responses=problems(…)`) and its schemas.
"""

import re
from collections.abc import Iterator
from enum import Enum
from functools import partial
from inspect import cleandoc
from typing import Any, cast

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
from api.openapi.errors import describe_errors, error_examples, responses_for_errors
from api.openapi.events import COMPLETION_CHUNK, JOB_EVENT, MESSAGE_EVENT, RESPONSE_EVENT, TEXT_CHUNK, event_schemas
from api.openapi.headers import HEADERS, PARAMETERS, parameter, response_headers

TEXT = Schema(type=OpenAPIType.STRING)
EVENTS, CHUNKS, TEXT_CHUNKS, RESPONSE_EVENTS, MESSAGE_EVENTS = (
    JOB_EVENT,
    COMPLETION_CHUNK,
    TEXT_CHUNK,
    RESPONSE_EVENT,
    MESSAGE_EVENT,
)


def described(
    *,
    example: Any = None,
    response: Any = None,
    other_media_types: dict[str, Schema | Reference] | None = None,
    body: RequestBody | None = None,
    request_headers: tuple[str, ...] = (),
    response_headers: dict[int, tuple[str, ...]] | None = None,
) -> dict[str, Any]:
    """Return the `opt` of a handler. `example` is an example of its request body, and `response` one of its main response,
    the one with the handler's `status_code`, which can have `other_media_types` too. `body` documents the request body of a
    handler that reads it itself. `request_headers` it honours; `response_headers` it sends, by status. Both are names in
    `api/openapi/headers.py`."""
    return {
        "example": example,
        "response": response,
        "other_media_types": other_media_types or {},
        "body": body,
        "request_headers": request_headers,
        "response_headers": response_headers,
    }


def operation_id(handler: HTTPRouteHandler, method: Any, path: list[str | Any]) -> str:
    """Return the name that SDKs give to an operation: the handler's, in camelCase (`list_jobs` is `listJobs`). If a handler has
    several paths, the first in alphabetical order has the bare name, and the others append theirs
    (`uploadDocumentsAtUpload`). Litestar raises for a name that is used twice."""
    words = handler.handler_name.strip("_").split("_")
    full_path, (first, *others) = "/" + "/".join(map(str, path)), sorted(handler.paths)
    if others and not full_path.endswith(first):
        words += ["at", *re.findall("[a-z]+", max((other for other in others if full_path.endswith(other)), key=len))]
    return words[0] + "".join(word.capitalize() for word in words[1:])


def describe_routes(app: Litestar) -> None:
    """Complete the documentation of all our routes. Raises LookupError for one that doesn't say who may call it."""
    for route in app.routes:
        for handler in getattr(route, "route_handlers", ()):
            if isinstance(handler, HTTPRouteHandler) and is_ours(handler):
                own = {
                    status: spec
                    for status, spec in (handler.responses or {}).items()
                    if not isinstance(spec, ProblemSpec)
                }
                handler.responses = own | responses_for_errors(handler, route.path)
                handler.operation_class = cast(type[Operation], partial(_operation, handler))  # it is only called


def answer_options_with_all_methods(app: Litestar) -> None:
    """Make OPTIONS list all methods of a path. Litestar lists only those of the handler that was registered first."""
    methods: dict[str, set[str]] = {}
    for route in app.routes:
        if isinstance(route, HTTPRoute):
            methods.setdefault(route.path_format, set()).update(route.route_handler_map)
    for route in app.routes:
        for handler in getattr(route, "route_handlers", ()):
            if isinstance(handler, HTTPRouteHandler) and handler.http_methods == {"OPTIONS"}:
                handler.before_request = partial(_answer_options, ", ".join(sorted(methods[route.path_format])))


async def _answer_options(allowed: str, request: Any) -> Response[None]:
    return Response(None, status_code=204, headers={"Allow": allowed}, media_type="text/plain")


def _operation(handler: HTTPRouteHandler, **fields: Any) -> Operation:
    """Return one method of one path as it is documented. Litestar calls this with the fields it has collected."""
    operation = Operation(**fields)
    operation.parameters = [
        *(operation.parameters or []),
        *map(parameter, ("X-Request-ID", *_opt(handler, "request_headers", ()))),
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
    names = _opt(handler, "response_headers", {}).get(status, ())
    response.headers = {**(response.headers or {}), **response_headers(status, names)}
    spec = (handler.responses or {}).get(status)
    if isinstance(spec, ProblemSpec):
        describe_errors(response, status, spec, handler)
    if status == handler.status_code:
        _describe_main_response(handler, response)
    if status == 302:
        response.content = None


def _describe_body(handler: HTTPRouteHandler, body: Any) -> None:
    field, example = handler.parsed_data_field, handler.opt.get("example")
    body.required = field is None or not field.has_default  # Litestar calls every body required
    if example is not None:
        for media in body.content.values():
            media.examples = {"example": Example(value=_with_nulls(example))}


def _describe_main_response(handler: HTTPRouteHandler, response: OpenAPIResponse) -> None:
    """Add the example of the main response and its other media types."""
    example = handler.opt.get("response")
    if example is not None:
        for media in (response.content or {}).values():
            media.examples = {"example": Example(value=_with_nulls(msgspec.to_builtins(example)))}
    other_media_types = handler.opt.get("other_media_types", {})
    others = {name: OpenAPIMediaType(schema=schema) for name, schema in other_media_types.items()}
    response.content = {**(response.content or {}), **others} or None


class _Null(Enum):
    """Litestar drops None from every dict of the document, but writes the value of an enum member."""

    NULL = None


def _with_nulls(value: Any) -> Any:
    """Return an example whose nulls survive Litestar."""
    if isinstance(value, dict):
        return {name: _with_nulls(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [_with_nulls(inner) for inner in value]
    return _Null.NULL if value is None else value


class DocumentComponents(Components):
    """Components that keep the event schemas when Litestar sets the schemas it has found in handlers, and that describe those
    by their docstrings."""

    def __setattr__(self, name: str, value: Any) -> None:
        if name == "schemas":
            value = dict(sorted({**event_schemas(), **_with_docstrings(value)}.items()))
        super().__setattr__(name, value)


def _with_docstrings(schemas: dict[str, Any]) -> dict[str, Any]:
    """Describe schemas by the docstrings of their structs. Litestar leaves them without a description, or gives them the one
    of the first field that has the struct as its type."""
    docstrings = {struct.__name__: struct.__dict__.get("__doc__") for struct in _subclasses(msgspec.Struct)}
    for name, schema in schemas.items():
        if docstring := docstrings.get(name):
            schema.description = cleandoc(docstring)
    return schemas


def _subclasses(base: type[msgspec.Struct]) -> Iterator[type[msgspec.Struct]]:
    for struct in base.__subclasses__():
        yield struct
        yield from _subclasses(struct)


def components() -> Components:
    """Return what the routes in the document share."""
    return DocumentComponents(
        examples=error_examples(),
        headers=dict(HEADERS),
        parameters=dict(PARAMETERS),
        security_schemes=_security_schemes(),
    )


def _security_schemes() -> Any:
    key = "An API key of your tenant."
    by_login = "An access token from POST /api/auth/login, or of your tenant's identity provider."
    return {
        "key": SecurityScheme(type="http", scheme="bearer", bearer_format="hr_…", description=key),
        "token": SecurityScheme(type="http", scheme="bearer", bearer_format="JWT", description=by_login),
        "x-api-key": SecurityScheme(type="apiKey", name="X-API-Key", security_scheme_in="header", description=key),
    }
