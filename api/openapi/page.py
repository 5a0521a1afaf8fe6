"""The API reference, `/schema/swagger`: Swagger UI, served from an installed package. It loads nothing from other hosts, so it
works offline, and its content security policy allows nothing else.

URLs on the page are relative, for an API behind a proxy that adds a path prefix.
"""

import asyncio
import hashlib
from importlib.metadata import distribution, version
from pathlib import Path
from typing import Any

from litestar import Request, Response, get
from litestar._openapi.plugin import OpenAPIPlugin
from litestar.params import FromPath

from api.auth.principals import PUBLIC
from api.http.unmatched_paths import NO_SUCH_PATH
from schema.errors import NotFound

PACKAGE = "swagger-ui-py"
MEDIA_TYPES = {".js": "text/javascript; charset=utf-8", ".css": "text/css; charset=utf-8", ".png": "image/png"}
FILES = ("swagger-ui-bundle.js", "swagger-ui.css", "favicon-32x32.png")
CACHE_FOREVER = "public, max-age=31536000, immutable"  # the path changes with the package and the two texts below
CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; font-src 'self' data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)

START_SCRIPT = """\
window.ui = SwaggerUIBundle({
  url: "openapi.json",
  dom_id: "#ui",
  deepLinking: true,
  docExpansion: "none",
  defaultModelsExpandDepth: 0,
  displayRequestDuration: true,
  filter: true,
  persistAuthorization: true,
  syntaxHighlight: { theme: "nord" },
  tryItOutEnabled: true,
  validatorUrl: null, // it would send the document's address to a server of others
});
"""
STYLE = """\
body { margin: 0; background: #fff; }
.swagger-ui .info { margin: 30px 0 20px; }
.swagger-ui .scheme-container { box-shadow: none; border-top: 1px solid #e3e6ea; padding: 16px 0; }
"""
PAGE = """\
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>headrace API</title>
<link rel="icon" type="image/png" href="assets/{version}/favicon-32x32.png">
<link rel="stylesheet" href="assets/{version}/swagger-ui.css">
<link rel="stylesheet" href="assets/{version}/page.css">
</head>
<body>
<div id="ui"></div>
<script src="assets/{version}/swagger-ui-bundle.js"></script>
<script src="assets/{version}/start.js"></script>
</body>
</html>
"""


async def prepare(request: Request[Any, Any, Any]) -> Response[Any] | None:
    """Lead people who open `/schema` to the page; programs get the OpenAPI document, which the first of them waits for. To make
    it takes seconds, in which the streams of others go on: that is done in a thread."""
    redirect = _redirect_browsers(request)
    if redirect is None and request.scope["path"].rstrip("/").endswith(("/schema", "/openapi.json")):
        async with request.app.state.document_lock:
            await asyncio.to_thread(request.app.plugins.get(OpenAPIPlugin).provide_openapi_schema)
    return redirect


def _redirect_browsers(request: Request[Any, Any, Any]) -> Response[Any] | None:
    """The address is relative, see above."""
    path = request.scope.get("original_path", request.scope["path"])
    if path.rstrip("/") != "/schema" or "text/html" not in request.headers.get("accept", ""):
        return None
    location = "swagger" if path.endswith("/") else "schema/swagger"
    return Response(None, status_code=302, headers={"Location": location, "Vary": "Accept"}, media_type="text/plain")


@get("/swagger", opt=PUBLIC, sync_to_thread=False, media_type="text/html")
def show_api_page() -> Response[str]:
    """The page, which loads its assets."""
    headers = {
        "Content-Security-Policy": CONTENT_SECURITY_POLICY,
        "Cache-Control": "no-cache",
        "Referrer-Policy": "no-referrer",
    }
    return Response(PAGE.format(version=assets_version()), media_type="text/html", headers=headers)


@get("/assets/{asset_version:str}/{name:str}", opt=PUBLIC, sync_to_thread=True)
def get_asset(asset_version: FromPath[str], name: FromPath[str]) -> Response[bytes]:
    """One of the page's assets. Raises NotFound."""
    content = _read_asset(name) if asset_version == assets_version() else None
    if content is None:
        raise NotFound(NO_SUCH_PATH)
    headers = {"Cache-Control": CACHE_FOREVER}
    return Response(content, media_type=MEDIA_TYPES[Path(name).suffix], headers=headers)


def assets_version() -> str:
    """Return the version in the paths of the assets, which lets browsers cache them for ever."""
    return hashlib.sha256(f"{version(PACKAGE)}{START_SCRIPT}{STYLE}".encode()).hexdigest()[:12]


def _read_asset(name: str) -> bytes | None:
    own = {"start.js": START_SCRIPT, "page.css": STYLE}
    if name in own:
        return own[name].encode()
    folder = Path(str(distribution(PACKAGE).locate_file("swagger_ui/static")))
    return (folder / name).read_bytes() if name in FILES else None
