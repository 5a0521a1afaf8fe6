"""Routes that sign a browser in by cookie, for the console: sign in, who is signed in, sign out, one-time codes."""

from contextlib import suppress
from datetime import datetime
from typing import Annotated, Any, Literal

import msgspec
from litestar import Request, Response, Router, delete, get, post
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import JSONBody
from msgspec import Meta

from api.auth.browser_cookie import expired_session_cookie, presented_cookie, require_own_page, session_cookie
from api.auth.principals import PUBLIC, Principal, SignedIn
from api.auth.role_checks import read_client_info
from api.http.errors import problems
from api.http.limit_errors import counted_as, require_rate
from api.identity.browser_sessions import (
    find_browser,
    new_code,
    prolong,
    sign_in_with_code,
    sign_in_with_key,
    sign_in_with_password,
    sign_out,
)
from api.identity.login import CALLER_EXAMPLE, LOGIN_EXAMPLE, NO_STORE, CallerOut, describe_caller
from api.openapi.operations import described
from api.resources import AppResources, Resources
from schema.errors import Forbidden, InputError, Unauthenticated
from workers.limits.rates import READS

FORMS = (("tenant", "email", "password"), ("api_key",), ("code",))
ONE_FORM = "Send either tenant, email and password, or api_key, or code."
KEYS_ONLY = "A code stands for an API key: send this request with one. Users sign in with a password or their provider."

Call = Request[Any, Any, Any]
Language = Literal["en", "vi"]


class BrowserLoginIn(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How to sign in: with `tenant`, `email` and `password`, or with `api_key`, or with `code`."""

    tenant: Annotated[str, Meta(min_length=1, max_length=100, description="Slug of the tenant.")] | None = None
    email: Annotated[str, Meta(min_length=1, max_length=300, description="Email address, in any case.")] | None = None
    password: Annotated[str, Meta(min_length=1, max_length=1000, description="Password.")] | None = None
    api_key: (
        Annotated[str, Meta(min_length=1, max_length=200, description="API key; the browser may do what it may.")]
        | None
    ) = None
    code: Annotated[str, Meta(min_length=1, max_length=200, description="Code of POST /api/auth/codes.")] | None = None

    def __repr__(self) -> str:
        return "BrowserLoginIn()"


class BrowserSessionOut(msgspec.Struct, frozen=True, kw_only=True):
    """Who is signed in with a browser."""

    caller: Annotated[CallerOut | None, Meta(description="Who is signed in; null if nobody is.")]
    language: Annotated[Language, Meta(description="The language of the console that `Accept-Language` prefers.")]
    expires_at: Annotated[
        datetime | None, Meta(description="When the sign-in ends if it isn't used before; null if nobody is signed in.")
    ]


class SignInCodeOut(msgspec.Struct, frozen=True, kw_only=True):
    """A code that signs a browser in, once."""

    code: Annotated[str, Meta(description="What to send to POST /api/auth/session.")]
    url: Annotated[str, Meta(description="Address of the console with the code in its fragment.")]
    expires_at: Annotated[datetime, Meta(description="When the code is no longer good, ten minutes from now.")]

    def __repr__(self) -> str:
        return "SignInCodeOut()"


SIGNED_IN_EXAMPLE = {"caller": CALLER_EXAMPLE, "language": "en", "expires_at": "2026-06-03T08:15:30Z"}
CODE_EXAMPLE = {
    "code": "hrc_…",
    "url": "http://localhost:8000/console/#code=hrc_…",
    "expires_at": "2026-05-04T08:25:30Z",
}


@post(
    "/session",
    status_code=200,
    opt=PUBLIC | described(example=LOGIN_EXAMPLE, response=SIGNED_IN_EXAMPLE),
    responses=problems("unauthenticated", "tenant_suspended", "forbidden", "rate_limit_exceeded", "unavailable"),
    summary="Sign a browser in",
    tags=["auth"],
)
async def sign_browser_in(
    data: JSONBody[BrowserLoginIn], request: Call, resources: AppResources
) -> Response[BrowserSessionOut]:
    """Signs in headrace's own page by a cookie that scripts can't read. It counts for the routes of `/api`, not for `/v1`, and
    for requests that have neither a key nor a token. Those that may change something must come from the same origin and have
    the header `X-Headrace-Console: 1`, as this one must. The cookie is good for 30 days after its last use, and no longer
    than the sign-in or the key that it stands for."""
    require_own_page(request.headers, resources.settings.issuer)
    client_info, cookies = read_client_info(request), []
    if _form_of(data) == ("code",):
        value = await sign_in_with_code(resources, data.code or "", client_info)
    elif data.api_key is not None:
        value = await sign_in_with_key(resources, data.api_key, client_info)
    else:
        given = (data.tenant or "", data.email or "", data.password or "")
        value, device = await sign_in_with_password(resources, request, *given)
        cookies = [device]
    principal = await find_browser(resources, request, value)
    response = await _signed_in(resources, request, principal, value)
    for cookie in cookies:
        response.set_cookie(cookie)
    return response


@get(
    "/session",
    opt=PUBLIC | counted_as(READS) | described(response=SIGNED_IN_EXAMPLE),
    responses=problems("tenant_suspended", "rate_limit_exceeded", "unavailable"),
    summary="Get who is signed in with a browser",
    tags=["auth"],
)
async def get_browser_session(request: Call, resources: AppResources) -> Response[BrowserSessionOut]:
    """Returns who is signed in by the cookie, and keeps them signed in for 30 more days. It is no error if nobody is."""
    issuer = resources.settings.issuer
    value = presented_cookie(request.cookies, issuer)
    if value:
        with suppress(Unauthenticated):
            principal = await find_browser(resources, request, value)
            require_rate(resources.rates, principal.tenant, READS)
            return await _signed_in(resources, request, principal, value)
    nobody = BrowserSessionOut(caller=None, language=_language(request), expires_at=None)
    return Response(nobody, headers=NO_STORE, cookies=[expired_session_cookie(issuer)] if value else [])


@delete(
    "/session",
    opt=PUBLIC,
    responses={204: ResponseSpec(None, description="Nobody is signed in."), **problems("forbidden", "unavailable")},
    summary="Sign a browser out",
    tags=["auth"],
)
async def sign_browser_out(request: Call, resources: AppResources) -> Response[None]:
    """Ends the sign-in of the cookie, if there is one, and removes the cookie."""
    issuer = resources.settings.issuer
    require_own_page(request.headers, issuer)
    if value := presented_cookie(request.cookies, issuer):
        await sign_out(resources, value, read_client_info(request))
    return Response(None, status_code=204, cookies=[expired_session_cookie(issuer)])


@post(
    "/codes",
    status_code=201,
    opt=described(response=CODE_EXAMPLE),
    summary="Create a sign-in code",
    tags=["auth"],
)
async def create_sign_in_code(principal: SignedIn, resources: AppResources) -> Response[SignInCodeOut]:
    """Returns a code that signs a browser in with your API key, once and within ten minutes. It takes the place of the key's
    former one."""
    if principal.kind != "key":
        raise Forbidden(KEYS_ONLY)
    code, expires_at = await new_code(resources, principal)
    url = f"{resources.settings.issuer}/console/#code={code}"
    return Response(SignInCodeOut(code=code, url=url, expires_at=expires_at), headers=NO_STORE)


async def _signed_in(
    resources: Resources, request: Call, principal: Principal, value: str
) -> Response[BrowserSessionOut]:
    until = await prolong(resources, principal, value)
    caller = await describe_caller(resources, principal)
    out = BrowserSessionOut(caller=caller, language=_language(request), expires_at=until)
    return Response(out, headers=NO_STORE, cookies=[session_cookie(value, resources.settings.issuer)])


def _form_of(data: BrowserLoginIn) -> tuple[str, ...]:
    """Return which of FORMS a body has. Raises InputError unless it is one of them, and whole."""
    given = {name for form in FORMS for name in form if getattr(data, name) is not None}
    for form in FORMS:
        if given == set(form):
            return form
    raise InputError(ONE_FORM)


def _language(request: Call) -> Language:
    """Return the first language of the console in `Accept-Language`, which browsers send in the order of preference."""
    for wanted in request.headers.get("accept-language", "")[:300].split(","):
        if wanted.strip()[:2].lower() == "vi":
            return "vi"
        if wanted.strip()[:2].lower() == "en":
            return "en"
    return "en"


routes = Router("/auth", route_handlers=[sign_browser_in, get_browser_session, sign_browser_out, create_sign_in_code])
