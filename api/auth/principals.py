"""Who is calling, and the guard in front of every route.

A handler names the right that it needs by the type of its `principal` (`principal: MayReadJobs`); a handler that anybody may
call says `opt=PUBLIC`. One that says neither keeps the application from starting. The guard runs before the body is read;
the OpenAPI document shows the right as the scope of the route's security.
"""

from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal
from urllib.parse import parse_qsl
from uuid import UUID

from litestar import Litestar, Request
from litestar.connection import ASGIConnection
from litestar.datastructures import Headers
from litestar.di import NamedDependency
from litestar.handlers import BaseRouteHandler, HTTPRouteHandler

from schema.db import Db, Pool, tenant_tx
from schema.errors import Forbidden, InputError, NotFound, Unauthenticated
from schema.queries.identity.users import SignInUser
from schema.rights import SEES_ALL, Right, Role, rights_of
from schema.tenancy import TenantSnapshot

PUBLIC = {"public": True}
"""`opt` of a handler that needs no caller."""

IDENTITY_S = 1.0
"""For how long what was looked up about a caller is believed: a key that is revoked is out within it."""
IDENTITIES = 10_000  # that a process remembers at once

NO_KEY = (
    "An API key or access token is required. Send `Authorization: Bearer hr_…` (or `X-API-Key: hr_…`) with a key of your "
    "tenant, or `Authorization: Bearer` with an access token from POST /api/auth/login."
)


@dataclass(frozen=True, kw_only=True)
class Principal:
    """Who is calling, for which tenant, with which rights.

    `user_id` is the person, None for a key that stands for its tenant; `visible_user_id` confines what is seen to
    that person's, None is all of the tenant. `token` is the JWT that came, for the tools of its jobs.
    """

    tenant: TenantSnapshot
    kind: Literal["user", "key"]
    id: UUID
    role: Role
    rights: frozenset[Right]
    user_id: UUID | None = None
    visible_user_id: UUID | None = None
    login_id: UUID | None = None
    token: str | None = field(default=None, repr=False)
    address: str | None = None
    request_id: str | None = None

    @property
    def tenant_id(self) -> UUID:
        return self.tenant.id

    @property
    def actor(self) -> str:
        """How records name the caller: `user:ID` or `key:ID`."""
        return f"{self.kind}:{self.id}"

    def tx(self, pool: Pool) -> AbstractAsyncContextManager[Db]:
        """One transaction that sees and writes what this caller may."""
        return tenant_tx(pool, self.tenant_id, user_id=self.visible_user_id)


def principal_of_user(user: SignInUser, *, token: str, login_id: UUID | None) -> Principal:
    """Return the principal of a person who came with a token."""
    return Principal(
        tenant=user.tenant_snapshot,
        kind="user",
        id=user.id,
        role=user.role,
        rights=rights_of(user.role),
        user_id=user.id,
        visible_user_id=None if user.role in SEES_ALL else user.id,
        login_id=login_id,
        token=token,
    )


@dataclass(frozen=True)
class Needs:
    """The right that a handler's `principal` must have."""

    right: Right


Caller = NamedDependency[Principal]

SignedIn = Annotated[Caller, Needs("self")]
MayChat = Annotated[Caller, Needs("chat")]
MayReadJobs = Annotated[Caller, Needs("jobs.read")]
MayWriteJobs = Annotated[Caller, Needs("jobs.write")]
MayReadSessions = Annotated[Caller, Needs("sessions.read")]
MayWriteSessions = Annotated[Caller, Needs("sessions.write")]
MayReadModels = Annotated[Caller, Needs("models.read")]
MayReadAgents = Annotated[Caller, Needs("agents.read")]
MayReadPipelines = Annotated[Caller, Needs("pipelines.read")]
MayRunPipelines = Annotated[Caller, Needs("pipelines.run")]
MayHaveKeys = Annotated[Caller, Needs("keys.own")]
MayReadUsers = Annotated[Caller, Needs("users.read")]
MayManageUsers = Annotated[Caller, Needs("users.manage")]
MayReadCredentials = Annotated[Caller, Needs("credentials.read")]
MayManageCredentials = Annotated[Caller, Needs("credentials.manage")]
MayManageSignIn = Annotated[Caller, Needs("sign_in.manage")]
MayManageAgents = Annotated[Caller, Needs("agents.manage")]
MayReadDocuments = Annotated[Caller, Needs("documents.read")]
MayWriteDocuments = Annotated[Caller, Needs("documents.write")]
MayManageDocuments = Annotated[Caller, Needs("documents.manage")]
MayManagePipelines = Annotated[Caller, Needs("pipelines.manage")]
MayManageTools = Annotated[Caller, Needs("tools.manage")]
MayManageDataSources = Annotated[Caller, Needs("data_sources.manage")]
MayManageConfiguration = Annotated[Caller, Needs("configuration.manage")]
MayReadUsage = Annotated[Caller, Needs("usage.read")]
MayReadAudit = Annotated[Caller, Needs("audit.read")]
MayManagePrivacy = Annotated[Caller, Needs("privacy.manage")]
MayManageTenants = Annotated[Caller, Needs("tenants.manage")]
MayManageModels = Annotated[Caller, Needs("models.manage")]


def right_of(handler: BaseRouteHandler) -> Right | None:
    """Return the right that a handler needs, None for a public one. Raises LookupError if it says neither."""
    principal = handler.parsed_fn_signature.parameters.get("principal")
    needs = [meta for meta in principal.metadata if isinstance(meta, Needs)] if principal else []
    if len(needs) == 1:
        return needs[0].right
    if principal is None and handler.opt.get("public"):
        return None
    raise LookupError(f"{handler.handler_name} must take `principal: May…` or say opt=PUBLIC (api/auth/principals.py)")


def classify_routes(app: Litestar) -> None:
    """Make every route of ours say in its documentation which right it needs. Raises LookupError for one that can't tell."""
    for route in app.routes:
        for handler in getattr(route, "route_handlers", ()):
            if isinstance(handler, HTTPRouteHandler) and is_ours(handler):
                right = right_of(handler)
                handler.security = (
                    [] if right is None else [{"key": [right]}, {"token": [right]}, {"x-api-key": [right]}]
                )


def is_ours(handler: BaseRouteHandler) -> bool:
    """Whether a handler is part of this project: Litestar adds pages of its documentation, and answers to OPTIONS."""
    return (handler.fn.__module__ or "").split(".")[0] == "api"


def presented_secret(headers: Headers) -> str:
    """Return the key or token that came with a request. Raises Unauthenticated when there is none."""
    scheme, _, secret = headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer":
        secret = headers.get("x-api-key", "")
    if not secret.strip():
        raise Unauthenticated(NO_KEY)
    return secret.strip()


async def authorise(connection: ASGIConnection[Any, Any, Any, Any], handler: BaseRouteHandler) -> None:
    """Guard of the whole application: who is calling, and may they do this? Before anything of the body is read."""
    if not is_ours(handler) or connection.scope.get("method") == "OPTIONS":
        return
    refuse_nul(connection.scope)
    right = right_of(handler)
    if right is None:
        return
    principal = await connection.app.state.resources.authenticator.find(
        presented_secret(connection.headers),
        address=address_of(connection),
        request_id=connection.scope.get("request_id"),
    )
    if right not in principal.rights:
        raise Forbidden(f"This requires the right {right!r}; {_holder(principal)} does not include it.")
    connection.scope["user"] = principal


def _holder(principal: Principal) -> str:
    """Return whose rights are at issue: those of a role, or of a key, which may be narrowed."""
    return f"your API key (role {principal.role})" if principal.kind == "key" else f"your role ({principal.role})"


def refuse_nul(scope: Any) -> None:
    """Refuse U+0000, which Postgres can't store or compare: NotFound for a path, which can name nothing so; InputError for a
    query."""
    if "\0" in scope["path"]:
        raise NotFound("There is nothing at this path; the paths are listed at /schema.")
    if b"%00" in scope["query_string"]:
        for name, value in parse_qsl(scope["query_string"].decode("latin-1")):
            if "\0" in value:
                raise InputError(f"{name} must not contain the character U+0000.", field=name)


def address_of(connection: ASGIConnection[Any, Any, Any, Any]) -> str | None:
    """Return the address that the call came from. Forwarded headers are uvicorn's to trust (`--forwarded-allow-ips`)."""
    return connection.client.host if connection.client else None


def get_principal(request: Request[Any, Any, Any], resources: NamedDependency[Any]) -> Principal:
    """Dependency `principal`; the guard has found it. It names `resources` so that Litestar finds one after the other: for two
    at once it makes tasks, a tenth of what a request costs us."""
    return request.scope["user"]
