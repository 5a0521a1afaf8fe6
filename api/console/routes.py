"""`/console/`: the console's page and its files. Every path that is no file gets the page, which reads the path itself.

The page says where its files are with a `<base>` that is relative, so it works behind a proxy that adds a path prefix.
"""

from typing import Any

from litestar import Request, Response, get

from api.auth.principals import PUBLIC
from api.console.assets import INDEX, Asset, etag_of, find_assets
from api.console.unbuilt_page import UNBUILT_PAGE, UNBUILT_POLICY
from api.http.unmatched_paths import NO_SUCH_PATH
from schema.errors import NotFound

ROOT = "/console/"
BASE = b'<base href="./">'
"""Stands in the built page; how deep the path is decides what it becomes."""
CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; font-src 'self'; "
    "connect-src 'self'; base-uri 'self'; form-action 'self'; frame-ancestors 'none'"
)
PAGE_HEADERS = {"Cache-Control": "no-cache", "Referrer-Policy": "same-origin"}
WIDGET = "widget.js"
"""Which pages of other origins load, also such that are isolated from what doesn't agree to that."""
FOR_OTHERS = {"Access-Control-Allow-Origin": "*", "Cross-Origin-Resource-Policy": "cross-origin"}
FOREVER = {"Cache-Control": "public, max-age=31536000, immutable"}  # the name of such a file changes with its content


@get(["/console", "/console/{path:path}"], opt=PUBLIC, include_in_schema=False, sync_to_thread=False)
def show_console(request: Request[Any, Any, Any]) -> Response[Any]:
    """The page, or one of its files. Raises NotFound for a file that is not there: never the page in its place."""
    path = request.scope.get("original_path", request.scope["path"])
    _, slash, name = path.partition(ROOT)
    if not slash:
        return Response(None, status_code=302, headers={"Location": "console/"}, media_type="text/plain")
    assets = find_assets()
    if name.startswith("assets/") or (assets and name in assets and name != INDEX):
        return _send_file(request, (assets or {}).get(name), name)
    if assets is None:
        headers = PAGE_HEADERS | {"Content-Security-Policy": UNBUILT_POLICY}
        page = UNBUILT_PAGE.replace(BASE.decode(), _base(name))
        return Response(page, media_type="text/html", headers=headers)
    return _send_page(request, assets[INDEX].bodies["identity"].replace(BASE, _base(name).encode()))


def _base(name: str) -> str:
    return f'<base href="{"../" * name.count("/") or "./"}">'


def _send_page(request: Request[Any, Any, Any], body: bytes) -> Response[Any]:
    headers = PAGE_HEADERS | {"Content-Security-Policy": CONTENT_SECURITY_POLICY, "ETag": etag_of(body)}
    if _is_known(request, headers["ETag"]):
        return Response(b"", status_code=304, headers=headers, media_type="text/html")
    return Response(body, media_type="text/html", headers=headers)


def _send_file(request: Request[Any, Any, Any], asset: Asset | None, name: str) -> Response[Any]:
    if asset is None:
        raise NotFound(NO_SUCH_PATH)
    kept = FOREVER if name.startswith("assets/") else {"Cache-Control": "no-cache"}
    headers = {**kept, "ETag": asset.etag, "Vary": "Accept-Encoding", **(FOR_OTHERS if name == WIDGET else {})}
    if _is_known(request, asset.etag):
        return Response(b"", status_code=304, headers=headers, media_type=asset.media_type)
    encoding, body = asset.choose(request.headers.get("accept-encoding", ""))
    encoded = {} if encoding == "identity" else {"Content-Encoding": encoding}
    return Response(body, media_type=asset.media_type, headers={**headers, **encoded})


def _is_known(request: Request[Any, Any, Any], etag: str) -> bool:
    """Whether the browser has this already. A proxy that compresses may have made the validator a weak one."""
    sent = request.headers.get("if-none-match", "")
    return etag in {part.strip().removeprefix("W/") for part in sent.split(",")}
