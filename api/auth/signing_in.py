"""Signing in and out over HTTP, and who one is then (A8). Identity providers have their own way in."""

from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

import msgspec
from litestar import Request, Response, Router, get, post
from litestar.params import JSONBody
from msgspec import Meta
from psycopg.rows import DictRow

from api.admin.deeds import note
from api.auth.logins import LoggedIn, authenticate, begin_login, renew_login
from api.auth.people import PersonOut, person_of, visit_of
from api.describing import described
from api.errors import problems
from api.principals import PUBLIC, Principal, SignedIn
from api.resources import Opened, Resources
from schema.db import tenant_tx
from schema.errors import Conflict, Forbidden
from schema.queries.api_keys import find_api_key
from schema.queries.logins import end_login, end_logins
from schema.queries.users import find_user
from schema.rights import RIGHTS, Right, Role
from schema.tenancy import TenantFacts, TenantState

NO_STORE = {"Cache-Control": "no-store"}


class LoginIn(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Who somebody says they are; `tenant` is its slug."""

    tenant: Annotated[str, Meta(min_length=1, max_length=100)]
    email: Annotated[str, Meta(min_length=1, max_length=300)]
    password: Annotated[str, Meta(min_length=1, max_length=1000)]

    def __repr__(self) -> str:
        return f"LoginIn(tenant={self.tenant!r})"


class RefreshIn(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A refresh token that was not used yet."""

    refresh_token: Annotated[str, Meta(min_length=1, max_length=200)]

    def __repr__(self) -> str:
        return "RefreshIn()"


class LogoutIn(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`everywhere` ends all sign-ins of the user, not only this one."""

    everywhere: bool = False


class TenantNameOut(msgspec.Struct, frozen=True):
    """The tenant that somebody is in."""

    id: UUID
    slug: str
    state: TenantState


class TokensOut(msgspec.Struct, frozen=True, kw_only=True):
    """Tokens: the access token is good for `expires_in` seconds, the refresh token once."""

    access_token: str
    token_type: Literal["Bearer"] = "Bearer"  # noqa: S105 (the scheme, no secret)
    expires_in: int
    refresh_token: str
    user: PersonOut
    tenant: TenantNameOut

    def __repr__(self) -> str:
        return f"TokensOut(user={self.user.id})"


class KeyInUseOut(msgspec.Struct, frozen=True):
    """The API key that one calls with."""

    id: UUID
    name: str
    expires_at: datetime | None


class MeOut(msgspec.Struct, frozen=True, kw_only=True):
    """Who is calling. `user` is None for a key that stands for its tenant; `scopes` is what a key was narrowed to."""

    kind: Literal["user", "key"]
    tenant: TenantNameOut
    user: PersonOut | None
    key: KeyInUseOut | None
    role: Role
    rights: list[Right]
    scopes: list[str] | None


@post(
    "/login",
    status_code=200,
    opt=PUBLIC | described(example={"tenant": "acme", "email": "ada@example.com", "password": "seven mill wheels"}),
    responses=problems("unauthenticated", "tenant_suspended", "rate_limit_exceeded", "unavailable"),
    summary="Sign in",
    tags=["auth"],
)
async def login(data: JSONBody[LoginIn], request: Request[Any, Any, Any], resources: Opened) -> Response[TokensOut]:
    """With a password. After five failures for a person, or twenty from an address, within a quarter of an hour: 429."""
    visit = visit_of(request)
    row = await authenticate(resources, data.tenant, data.email, data.password, visit)
    return tokens_out(resources, await begin_login(resources, row, visit, password=data.password))


@post(
    "/refresh",
    status_code=200,
    opt=PUBLIC,
    responses=problems("unauthenticated", "tenant_suspended", "unavailable"),
    summary="Refresh tokens",
    tags=["auth"],
)
async def refresh_tokens(
    data: JSONBody[RefreshIn], request: Request[Any, Any, Any], resources: Opened
) -> Response[TokensOut]:
    """Get new tokens for a refresh token. Each works once; one that comes again ends the whole sign-in. Thirty days without
    a refresh end it too."""
    return tokens_out(resources, await renew_login(resources, data.refresh_token, visit_of(request)))


@post("/logout", status_code=204, responses=problems("conflict"), summary="Sign out", tags=["auth"])
async def logout(principal: SignedIn, resources: Opened, data: JSONBody[LogoutIn | None] = None) -> None:
    """End this sign-in with all its tokens, within a second, or all of them."""
    everywhere = data is not None and data.everywhere
    if principal.kind == "key":
        raise Forbidden("An API key is not signed in. To end it, use DELETE /api/auth/keys/{id}.")
    if principal.login_id is None and not everywhere:
        raise Conflict("This token is your identity provider's; sign out there.")
    async with tenant_tx(resources.ports.pool, principal.tenant_id) as db:
        if everywhere:
            await end_logins(db, principal.tenant_id, principal.id, reason="logout_everywhere")
        elif principal.login_id is not None:
            await end_login(db, principal.tenant_id, principal.login_id, reason="logout")
        target = "" if everywhere else f"login:{principal.login_id}"
        await note(db, principal, principal.tenant_id, "login.ended", target, {"everywhere": everywhere})


@get("/me", summary="Who am I", tags=["auth"])
async def get_caller_identity(principal: SignedIn, resources: Opened) -> MeOut:
    user: DictRow | None = None
    key: DictRow | None = None
    async with tenant_tx(resources.ports.pool, principal.tenant_id) as db:
        if principal.user_id is not None:
            user = await find_user(db, principal.tenant_id, principal.user_id)
        if principal.kind == "key":
            key = await find_api_key(db, principal.tenant_id, principal.id)
    return _me(principal, user, key)


def _me(principal: Principal, user: DictRow | None, key: DictRow | None) -> MeOut:
    return MeOut(
        kind=principal.kind,
        tenant=tenant_out(principal.tenant),
        user=person_of(user) if user else None,
        key=KeyInUseOut(key["id"], key["name"], key["expires_at"]) if key else None,
        role=principal.role,
        rights=[right for right in RIGHTS if right in principal.rights],
        scopes=key["scopes"] if key else None,
    )


def tenant_out(facts: TenantFacts) -> TenantNameOut:
    """Return a tenant as its people see it."""
    return TenantNameOut(facts.id, facts.slug, facts.state)


def tokens_out(resources: Resources, logged_in: LoggedIn) -> Response[TokensOut]:
    """Return the answer with somebody's tokens, which nobody on the way may keep."""
    tokens = TokensOut(
        access_token=logged_in.access_token,
        expires_in=resources.tokens.lifetime_s,
        refresh_token=logged_in.refresh_token,
        user=logged_in.person,
        tenant=tenant_out(logged_in.tenant),
    )
    return Response(tokens, headers=NO_STORE)


routes = Router("/auth", route_handlers=[login, refresh_tokens, logout, get_caller_identity])
