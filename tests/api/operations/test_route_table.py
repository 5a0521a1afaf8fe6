"""`/debug/routes` tells admins what each route asks for."""

import inspect

import httpx

from api.app import create_app
from api.auth.principals import is_ours
from api.http.limit_errors import declared_rate
from api.settings import ApiSettings
from tests.conftest import TestTenant

OF_ROUTES = {
    ("POST", "/api/chat"): ("chat", "jobs"),
    ("POST", "/v1/chat/completions"): ("chat", "jobs"),
    ("POST", "/api/hooks/{trigger_id}"): (None, "jobs"),
    ("GET", "/api/jobs/{job_id}"): ("jobs.read", "reads"),
    ("POST", "/api/search"): ("documents.read", "searches"),
    ("POST", "/v1/messages/count_tokens"): ("chat", "reads"),
    ("GET", "/api/auth/session"): (None, "reads"),
    ("POST", "/api/auth/login"): (None, "guesses"),
    ("GET", "/health/ready"): (None, "none"),
    ("PATCH", "/api/admin/tenants/{tenant}"): ("tenants.manage", "none"),
}


async def test_admins_see_what_each_route_asks_for(admin: httpx.AsyncClient) -> None:
    items = (await admin.get("/debug/routes")).json()["items"]
    shown = {(item["method"], item["path"]): (item["right"], item["rate"]) for item in items}
    assert OF_ROUTES == {route: shown.get(route) for route in OF_ROUTES}
    assert len(items) == len(shown)


async def test_all_documented_operations_are_listed(admin: httpx.AsyncClient) -> None:
    document = (await admin.get("/schema/openapi.json")).json()
    documented = {(method.upper(), path) for path, methods in document["paths"].items() for method in methods}
    items = (await admin.get("/api/debug/routes")).json()["items"]
    assert documented <= {(item["method"], item["path"]) for item in items}


async def test_nobody_else_sees_them(application: httpx.AsyncClient, owner: TestTenant) -> None:
    for headers, status in (({}, 401), (owner.headers, 403)):
        assert status == (await application.get("/debug/routes", headers=headers)).status_code


def test_whoever_counts_a_rate_says_so(settings: ApiSettings) -> None:
    app = create_app(settings)
    handlers = {handler for route in app.routes for handler in getattr(route, "route_handlers", ()) if is_ours(handler)}
    counting = {handler for handler in handlers if "require_rate(" in inspect.getsource(handler.fn)}
    assert counting
    assert {handler.handler_name for handler in counting if declared_rate(handler.opt) is None} == set()
