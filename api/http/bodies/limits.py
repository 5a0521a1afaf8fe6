"""How large a JSON body may be: HEADRACE_MAX_BODY where it has texts and images, less elsewhere. Fields: `field_sizes.py`."""

from litestar import Litestar
from litestar.handlers import BaseRouteHandler, HTTPRouteHandler
from litestar.types import Empty

LARGE_BODY = {"large_body": True}
"""In the `opt` of a handler: its bodies may have HEADRACE_MAX_BODY, since they contain texts and images."""

SMALL_BODY_BYTES = 1 << 20
"""Most bytes of other bodies: more than their fields can take up."""

PUBLIC_BODY_BYTES = 64 * 1024
"""Most bytes of bodies that come before anybody has signed in: what uvicorn keeps of a body that nobody reads."""


def allow_large_bodies(app: Litestar, max_body: int) -> None:
    """Let the handlers that say LARGE_BODY take bodies of `max_body` bytes, and those that anybody may call only small ones,
    unless they say how large."""
    for route in app.routes:
        for handler in getattr(route, "route_handlers", ()):
            if isinstance(handler, HTTPRouteHandler) and handler.opt.get("large_body"):
                handler.request_max_body_size = max_body
            elif isinstance(handler, HTTPRouteHandler) and handler.opt.get("public"):
                own = handler.request_max_body_size
                handler.request_max_body_size = PUBLIC_BODY_BYTES if own in (None, Empty) else own


def explain_too_large(handler: BaseRouteHandler) -> str:
    """Return what to say of a body that is larger than its handler takes."""
    limit = handler.resolve_request_max_body_size() if isinstance(handler, HTTPRouteHandler) else None
    if limit is None:
        return "The body is larger than this server takes. Send less at once."
    if handler.opt.get("public"):
        return f"The body exceeds {limit:,} bytes, the limit of this address. Send less at once."
    if limit < SMALL_BODY_BYTES or handler.opt.get("large_body"):
        return (
            f"The body exceeds {limit:,} bytes, the limit of this installation (HEADRACE_MAX_BODY). Send less at once."
        )
    return f"The body exceeds {limit:,} bytes, which are more than its fields can take up here. Send less at once."
