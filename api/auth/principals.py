"""The principal, which is who is calling, and the guard in front of every route.

A handler declares the right that it requires by the type of its `principal` (`principal: MayReadJobs`); a public handler says
`opt=PUBLIC`. With neither, the application doesn't start. The guard runs before the body is read. In the OpenAPI document the
right is the scope of the route's security.
"""

import asyncio
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache, partial
from typing import Annotated, Any, Literal
from urllib.parse import parse_qsl
from uuid import UUID

from litestar import Litestar, Request
from litestar.connection import ASGIConnection
from litestar.datastructures import Headers
from litestar.di import NamedDependency
from litestar.handlers import BaseRouteHandler, HTTPRouteHandler

from api.auth.browser_cookie import presented_cookie, require_own_page
from api.http.limit_errors import require_rate
from api.http.middleware import BEFORE_RESPONSE, CALLED_AS
from api.http.query_params import check_parameters, reject_unknown_parameters
from api.http.unmatched_paths import NO_SUCH_PATH
from schema.errors import Forbidden, HeadraceError, InputError, NotFound, Unauthenticated
from schema.identity.budgets import CallerBudget, read_budgets
from schema.identity.rights import SEES_ALL, Right, Role, rights_for_role
from schema.identity.tenancy import TenantSnapshot
from schema.postgres.connections import Db, Pool, tenant_tx
from schema.queries.identity.users import SignInUser
from schema.vault import PLATFORM
from workers.limits.rates import READS

PUBLIC = {"public": True}
"""`opt` of a handler that anybody may call."""

ANY_QUERY = {"any_query": True}
"""`opt` of a public handler whose callers, others' programs, add query parameters of their own."""

FOR_SCRAPERS = {"for_scrapers": True}
"""`opt` of a handler that those may call, too, who send HEADRACE_METRICS_TOKEN."""

IDENTITY_TTL_S = 1.0
"""How long a caller's identity is cached; a revoked key stops working within this time."""
MAX_CACHED_IDENTITIES = 10_000

CHANGES_CALLERS: frozenset[Right] = frozenset(
    {
        *("self", "keys.own", "keys.manage", "users.manage", "credentials.manage", "sign_in.manage", "agents.manage"),
        *("configuration.manage", "privacy.manage", "tenants.manage", "models.manage"),
    }
)
"""Rights to change what is cached of callers: who they are, what they may do, which agents and models they can use. After such
a request this process forgets it, before it responds (`Resources.forget`)."""

RAISES_LIMITS: frozenset[Right] = frozenset(
    {
        *("keys.own", "keys.manage", "users.manage", "credentials.manage", "sign_in.manage"),
        *("tenants.manage", "models.manage"),
    }
)
"""Rights by which a key with a budget could get around it: other keys and users, its own limits, provider keys whose calls no
budget counts, and prices. It reads what they show, and changes nothing."""

NO_CREDENTIALS = (
    "An API key or access token is required. Send `Authorization: Bearer hr_…` (or `X-API-Key: hr_…`) with a key of your "
    "tenant, or `Authorization: Bearer` with an access token from POST /api/auth/login."
)


@dataclass(frozen=True, kw_only=True)
class Principal:
    """Who is calling, for which tenant, with which rights.

    `user_id` is None for a key that acts for its tenant. `visible_user_id` limits what is visible to rows of that user; None
    is the whole tenant. `budgets` are those of the key and its user. `provider_token` is the token that was sent, if the
    tenant's identity provider issued it, for tools that ask for it. `expires_at` is when the API key expires. `batch_line`
    names the line of a batch that the request is: nobody waits for its answer. `front_end_prompts` is the key's own setting
    (`api/openai/front_end_prompts.py`).
    """

    tenant: TenantSnapshot
    kind: Literal["user", "key"]
    id: UUID
    role: Role
    rights: frozenset[Right]
    user_id: UUID | None = None
    visible_user_id: UUID | None = None
    login_id: UUID | None = None
    expires_at: datetime | None = None
    budgets: tuple[CallerBudget, ...] = ()
    provider_token: str | None = field(default=None, repr=False)
    address: str | None = None
    request_id: str | None = None
    batch_line: str | None = None
    front_end_prompts: str | None = None

    @property
    def tenant_id(self) -> UUID:
        return self.tenant.id

    @property
    def key_id(self) -> UUID | None:
        return self.id if self.kind == "key" else None

    @property
    def actor(self) -> str:
        """How records name the caller: `user:ID` or `key:ID`."""
        return f"{self.kind}:{self.id}"

    def tx(self, pool: Pool) -> AbstractAsyncContextManager[Db]:
        """A transaction that sees and writes only what this caller may."""
        return tenant_tx(pool, self.tenant_id, user_id=self.visible_user_id)


def principal_of_user(
    user: SignInUser, *, login_id: UUID | None = None, provider_token: str | None = None
) -> Principal:
    """Return the principal of a user who sent a token: ours, of a sign-in, or their identity provider's."""
    return Principal(
        tenant=user.tenant_snapshot,
        kind="user",
        id=user.id,
        role=user.role,
        rights=rights_for_role(user.role),
        user_id=user.id,
        visible_user_id=None if user.role in SEES_ALL else user.id,
        login_id=login_id,
        budgets=read_budgets(user.budgets),
        provider_token=provider_token,
    )


@dataclass(frozen=True)
class Requires:
    """The right that a handler requires of its `principal`."""

    right: Right


Caller = NamedDependency[Principal]

SignedIn = Annotated[Caller, Requires("self")]
MayChat = Annotated[Caller, Requires("chat")]
MayReadJobs = Annotated[Caller, Requires("jobs.read")]
MayWriteJobs = Annotated[Caller, Requires("jobs.write")]
MayReadSessions = Annotated[Caller, Requires("sessions.read")]
MayWriteSessions = Annotated[Caller, Requires("sessions.write")]
MayReadModels = Annotated[Caller, Requires("models.read")]
MayReadAgents = Annotated[Caller, Requires("agents.read")]
MayReadPipelines = Annotated[Caller, Requires("pipelines.read")]
MayRunPipelines = Annotated[Caller, Requires("pipelines.run")]
MayReadBenchmarks = Annotated[Caller, Requires("benchmarks.read")]
MayRunBenchmarks = Annotated[Caller, Requires("benchmarks.run")]
MayReadSchedules = Annotated[Caller, Requires("schedules.read")]
MayWriteSchedules = Annotated[Caller, Requires("schedules.write")]
MayHaveKeys = Annotated[Caller, Requires("keys.own")]
MayManageKeys = Annotated[Caller, Requires("keys.manage")]
MayReadUsers = Annotated[Caller, Requires("users.read")]
MayManageUsers = Annotated[Caller, Requires("users.manage")]
MayReadCredentials = Annotated[Caller, Requires("credentials.read")]
MayManageCredentials = Annotated[Caller, Requires("credentials.manage")]
MayManageSignIn = Annotated[Caller, Requires("sign_in.manage")]
MayManageAgents = Annotated[Caller, Requires("agents.manage")]
MayReadDocuments = Annotated[Caller, Requires("documents.read")]
MayWriteDocuments = Annotated[Caller, Requires("documents.write")]
MayManageDocuments = Annotated[Caller, Requires("documents.manage")]
MayManagePipelines = Annotated[Caller, Requires("pipelines.manage")]
MayManageTools = Annotated[Caller, Requires("tools.manage")]
MayManageDataSources = Annotated[Caller, Requires("data_sources.manage")]
MayManageConfiguration = Annotated[Caller, Requires("configuration.manage")]
MayReadUsage = Annotated[Caller, Requires("usage.read")]
MayReadAudit = Annotated[Caller, Requires("audit.read")]
MayManagePrivacy = Annotated[Caller, Requires("privacy.manage")]
MayManageWebhooks = Annotated[Caller, Requires("webhooks.manage")]
MayManageTriggers = Annotated[Caller, Requires("triggers.manage")]
MayManageTenants = Annotated[Caller, Requires("tenants.manage")]
MayManageModels = Annotated[Caller, Requires("models.manage")]
MayReadOperations = Annotated[Caller, Requires("operations.read")]
MayManageCertificates = Annotated[Caller, Requires("certificates.manage")]
MayScrape = Annotated[NamedDependency[Principal | None], Requires("operations.read")]
"""Of handlers for scrapers (FOR_SCRAPERS), who are no principal."""


@cache
def required_right(handler: BaseRouteHandler) -> Right | None:
    """Return the right that a handler requires, None if it is public. Raises LookupError if it declares neither."""
    principal = handler.parsed_fn_signature.parameters.get("principal")
    requirements = [meta for meta in principal.metadata if isinstance(meta, Requires)] if principal else []
    if len(requirements) == 1:
        return requirements[0].right
    if principal is None and handler.opt.get("public"):
        return None
    raise LookupError(f"{handler.handler_name} must take `principal: May…` or say opt=PUBLIC (api/auth/principals.py)")


def document_rights(app: Litestar) -> None:
    """Document the right that each of our routes requires. Raises LookupError for one that declares none and isn't public."""
    for route in app.routes:
        for handler in getattr(route, "route_handlers", ()):
            if isinstance(handler, HTTPRouteHandler) and is_ours(handler):
                right = required_right(handler)
                handler.security = (
                    [] if right is None else [{"key": [right]}, {"token": [right]}, {"x-api-key": [right]}]
                )


@cache
def is_ours(handler: BaseRouteHandler) -> bool:
    """Whether a handler is part of this project: Litestar adds its own, for documentation pages and OPTIONS."""
    return (handler.fn.__module__ or "").split(".")[0] == "api"


def presented_secret(headers: Headers) -> str | None:
    """Return the API key or token of a request, None if there is none."""
    scheme, _, secret = headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer":
        secret = headers.get("x-api-key", "")
    return secret.strip() or None


async def authenticate_caller(connection: ASGIConnection[Any, Any, Any, Any], right: Right) -> Principal:
    """Return the principal of a key or a token, or else of a browser's cookie, which counts for `/health` and the routes of
    `/api`, to which paths without that prefix lead as well."""
    state, headers = connection.app.state, connection.headers
    authenticator, issuer = state.resources.authenticator, state.settings.issuer
    origin = {"address": client_address(connection), "request_id": connection.scope.get("request_id")}
    if (secret := presented_secret(headers)) is not None:
        return await authenticator.authenticate(secret, right, **origin)
    cookie = presented_cookie(connection.cookies, issuer) if _cookie_counts(connection.scope["path"]) else None
    if cookie is None:
        raise Unauthenticated(NO_CREDENTIALS)
    if connection.scope.get("method") != "GET":
        require_own_page(headers, issuer)
    return await authenticator.authenticate_browser(cookie, right, **origin)


def _cookie_counts(path: str) -> bool:
    return path.startswith("/api/") or path.rstrip("/") == "/health"


OPERATOR_TIMEOUT_S = 2.0


async def is_operator(connection: ASGIConnection[Any, Any, Any, Any]) -> bool:
    """Whether the caller of a public route may see what operators see. Whoever can't be identified may not: no key, a wrong
    one, or Postgres doesn't say in time whose it is; HEADRACE_METRICS_TOKEN is known without it."""
    if connection.app.state.metrics.accepts(connection.headers.get("authorization", "")):
        return True
    try:
        async with asyncio.timeout(OPERATOR_TIMEOUT_S):
            principal = await authenticate_caller(connection, "operations.read")
    except (HeadraceError, TimeoutError):
        return False
    return "operations.read" in principal.rights


async def authorise(connection: ASGIConnection[Any, Any, Any, Any], handler: BaseRouteHandler) -> None:
    """Guard of the whole application: authenticates the caller and checks their right, then what the query says; the body is
    read after that. Who may not call isn't told what a call must be like."""
    if not is_ours(handler) or connection.scope.get("method") == "OPTIONS":
        return
    right = required_right(handler)
    if right is None:
        _check_query(connection.scope, handler)
        if not handler.opt.get("any_query"):
            reject_unknown_parameters(connection.scope, handler)
        return
    scope: Any = connection.scope
    if handler.opt.get("for_scrapers") and connection.app.state.metrics.accepts(
        connection.headers.get("authorization", "")
    ):
        scope["user"] = None
        _check_query(scope, handler)
        return
    resources = connection.app.state.resources
    principal: Principal | None = scope.get(CALLED_AS)
    if principal is None:
        principal = await authenticate_caller(connection, right)
    connection.scope["user"] = principal  # before the refusal, which is recorded with its name
    if right not in principal.rights:
        raise Forbidden(f"This requires the right {right!r}; {_describe_credential(principal)} does not include it.")
    _require_unlimited_key(principal, right, connection.scope.get("method", ""))
    _check_query(connection.scope, handler)
    reject_unknown_parameters(connection.scope, handler)
    if connection.scope.get("method") == "GET":
        require_rate(resources.rates, principal.tenant, READS)
    if right in CHANGES_CALLERS and connection.scope.get("method") != "GET":
        changed = None if principal.tenant_id == PLATFORM else principal.tenant_id  # an admin may change any tenant
        scope[BEFORE_RESPONSE] = partial(resources.forget, changed)


def _require_unlimited_key(principal: Principal, right: Right, method: str) -> None:
    """Raise Forbidden if a key with a budget, its own or its user's, would change what could give it more. It may
    revoke keys, and keys for a user share that user's budget."""
    if principal.kind != "key" or not principal.budgets or right not in RAISES_LIMITS or method == "GET":
        return
    limited_itself = any(budget.of == "key" for budget in principal.budgets)
    if right == "keys.own" and (method == "DELETE" or not limited_itself):
        return
    whose = "This API key" if limited_itself else "The user of this API key"
    raise Forbidden(f"{whose} has a budget, {KEYS_WITH_BUDGETS}")


KEYS_WITH_BUDGETS = (
    "and such a key can't create or change keys, budgets, users, provider keys, sign-in, tenants or prices: it could get "
    "around its budget. Sign in, or use a key without a budget."
)


def _describe_credential(principal: Principal) -> str:
    """Return what grants the rights, for error messages: a role, or a key, which may be narrowed."""
    return f"your API key (role {principal.role})" if principal.kind == "key" else f"your role ({principal.role})"


def _check_query(scope: Any, handler: BaseRouteHandler) -> None:
    reject_nul(scope)
    check_parameters(scope, handler)


def reject_nul(scope: Any) -> None:
    """Reject U+0000, which Postgres can't store or compare: NotFound in a path, since nothing has such a name; InputError in a
    query."""
    if "\0" in scope["path"]:
        raise NotFound(NO_SUCH_PATH)
    if b"%00" in scope["query_string"]:
        for name, value in parse_qsl(scope["query_string"].decode("latin-1")):
            if "\0" in value:
                raise InputError(f"{name} must not contain the character U+0000.", field=name)


def client_address(connection: ASGIConnection[Any, Any, Any, Any]) -> str | None:
    """Return the client's IP address. uvicorn decides which forwarded headers to trust (`forwarded_allow_ips`)."""
    return connection.client.host if connection.client else None


def get_principal(request: Request[Any, Any, Any], resources: NamedDependency[Any]) -> Principal:
    """Dependency `principal`, which the guard has set. It takes `resources` so that Litestar resolves the two in sequence:
    to resolve them concurrently it creates tasks, which cost a tenth of a request's time."""
    return request.scope["user"]
