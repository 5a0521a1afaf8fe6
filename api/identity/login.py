"""Routes to sign in with a password, refresh tokens, sign out, and get the caller's identity. OpenID Connect is in
`oidc_login.py`."""

from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

import msgspec
from litestar import Request, Response, Router, get, post
from litestar.params import JSONBody
from msgspec import Meta

from api.audit.log import record
from api.auth.device_cookie import new_device_cookie, read_device
from api.auth.principals import PUBLIC, Principal, SignedIn
from api.auth.role_checks import SignedInUserOut, read_client_info, signed_in_user_out
from api.http.errors import problems
from api.http.rows import from_row
from api.identity.login_sessions import LoggedIn, authenticate, begin_login, renew_login
from api.openapi.operations import described
from api.resources import AppResources, Resources
from api.usage.caller_budgets import BUDGET_EXAMPLE, SPENT_EXAMPLE, OwnBudgetOut, read_own_budgets
from schema.errors import Conflict, Forbidden
from schema.identity.rights import RIGHTS, Right, Role
from schema.identity.tenancy import TenantSnapshot, TenantState
from schema.postgres.connections import tenant_tx
from schema.queries.identity.api_keys import ApiKey, find_api_key
from schema.queries.identity.logins import end_login, end_logins
from schema.queries.identity.users import SignInUser, User, find_user

NO_STORE = {"Cache-Control": "no-store"}


class LoginIn(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Credentials of a user."""

    tenant: Annotated[str, Meta(min_length=1, max_length=100, description="Slug of the tenant.")]
    email: Annotated[str, Meta(min_length=1, max_length=300, description="Email address, in any case.")]
    password: Annotated[str, Meta(min_length=1, max_length=1000, description="Password.")]

    def __repr__(self) -> str:
        return f"LoginIn(tenant={self.tenant!r})"


class RefreshIn(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A refresh token to exchange."""

    refresh_token: Annotated[
        str, Meta(min_length=1, max_length=200, description="The latest refresh token of the sign-in.")
    ]

    def __repr__(self) -> str:
        return "RefreshIn()"


class LogoutIn(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What to sign out of."""

    everywhere: Annotated[bool, Meta(description="Whether to end all sign-ins of the user, not only this one.")] = False


class TenantNameOut(msgspec.Struct, frozen=True):
    """The tenant of the caller."""

    id: Annotated[UUID, Meta(description="Id of the tenant.")]
    slug: Annotated[str, Meta(description="Its name in paths.")]
    state: Annotated[TenantState, Meta(description="State of the tenant.")]


class TokensOut(msgspec.Struct, frozen=True, kw_only=True):
    """Tokens of a sign-in."""

    access_token: Annotated[str, Meta(description="Send it as `Authorization: Bearer …`.")]
    token_type: Annotated[Literal["Bearer"], Meta(description="Always `Bearer`.")] = "Bearer"  # noqa: S105 (no secret)
    expires_in: Annotated[int, Meta(description="Seconds until the access token expires.")]
    refresh_token: Annotated[str, Meta(description="Exchange it for new tokens at POST /api/auth/refresh, once.")]
    user: Annotated[SignedInUserOut, Meta(description="The signed-in user.")]
    tenant: Annotated[TenantNameOut, Meta(description="The user's tenant.")]

    def __repr__(self) -> str:
        return f"TokensOut(user={self.user.id})"


class CurrentKeyOut(msgspec.Struct, frozen=True):
    """The API key that a request was sent with."""

    id: Annotated[UUID, Meta(description="Id of the key.")]
    name: Annotated[str, Meta(description="What the key is for.")]
    expires_at: Annotated[datetime | None, Meta(description="When it expires; null is never.")]


class CallerOut(msgspec.Struct, frozen=True, kw_only=True):
    """The identity and the rights of the caller."""

    kind: Annotated[Literal["user", "key"], Meta(description="`user` for an access token, `key` for an API key.")]
    tenant: Annotated[TenantNameOut, Meta(description="The caller's tenant.")]
    user: Annotated[SignedInUserOut | None, Meta(description="The user; null for a key that acts for its tenant.")]
    key: Annotated[CurrentKeyOut | None, Meta(description="The API key; null for an access token.")]
    role: Annotated[Role, Meta(description="Role of the caller.")]
    rights: Annotated[list[Right], Meta(description="What the caller may do.")]
    scopes: Annotated[list[str] | None, Meta(description="Rights that the key is narrowed to; null if it isn't.")]
    budgets: Annotated[
        list[OwnBudgetOut], Meta(description="Budgets of the key and of its user; empty if they have none.")
    ]


USER_EXAMPLE = {
    "id": "019514f2-6c1e-7a34-9d2b-3f5a8c7e1b20",
    "email": "ada@example.com",
    "name": "Ada Lovelace",
    "role": "member",
}
TENANT_EXAMPLE = {"id": "019514f2-5a0d-7e61-8f3c-1d4b6a9e2c70", "slug": "acme", "state": "active"}
LOGIN_EXAMPLE = {"tenant": "acme", "email": "ada@example.com", "password": "seven mill wheels"}
TOKENS_EXAMPLE = {
    "access_token": "eyJhbGciOiJSUzI1NiIsInR5cCI6ImF0K2p3dCJ9.…",
    "token_type": "Bearer",
    "expires_in": 3600,
    "refresh_token": "hrr_…",
    "user": USER_EXAMPLE,
    "tenant": TENANT_EXAMPLE,
}
CALLER_EXAMPLE = {
    "kind": "user",
    "tenant": TENANT_EXAMPLE,
    "user": USER_EXAMPLE,
    "key": None,
    "role": "member",
    "rights": ["self", "jobs.read", "jobs.write", "chat"],
    "scopes": None,
    "budgets": [{"of": "user", **BUDGET_EXAMPLE, "spent": SPENT_EXAMPLE}],
}


@post(
    "/login",
    status_code=200,
    opt=PUBLIC | described(example=LOGIN_EXAMPLE, response=TOKENS_EXAMPLE),
    responses=problems("unauthenticated", "tenant_suspended", "rate_limit_exceeded", "unavailable"),
    summary="Sign in",
    tags=["auth"],
)
async def login(
    data: JSONBody[LoginIn], request: Request[Any, Any, Any], resources: AppResources
) -> Response[TokensOut]:
    """Signs in with a password and returns tokens. After five failures for a user from one IP address, or twenty for any users,
    within 15 minutes, that address gets 429 for the rest of that time. The cookie of the response marks the device: with it,
    the failures of others don't count."""
    client_info, secure = read_client_info(request), resources.settings.issuer.startswith("https:")

    def device_of(user: SignInUser) -> str | None:
        return read_device(request.cookies, resources.vault, user.tenant_snapshot.id, user.id, secure=secure)

    user = await authenticate(resources, data.tenant, data.email, data.password, client_info, device_of)
    response = tokens_out(resources, await begin_login(resources, user, client_info, password=data.password))
    tenant_id, device = user.tenant_snapshot.id, device_of(user)
    response.set_cookie(new_device_cookie(resources.vault, tenant_id, user.id, device, secure=secure))
    return response


@post(
    "/refresh",
    status_code=200,
    opt=PUBLIC | described(example={"refresh_token": "hrr_…"}, response=TOKENS_EXAMPLE),
    responses=problems("unauthenticated", "tenant_suspended", "unavailable"),
    summary="Refresh tokens",
    tags=["auth"],
)
async def refresh_tokens(
    data: JSONBody[RefreshIn], request: Request[Any, Any, Any], resources: AppResources
) -> Response[TokensOut]:
    """Exchanges a refresh token for new tokens. Within ten seconds, the same refresh token gives the same new one, so that two
    tabs can refresh at once. Using it again later ends the sign-in with all its tokens. A sign-in also ends after 30 days
    without a refresh."""
    return tokens_out(resources, await renew_login(resources, data.refresh_token, read_client_info(request)))


@post(
    "/logout",
    status_code=204,
    opt=described(example={"everywhere": True}),
    responses=problems("conflict"),
    summary="Sign out",
    tags=["auth"],
)
async def logout(principal: SignedIn, resources: AppResources, data: JSONBody[LogoutIn | None] = None) -> None:
    """Ends this sign-in, or all of the user's. Its tokens are refused within a second."""
    everywhere = data is not None and data.everywhere
    if principal.kind == "key":
        raise Forbidden("An API key can't be signed out. To revoke it, send DELETE /api/auth/keys/{key_id}.")
    if principal.login_id is None and not everywhere:
        raise Conflict("This token was issued by your identity provider. Sign out there.")
    async with tenant_tx(resources.core.pool, principal.tenant_id) as db:
        if everywhere:
            await end_logins(db, principal.tenant_id, principal.id, reason="logout_everywhere")
        elif principal.login_id is not None:
            await end_login(db, principal.tenant_id, principal.login_id, reason="logout")
        target = "" if everywhere else f"login:{principal.login_id}"
        await record(db, principal, principal.tenant_id, "login.ended", target, {"everywhere": everywhere})


@get("/me", opt=described(response=CALLER_EXAMPLE), summary="Get the caller's identity", tags=["auth"])
async def get_caller_identity(principal: SignedIn, resources: AppResources) -> CallerOut:
    """Returns who the API key or access token belongs to, what it may do, and its budgets with what is spent of them."""
    return await describe_caller(resources, principal)


async def describe_caller(resources: Resources, principal: Principal) -> CallerOut:
    """Return who a caller is and what they may do."""
    user: User | None = None
    key: ApiKey | None = None
    async with tenant_tx(resources.core.pool, principal.tenant_id) as db:
        if principal.user_id is not None:
            user = await find_user(db, principal.tenant_id, principal.user_id)
        if principal.kind == "key":
            key = await find_api_key(db, principal.tenant_id, principal.id)
        budgets = await read_own_budgets(db, principal.tenant_id, principal.budgets)
    return _me(principal, user, key, budgets)


def _me(principal: Principal, user: User | None, key: ApiKey | None, budgets: list[OwnBudgetOut]) -> CallerOut:
    return CallerOut(
        kind=principal.kind,
        tenant=tenant_out(principal.tenant),
        user=signed_in_user_out(user) if user else None,
        key=from_row(CurrentKeyOut, key) if key else None,
        role=principal.role,
        rights=[right for right in RIGHTS if right in principal.rights],
        scopes=key.scopes if key else None,
        budgets=budgets,
    )


def tenant_out(tenant: TenantSnapshot) -> TenantNameOut:
    """Return a tenant as its users see it."""
    return from_row(TenantNameOut, tenant)


def tokens_out(resources: Resources, logged_in: LoggedIn) -> Response[TokensOut]:
    """Return the response with a user's tokens, which no cache may store."""
    tokens = TokensOut(
        access_token=logged_in.access_token,
        expires_in=resources.tokens.lifetime_s,
        refresh_token=logged_in.refresh_token,
        user=logged_in.person,
        tenant=tenant_out(logged_in.tenant),
    )
    return Response(tokens, headers=NO_STORE)


routes = Router("/auth", route_handlers=[login, refresh_tokens, logout, get_caller_identity])
