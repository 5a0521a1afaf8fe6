"""Where a sign-in at an identity provider begins, where it comes back to, and where people may be sent on to from there."""

import re
from urllib.parse import urlsplit

from schema.errors import InputError

ONWARD = re.compile(r"/(?:[\w.~!$&'()*+,;=:@-][\w.~!$&'()*+,;=:@/-]*)?(?:\?[\w.~!$&'()*+,;=:@/?%-]*)?", re.ASCII)
MAX_ONWARD = 1000

WRONG = (
    "return_to must be a path on this server, such as /console?tab=chats: it must start with exactly one slash, have no "
    "fragment, and not lead to a sign-in."
)


def sign_in_url(origin: str, slug: str, name: str) -> str:
    """Return where people of a tenant begin to sign in at a provider; `origin` is our own address."""
    return f"{origin}/api/auth/oidc/{slug}/{name}"


def redirect_uri(origin: str, slug: str, name: str) -> str:
    """Return where the provider sends them back. Each provider has its own: with one for all, a hostile tenant's provider
    could send somebody to an honest one, have the code delivered here, and be handed it (RFC 9700 §4.4)."""
    return f"{sign_in_url(origin, slug, name)}/callback"


def read_return_to(text: str) -> str:
    """Return a path that tokens may be sent on to. Raises InputError for any other address, however it is spelled.

    Also for a path to a sign-in: browsers carry a fragment along when they are redirected, so the tokens in it would reach
    the provider that such a path redirects to.
    """
    if len(text) > MAX_ONWARD or not ONWARD.fullmatch(text):
        raise InputError(WRONG, field="return_to")
    segments = urlsplit(text).path.lower().split("/")
    if "oidc" in segments or ".." in segments:
        raise InputError(WRONG, field="return_to")
    return text


def onward_url(origin: str, return_to: str) -> str:
    """Return the whole address of a path of ours."""
    parts = urlsplit(origin)
    return f"{parts.scheme}://{parts.netloc}{return_to}"
