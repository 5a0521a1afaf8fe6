"""The cookie by which a browser is signed in, and the proof that a request comes from our own page.

Browsers send the cookie with whatever asks them to, so a call with it that may change something must show that it is our
page's: by where the browser says it comes from, and by a header that no form can send. Programs send a key, and need neither.
"""

from collections.abc import Mapping
from datetime import timedelta
from urllib.parse import urlsplit

from litestar.datastructures import Cookie

from api.auth.device_cookie import HOST_PREFIX
from schema.errors import Forbidden

PREFIX = "hrs_"
NAME = "headrace-session"
MAX_LENGTH = 200
LIFETIME = timedelta(days=30)
"""Since its last use that was noted."""

OWN_HEADER = "x-headrace-console"
NOT_OUR_PAGE = (
    "A browser that is signed in by cookie can change something only from headrace's own page: the request must come from the "
    "same origin and have the header `X-Headrace-Console: 1`. {missing} Programs send an API key as "
    "`Authorization: Bearer hr_…` instead."
)


def cookie_name(issuer: str) -> str:
    """Return what the cookie is called. Over http its name has the port, since browsers share cookies among all ports."""
    parts = urlsplit(issuer)
    return f"{HOST_PREFIX}{NAME}" if parts.scheme == "https" else f"{NAME}-{parts.port or 80}"


def presented_cookie(cookies: Mapping[str, str], issuer: str) -> str | None:
    """Return the value of the cookie, None if a request has none."""
    value = cookies.get(cookie_name(issuer), "")
    return value if 0 < len(value) <= MAX_LENGTH else None


def session_cookie(value: str, issuer: str) -> Cookie:
    """Return the cookie that signs a browser in."""
    return _cookie(value, issuer, int(LIFETIME.total_seconds()))


def expired_session_cookie(issuer: str) -> Cookie:
    """Return the cookie that makes a browser forget that it was signed in."""
    return _cookie("", issuer, 0)


def _cookie(value: str, issuer: str, max_age: int) -> Cookie:
    secure = issuer.startswith("https:")
    return Cookie(
        key=cookie_name(issuer),
        value=value,
        max_age=max_age,
        path="/",
        secure=secure,
        httponly=True,
        samesite="lax",
    )


def require_own_page(headers: Mapping[str, str], issuer: str) -> None:
    """Raise Forbidden unless a request comes from our own page. Browsers say where one comes from in `Sec-Fetch-Site`, but not
    over http on a network; there the origin is compared with the host that was called."""
    site, origin = headers.get("sec-fetch-site"), headers.get("origin", "")
    own_origin = origin == _origin(issuer) or (bool(origin) and urlsplit(origin).netloc == headers.get("host"))
    missing = [] if headers.get(OWN_HEADER) == "1" else ["This one lacks the header."]
    if not (site == "same-origin" if site else own_origin):
        missing.append(_other_origin(site, origin))
    if missing:
        raise Forbidden(NOT_OUR_PAGE.format(missing=" ".join(missing)))


def _other_origin(site: str | None, origin: str) -> str:
    if site:
        return f"This one comes from elsewhere: its `Sec-Fetch-Site` is {site[:20]!r}."
    if origin:
        return f"This one comes from another origin, {origin[:200]!r}."
    return "This one doesn't say where it comes from: it has neither `Sec-Fetch-Site` nor `Origin`."


def _origin(issuer: str) -> str:
    parts = urlsplit(issuer)
    return f"{parts.scheme}://{parts.netloc}"
