"""URLs of a sign-in at an identity provider: where it starts, where the provider sends the browser back, and where that may be
redirected to afterwards."""

import re
from urllib.parse import urlsplit

from schema.errors import InputError

RETURN_PATH = re.compile(r"/(?:[\w.~!$&'()*+,;=:@-][\w.~!$&'()*+,;=:@/-]*)?(?:\?[\w.~!$&'()*+,;=:@/?%-]*)?", re.ASCII)
MAX_RETURN_PATH = 1000

INVALID_RETURN_TO = (
    "return_to must be a path on this server, such as /console?tab=chats: it must start with exactly one slash, have no "
    "fragment, and not lead to a sign-in."
)


def sign_in_url(origin: str, slug: str, name: str) -> str:
    """Return where users of a tenant start to sign in at a provider; `origin` is our own URL."""
    return f"{origin}/api/auth/oidc/{slug}/{name}"


def redirect_uri(origin: str, slug: str, name: str) -> str:
    """Return where the provider redirects back to. Each provider has its own URI: with a shared one, a malicious tenant's
    provider could redirect a user to an honest provider and receive the code meant for it (RFC 9700 §4.4)."""
    return f"{sign_in_url(origin, slug, name)}/callback"


def read_return_to(text: str) -> str:
    """Return a path that the tokens may be redirected to. Raises InputError for anything but a path on this server.

    Paths to a sign-in are refused too: browsers keep the fragment when they are redirected, so the tokens would reach the
    provider that such a path redirects to.
    """
    if len(text) > MAX_RETURN_PATH or not RETURN_PATH.fullmatch(text):
        raise InputError(INVALID_RETURN_TO, field="return_to")
    segments = urlsplit(text).path.lower().split("/")
    if "oidc" in segments or ".." in segments:
        raise InputError(INVALID_RETURN_TO, field="return_to")
    return text


def leads_to_console(issuer: str, return_to: str) -> bool:
    """Whether a path is one of the console's pages, which sign in by cookie."""
    return urlsplit(return_to).path.startswith(f"{urlsplit(issuer).path}/console/")


def absolute_url(origin: str, return_to: str) -> str:
    """Return the absolute URL of a path on this server."""
    parts = urlsplit(origin)
    return f"{parts.scheme}://{parts.netloc}{return_to}"
