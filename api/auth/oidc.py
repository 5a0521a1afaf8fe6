"""Signing in at a tenant's identity provider (OpenID Connect) over HTTP: which there are, going there, coming back (A8)."""

from typing import Annotated, Any
from urllib.parse import urlencode

import msgspec
from litestar import Request, Response, Router, get
from litestar.datastructures import Cookie
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import FromPath, FromQuery, QueryParameter
from psycopg.rows import DictRow

from api.auth import begun as beginnings
from api.auth.finishing import Told, finish_login
from api.auth.logins import LoggedIn
from api.auth.oidc_paths import onward_url, read_return_to, redirect_uri, sign_in_url
from api.auth.people import visit_of
from api.auth.signing_in import NO_STORE, TokensOut, tokens_out
from api.errors import problems
from api.principals import PUBLIC
from api.resources import Opened, Resources
from schema.db import tenant_tx
from schema.errors import NotFound
from schema.ids import new_id
from schema.queries.callers import find_tenant_id
from schema.queries.identity_providers import find_sign_in, list_sign_ins

NO_SIGN_IN = "There is no such sign-in. GET /api/auth/oidc/{tenant} lists those that there are."
ELSEWHERE = {
    302: ResponseSpec(None, description="To `return_to`, with the tokens in the fragment.", media_type="text/plain")
}
CALLBACK_FAILURES = (
    *("unauthenticated", "tenant_suspended", "forbidden", "not_found", "rate_limit_exceeded"),
    *("provider_failed", "egress_failed", "unavailable"),
)
TAGS = ["auth"]

ReturnTo = Annotated[
    str | None,
    QueryParameter(
        description="A path of this server to go to afterwards, with the tokens in the fragment of the address."
    ),
]
Word = FromQuery[str | None]


class SignInOut(msgspec.Struct, frozen=True):
    """A provider that people can sign in at: send the browser to `url`."""

    name: str
    url: str


class SignInsOut(msgspec.Struct, frozen=True):
    """The providers of a tenant, by name."""

    items: list[SignInOut]


@get("/{tenant:str}", opt=PUBLIC, responses=problems("unavailable"), summary="Where can I sign in?", tags=TAGS)
async def list_sign_in_options(tenant: FromPath[str], resources: Opened) -> SignInsOut:
    """The identity providers of a tenant, by its slug. Empty for a tenant without any, and for one that does not exist."""
    tenant_id = await find_tenant_id(resources.ports.pool, tenant) or new_id()  # nobody's, for the same work
    async with tenant_tx(resources.ports.pool, tenant_id) as db:
        names = await list_sign_ins(db, tenant_id)
    return SignInsOut([SignInOut(name, sign_in_url(resources.settings.issuer, tenant, name)) for name in names])


@get(
    "/{tenant:str}/{provider:str}",
    status_code=302,
    opt=PUBLIC,
    responses=problems("not_found", "provider_failed", "egress_failed", "unavailable"),
    summary="Sign in at a provider",
    tags=TAGS,
)
async def start_oidc_sign_in(
    tenant: FromPath[str],
    provider: FromPath[str],
    request: Request[Any, Any, Any],
    resources: Opened,
    return_to: ReturnTo = None,
) -> Response[None]:
    """Sends a browser to the identity provider. It must be back within ten minutes."""
    row = await _find(resources, tenant, provider)
    begun = beginnings.new_begun(read_return_to(return_to) if return_to is not None else None)
    url = await resources.code_flow.authorization_url(row, begun, _redirect_uri(resources, row))
    secure = _is_secure(resources)
    cookies = beginnings.forget_others(request.cookies, secure=secure)
    return _go(url, *cookies, beginnings.cookie_of(begun, resources.vault, row, secure=secure))


@get(
    "/{tenant:str}/{provider:str}/callback",
    opt=PUBLIC,
    responses={**problems(*CALLBACK_FAILURES), **ELSEWHERE},
    summary="Come back from a provider",
    tags=TAGS,
)
async def complete_oidc_sign_in(
    tenant: FromPath[str],
    provider: FromPath[str],
    request: Request[Any, Any, Any],
    resources: Opened,
    code: Word = None,
    sent: Annotated[str | None, QueryParameter(name="state")] = None,
    error: Word = None,
    error_description: Word = None,
    iss: Word = None,
) -> Response[TokensOut]:
    """Where the provider sends the browser. Answers as `POST /api/auth/login` does, or goes on to `return_to`."""
    row = await _find(resources, tenant, provider)
    told = Told(code, sent, error, error_description, iss)
    logged_in, begun = await finish_login(resources, row, told, request.cookies, visit_of(request))
    answer = tokens_out(resources, logged_in)
    if begun.return_to is not None:
        answer = _go(_onward(resources, begun.return_to, logged_in))
    answer.set_cookie(beginnings.forget(begun, secure=_is_secure(resources)))
    return answer


async def _find(resources: Resources, tenant: str, name: str) -> DictRow:
    tenant_id = await find_tenant_id(resources.ports.pool, tenant) or new_id()
    async with tenant_tx(resources.ports.pool, tenant_id) as db:
        row = await find_sign_in(db, tenant_id, name)
    if row is None:
        raise NotFound(NO_SIGN_IN)
    return row


def _redirect_uri(resources: Resources, row: DictRow) -> str:
    return redirect_uri(resources.settings.issuer, row["slug"], row["name"])


def _is_secure(resources: Resources) -> bool:
    return resources.settings.issuer.startswith("https:")


def _onward(resources: Resources, return_to: str, logged_in: LoggedIn) -> str:
    """In the fragment, which is sent to no server: so the tokens are in no log, and in no Referer."""
    tokens = {"access_token": logged_in.access_token, "token_type": "Bearer"}
    tokens |= {"expires_in": str(resources.tokens.lifetime_s), "refresh_token": logged_in.refresh_token}
    return f"{onward_url(resources.settings.issuer, return_to)}#{urlencode(tokens)}"


def _go(url: str, *cookies: Cookie) -> Response[Any]:
    headers = {**NO_STORE, "Location": url, "Referrer-Policy": "no-referrer"}
    return Response(b"", status_code=302, headers=headers, cookies=list(cookies), media_type="text/plain")


routes = Router("/auth/oidc", route_handlers=[list_sign_in_options, start_oidc_sign_in, complete_oidc_sign_in])
