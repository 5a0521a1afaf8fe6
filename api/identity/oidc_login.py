"""Routes to sign in at a tenant's identity provider (OpenID Connect): the list of providers, the redirect, the callback."""

from typing import Annotated, Any
from urllib.parse import urlencode

import msgspec
from litestar import Request, Response, Router, get
from litestar.datastructures import Cookie
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import PathParameter, QueryParameter
from msgspec import Meta

from api.auth.browser_cookie import session_cookie
from api.auth.oidc import login_state as login_states
from api.auth.principals import ANY_QUERY, PUBLIC
from api.auth.role_checks import ClientInfo, read_client_info
from api.http.errors import problems
from api.http.fields import NoNextCursor
from api.identity.login import NO_STORE, TOKENS_EXAMPLE, TokensOut, tokens_out
from api.identity.login_sessions import LoggedIn, begin_browser_login, begin_login
from api.identity.oidc_callback import CallbackParameters, finish_login
from api.identity.oidc_paths import absolute_url, leads_to_console, read_return_to, redirect_uri, sign_in_url
from api.openapi.operations import described
from api.resources import AppResources, Resources
from schema.errors import NotFound
from schema.ids import new_id
from schema.postgres.connections import tenant_tx
from schema.queries.identity.callers import find_tenant_id
from schema.queries.identity.identity_providers import SignInProvider, find_sign_in, list_sign_ins
from schema.queries.identity.users import SignInUser

NO_SIGN_IN = "No such identity provider. GET /api/auth/oidc/{tenant} lists the providers of a tenant."
REDIRECT = {
    302: ResponseSpec(
        None,
        description="Redirect to `return_to`, with the tokens in the fragment; to the console, with its cookie instead.",
        media_type="text/plain",
    )
}
CALLBACK_FAILURES = (
    *("unauthenticated", "tenant_suspended", "forbidden", "not_found", "rate_limit_exceeded"),
    *("egress_refused", "egress_failed", "egress_too_large", "unavailable"),
)
TAGS = ["auth"]

ReturnTo = Annotated[
    str | None,
    QueryParameter(
        description="Path on this server to redirect to afterwards, with the tokens in the fragment, or signed in by cookie "
        "if it is below `/console/`. Without it, the callback returns the tokens as JSON."
    ),
]
Tenant = Annotated[str, PathParameter(description="The tenant's slug.")]
Provider = Annotated[str, PathParameter(description="The identity provider's name.")]
Code = Annotated[str | None, QueryParameter(description="Authorization code.")]
OidcState = Annotated[str | None, QueryParameter(name="state", description="The `state` of the authorization request.")]
ErrorCode = Annotated[str | None, QueryParameter(description="Why the provider did not sign the user in.")]
ErrorDescription = Annotated[str | None, QueryParameter(description="The provider's explanation of `error`.")]
Iss = Annotated[str | None, QueryParameter(description="The issuer of the response (RFC 9207).")]


class SignInOptionOut(msgspec.Struct, frozen=True):
    """An identity provider that users can sign in at."""

    name: Annotated[str, Meta(description="Name of the provider.")]
    url: Annotated[str, Meta(description="Where to send the browser to sign in.")]


class SignInOptionsOut(msgspec.Struct, frozen=True):
    """The identity providers that users of a tenant can sign in at."""

    items: Annotated[list[SignInOptionOut], Meta(description="The providers, ordered by name.")]
    next_cursor: NoNextCursor = None


EXAMPLE = {"items": [{"name": "okta", "url": "https://headrace.example.com/api/auth/oidc/acme/okta"}]}


@get(
    "/{tenant:str}",
    opt=PUBLIC | described(response=EXAMPLE),
    responses=problems("unavailable"),
    summary="List sign-in options",
    tags=TAGS,
)
async def list_sign_in_options(tenant: Tenant, resources: AppResources) -> SignInOptionsOut:
    """Lists the identity providers that users of a tenant can sign in at. Empty for a tenant without any, and for one that
    doesn't exist."""
    # An unknown tenant gets a random id, so that the same query runs and finds nothing.
    tenant_id = await find_tenant_id(resources.core.pool, tenant) or new_id()
    async with tenant_tx(resources.core.pool, tenant_id) as db:
        names = await list_sign_ins(db, tenant_id)
    return SignInOptionsOut(
        [SignInOptionOut(name, sign_in_url(resources.settings.issuer, tenant, name)) for name in names]
    )


@get(
    "/{tenant:str}/{provider:str}",
    status_code=302,
    opt=PUBLIC,
    responses=problems("not_found", "egress_refused", "egress_failed", "egress_too_large", "unavailable"),
    summary="Start a sign-in at an identity provider",
    tags=TAGS,
)
async def start_oidc_sign_in(
    tenant: Tenant,
    provider: Provider,
    request: Request[Any, Any, Any],
    resources: AppResources,
    return_to: ReturnTo = None,
) -> Response[None]:
    """Redirects the browser to the identity provider. The sign-in must be completed within ten minutes, in the same browser."""
    row = await _find(resources, tenant, provider)
    login_state = login_states.new_login_state(read_return_to(return_to) if return_to is not None else None)
    url = await resources.code_flow.authorization_url(row, login_state, _redirect_uri(resources, row))
    secure = _is_secure(resources)
    cookies = login_states.excess_cookies(request.cookies, secure=secure)
    return _redirect(url, *cookies, login_states.login_state_cookie(login_state, resources.vault, row, secure=secure))


@get(
    "/{tenant:str}/{provider:str}/callback",
    opt=PUBLIC | ANY_QUERY | described(response=TOKENS_EXAMPLE),
    responses={**problems(*CALLBACK_FAILURES), **REDIRECT},
    summary="Complete a sign-in at an identity provider",
    tags=TAGS,
)
async def complete_oidc_sign_in(
    tenant: Tenant,
    provider: Provider,
    request: Request[Any, Any, Any],
    resources: AppResources,
    code: Code = None,
    oidc_state: OidcState = None,
    error: ErrorCode = None,
    error_description: ErrorDescription = None,
    iss: Iss = None,
) -> Response[TokensOut]:
    """The provider redirects the browser here. Responds like `POST /api/auth/login`, or redirects to the `return_to` of the
    start."""
    row = await _find(resources, tenant, provider)
    parameters = CallbackParameters(code, oidc_state, error, error_description, iss)
    client_info = read_client_info(request)
    user, login_state = await finish_login(resources, row, parameters, request.cookies, client_info)
    response = await _sign_in(resources, user, login_state.return_to, client_info)
    response.set_cookie(login_states.expired_cookie(login_state, secure=_is_secure(resources)))
    return response


async def _sign_in(
    resources: Resources, user: SignInUser, return_to: str | None, client_info: ClientInfo
) -> Response[Any]:
    """Sign the user in, with tokens or for the console with its cookie, and return where to go from here."""
    issuer = resources.settings.issuer
    if return_to is not None and leads_to_console(issuer, return_to):
        cookie = await begin_browser_login(resources, user, client_info, method="oidc")
        return _redirect(absolute_url(issuer, return_to), session_cookie(cookie, issuer))
    logged_in = await begin_login(resources, user, client_info, method="oidc")
    if return_to is None:
        return tokens_out(resources, logged_in)
    return _redirect(_return_url(resources, return_to, logged_in))


async def _find(resources: Resources, tenant: str, name: str) -> SignInProvider:
    tenant_id = await find_tenant_id(resources.core.pool, tenant) or new_id()
    async with tenant_tx(resources.core.pool, tenant_id) as db:
        row = await find_sign_in(db, tenant_id, name)
    if row is None:
        raise NotFound(NO_SIGN_IN)
    return row


def _redirect_uri(resources: Resources, row: SignInProvider) -> str:
    return redirect_uri(resources.settings.issuer, row.slug, row.name)


def _is_secure(resources: Resources) -> bool:
    return resources.settings.issuer.startswith("https:")


def _return_url(resources: Resources, return_to: str, logged_in: LoggedIn) -> str:
    """Return the URL with the tokens in its fragment, which is sent to no server and so is in no log or Referer."""
    tokens = {"access_token": logged_in.access_token, "token_type": "Bearer"}
    tokens |= {"expires_in": str(resources.tokens.lifetime_s), "refresh_token": logged_in.refresh_token}
    return f"{absolute_url(resources.settings.issuer, return_to)}#{urlencode(tokens)}"


def _redirect(url: str, *cookies: Cookie) -> Response[Any]:
    headers = {**NO_STORE, "Location": url, "Referrer-Policy": "no-referrer"}
    return Response(b"", status_code=302, headers=headers, cookies=list(cookies), media_type="text/plain")


routes = Router("/auth/oidc", route_handlers=[list_sign_in_options, start_oidc_sign_in, complete_oidc_sign_in])
