"""`/debug/routes`: all routes with the right and the rate that each asks for, as the guard and the handlers declare them."""

from collections.abc import Iterator
from typing import Annotated, Any

import msgspec
from litestar import Litestar, Request, Router, get
from litestar.handlers import HTTPRouteHandler
from litestar.routes import HTTPRoute
from msgspec import Meta

from api.auth.principals import MayReadOperations, is_ours, required_right
from api.http.errors import ProblemSpec
from api.http.fields import NoNextCursor
from api.http.limit_errors import RateClass, declared_rate
from api.openapi.operations import described


class RouteOut(msgspec.Struct, frozen=True, kw_only=True):
    """One route."""

    method: Annotated[str, Meta(description="The HTTP method.")]
    path: Annotated[str, Meta(description="The path; those under `/api` work without it, too.")]
    right: Annotated[str | None, Meta(description="The right that a caller needs; null for a public route.")]
    rate: Annotated[
        RateClass,
        Meta(
            description="What limits how often it is called: `reads` and `searches` per minute of a tenant; `jobs`, whose "
            "requests, tokens and budgets are limited; `guesses` of passwords and codes, per address and account; or `none`."
        ),
    ]


class RoutesOut(msgspec.Struct, frozen=True):
    """All routes, by path."""

    items: Annotated[list[RouteOut], Meta(description="The routes.")]
    next_cursor: NoNextCursor = None


EXAMPLE = {
    "items": [
        {"method": "POST", "path": "/api/chat", "right": "chat", "rate": "jobs"},
        {"method": "GET", "path": "/health/ready", "right": None, "rate": "none"},
    ]
}


@get("/routes", opt=described(response=EXAMPLE), summary="List all routes", tags=["operations"])
async def list_routes(request: Request[Any, Any, Any], principal: MayReadOperations) -> RoutesOut:
    """Returns every route with the right that it requires and what limits how often it is called."""
    return RoutesOut(sorted(_routes(request.app), key=lambda one: (one.path, one.method)))


def _routes(app: Litestar) -> Iterator[RouteOut]:
    for route in app.routes:
        for handler in route.route_handlers if isinstance(route, HTTPRoute) else ():
            if is_ours(handler):
                for method in handler.http_methods:
                    yield _describe(str(method), route.path_format, handler)


def _describe(method: str, path: str, handler: HTTPRouteHandler) -> RouteOut:
    return RouteOut(method=method, path=path, right=required_right(handler), rate=_rate_class(handler))


def _rate_class(handler: HTTPRouteHandler) -> RateClass:
    if (declared := declared_rate(handler.opt)) is not None:
        return declared
    specs = [spec for spec in (handler.responses or {}).values() if isinstance(spec, ProblemSpec)]
    codes = {code for spec in specs for code in spec.codes}
    if "budget_exceeded" in codes:
        return "jobs"
    if required_right(handler) is not None and "GET" in handler.http_methods:
        return "reads"
    return "guesses" if "rate_limit_exceeded" in codes else "none"


routes = Router("/debug", route_handlers=[list_routes])
