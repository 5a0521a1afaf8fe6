"""Builds the Litestar application from routes, resources, error handlers and OpenAPI. Nothing is opened until it starts."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from litestar import Litestar, Response, Router
from litestar.config.cors import CORSConfig
from litestar.datastructures import State
from litestar.di import Provide
from litestar.exceptions import NotFoundException
from litestar.openapi import OpenAPIConfig
from litestar.openapi.plugins import JsonRenderPlugin
from litestar.openapi.spec import Tag

from api.audit.refusals import RefusalBounds, record_refusal
from api.auth.principals import authorise, document_rights, get_principal
from api.batches.line_server import LineServer
from api.http.bodies.budget import budget_for
from api.http.bodies.json_body import JsonRequest
from api.http.bodies.limits import SMALL_BODY_BYTES, allow_large_bodies
from api.http.errors import EXCEPTION_HANDLERS
from api.http.middleware import RequestMiddleware
from api.http.shutdown import Shutdown
from api.openapi.headers import HEADERS
from api.openapi.operations import answer_options_with_all_methods, components, describe_routes, operation_id
from api.openapi.page import get_asset, prepare, show_api_page
from api.resources import get_resources, open_resources
from api.root_page import NAME, VERSION
from api.routes import ANTHROPIC, NATIVE, OPENAI, ROOT
from api.settings import ApiSettings
from api.tls.plain import TlsMiddleware
from api.widgets.gate import EmbedGate
from schema.metrics.process import ProcessMetrics
from workers.figures import figures_written
from workers.health.loop_lag import LoopLag
from workers.health.reports import Reporter
from workers.queue.leases import owner_name
from workers.redis.address import RedisAddress

API_PAGE = [show_api_page, get_asset]
DESCRIPTION = """\
A backend for AI agents, built around a job queue. Paths under `/api` also work without that prefix.

**Authentication.** Send `Authorization: Bearer hr_…` with an API key. On your own machine, `./headrace up` prints a key and
`./headrace env` shows it again. Elsewhere, ask an owner of your tenant, or sign in with `POST /api/auth/login` and create one
with `POST /api/auth/keys`. On this page, press **Authorize** and paste the key without `Bearer`.
"""


def fresh_state(settings: ApiSettings, metrics: ProcessMetrics | None = None) -> dict[str, Any]:
    """What an application knows before it starts. Whoever puts it into a stopped one has a new application."""
    return {
        "settings": settings,
        "shutdown": Shutdown(),
        "bodies": budget_for(settings.max_body, settings.body_timeout_s),
        "refusals": RefusalBounds(),
        "document_lock": asyncio.Lock(),
        "metrics": metrics or ProcessMetrics("api", None, settings.metrics.token),
    }


@asynccontextmanager
async def _lifespan(app: Litestar) -> AsyncIterator[None]:
    async with open_resources(app.state.settings, app.state.shutdown) as resources:
        app.state.resources = resources
        lag = LoopLag("api")
        measuring = asyncio.create_task(lag.measure(), name="loop lag")
        reporter = Reporter(resources.core.redis, "api", owner_name("api"), lag)
        lines = LineServer(app, resources, RedisAddress.from_url(app.state.settings.redis_url))
        async with lines, reporter, figures_written(resources.core.pool):
            yield
        measuring.cancel()


class UncopiedRouter(Router):
    """A router made for one application. Litestar copies the routers it is given, deeply, so that others can have them too; for
    these, which hold copies already, that would be a fifth of the time that making the application takes."""

    def __deepcopy__(self, memo: dict[int, object]) -> "UncopiedRouter":
        return self


def create_app(settings: ApiSettings, metrics: ProcessMetrics | None = None) -> Litestar:
    """Return the application. `app.state.shutdown` is its end. `metrics` are those of this process
    alone unless it says otherwise."""
    app = Litestar(
        route_handlers=[
            UncopiedRouter("/api", route_handlers=list(NATIVE)),
            UncopiedRouter("/v1", route_handlers=[*OPENAI, *ANTHROPIC]),
            *ROOT,
        ],
        debug=False,  # whatever LITESTAR_DEBUG says: debug pages show the values of variables
        dependencies={
            "principal": Provide(get_principal, sync_to_thread=False),
            "resources": Provide(get_resources, sync_to_thread=False),
        },
        after_exception=[record_refusal],
        cors_config=_cors(settings.cors_origins),
        exception_handlers=EXCEPTION_HANDLERS,
        guards=[authorise],
        lifespan=[_lifespan],
        logging_config=None,
        openapi_config=_openapi(),
        request_class=JsonRequest,
        request_max_body_size=min(SMALL_BODY_BYTES, settings.max_body),
        state=State(fresh_state(settings, metrics)),
    )
    allow_large_bodies(app, settings.max_body)
    document_rights(app)
    describe_routes(app)
    answer_options_with_all_methods(app)
    app.asgi_handler = TlsMiddleware(
        RequestMiddleware(EmbedGate(app, app.asgi_handler), shutdown=lambda: app.state.shutdown),
        settings=lambda: app.state.settings.tls,
        usable=lambda: app.state.resources.certificates.usable,
    )
    return app


def _cors(origins: Sequence[str]) -> CORSConfig | None:
    """Return which pages of other sites may call from a browser, by default none. Callers send a key and no cookie, so no
    credentials are allowed; a page may read all headers of a response."""
    return CORSConfig(allow_origins=list(origins), expose_headers=list(HEADERS)) if origins else None


def _raise_not_found(response: Response[Any]) -> Response[Any]:
    """Replace Litestar's own 404 page under `/schema` by our 404 response."""
    if response.status_code == 404:
        raise NotFoundException
    return response


def _openapi() -> OpenAPIConfig:
    return OpenAPIConfig(
        title=NAME,
        version=VERSION,
        description=DESCRIPTION,
        openapi_router=Router(
            "/schema",
            route_handlers=API_PAGE,
            include_in_schema=False,
            before_request=prepare,
            after_request=_raise_not_found,
        ),
        render_plugins=[JsonRenderPlugin(path=["/", "/openapi.json"])],
        components=components(),
        tags=[
            Tag("chat", "Send a message; get the answer as a stream, a single body, or a job."),
            Tag("jobs", "Queued, running and finished work: list, follow, cancel, retry."),
            Tag("sessions", "Conversations and their messages: list, rename, fork, export, rate."),
            Tag("memories", "What agents remember about you."),
            Tag("auth", "Sign in, refresh and end sign-ins, and manage API keys and identity providers."),
            Tag("users", "The users of your tenant, and their data."),
            Tag("credentials", "Your tenant's own API keys for model providers."),
            Tag("agents", "The agents you can call, and those your tenant manages."),
            Tag("tools", "The tools that agents can use, and the databases those tools read."),
            Tag("benchmarks", "Models called again and again: how fast they are, what they cost, how they compare."),
            Tag("schedules", "Jobs that start by themselves, at times of a cron expression in a time zone."),
            Tag("pipelines", "Graphs of steps, built in or your tenant's own: list, draw, run."),
            Tag("documents", "Documents and collections: upload, manage, search."),
            Tag("configuration", "Settings that apply to all agents of your tenant."),
            Tag("usage", "Tokens and money spent, and what is left."),
            Tag(
                "widgets",
                "Chats with one of your agents in web pages of your own, and what visitors of these pages call.",
            ),
            Tag("triggers", "Addresses that start a job from a template when they are called."),
            Tag("webhooks", "Signed messages to your systems when jobs end, and how each delivery went."),
            Tag("audit", "A record of who did what."),
            Tag("tenants", "Your tenant; for admins, all tenants with their grants, users and keys."),
            Tag("models", "For admins: prices and capabilities of models."),
            Tag("openai", "Chat completions, embeddings and models, compatible with OpenAI's SDKs."),
            Tag("anthropic", "Messages for any model, compatible with Anthropic's SDKs and the tools built on them."),
            Tag("health", "Health and readiness of this installation."),
            Tag("certificates", "For admins: what this installation serves TLS with, and how it is had and renewed."),
            Tag("operations", "For admins and monitoring: what this installation does, and how fast."),
        ],
        operation_id_creator=operation_id,
        use_handler_docstrings=True,
    )
