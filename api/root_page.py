"""`GET /`: what this server is, with links. A small page for browsers, JSON for other clients."""

import base64
import hashlib
from html import escape
from typing import Annotated, Any

import msgspec
from litestar import Request, Response, get
from litestar.openapi.datastructures import ResponseSpec
from msgspec import Meta

from api.auth.principals import PUBLIC
from api.openapi.operations import TEXT, described

NAME, VERSION = "headrace", "0.1.0"
SUMMARY = "A backend for AI agents, built around a job queue."


class LinksOut(msgspec.Struct, frozen=True):
    """Paths of this server."""

    api_page: Annotated[str, Meta(description="All routes, fields and errors, to try in the browser.")] = (
        "/schema/swagger"
    )
    openapi: Annotated[str, Meta(description="For client generators.")] = "/schema/openapi.json"
    health: Annotated[str, Meta(description="The state of each part of the system.")] = "/health"
    ready: Annotated[str, Meta(description="Whether jobs can be accepted.")] = "/health/ready"
    models: Annotated[str, Meta(description="The models you can use. Needs an API key.")] = "/v1/models"


class AboutOut(msgspec.Struct, frozen=True):
    """What runs here."""

    name: Annotated[str, Meta(description="The name of this software.")]
    version: Annotated[str, Meta(description="Its version.")]
    description: Annotated[str, Meta(description="What it is.")]
    links: Annotated[LinksOut, Meta(description="Where to go on.")]


ABOUT = AboutOut(NAME, VERSION, SUMMARY, LinksOut())
STYLE = """
:root { color-scheme: light dark; --ink: #1c2733; --soft: #5b6b7b; --line: #dfe5ea; --paper: #fff; --link: #0b63b3; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e6edf3; --soft: #9aa7b4; --line: #2c3640; --paper: #11171d; --link: #6cb6ff; }
}
* { box-sizing: border-box; }
body { margin: 0; background: var(--paper); color: var(--ink); font: 16px/1.55 system-ui, sans-serif; }
main { max-width: 40rem; margin: 0 auto; padding: 14vh 1.5rem 3rem; }
h1 { margin: 0; font-size: 2rem; letter-spacing: -0.02em; }
h1 small { font-size: 0.9rem; font-weight: 400; letter-spacing: 0; color: var(--soft); }
p { margin: 0.4rem 0 1.8rem; color: var(--soft); }
ul { list-style: none; margin: 0; padding: 0; border-top: 1px solid var(--line); }
li { display: flex; flex-wrap: wrap; gap: 0 1rem; padding: 0.7rem 0; border-bottom: 1px solid var(--line); }
a { color: var(--link); text-decoration: none; flex: 0 0 12rem; }
a:hover, a:focus { text-decoration: underline; }
li span { color: var(--soft); flex: 1 1 16rem; }
footer { margin-top: 1.8rem; font-size: 0.9rem; color: var(--soft); }
code { font: 0.92em ui-monospace, monospace; }
"""
STYLE_HASH = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
CONTENT_SECURITY_POLICY = (
    f"default-src 'none'; style-src 'sha256-{STYLE_HASH}'; img-src data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
TITLES = {
    "api_page": "API reference",
    "openapi": "OpenAPI document",
    "health": "Health",
    "ready": "Readiness",
    "models": "Models",
}


def _page() -> str:
    rows = "\n".join(
        f'<li><a href="{escape(getattr(ABOUT.links, field.name).lstrip("/"))}">{TITLES[field.name]}</a>'
        f"<span>{escape(_description(field))}</span></li>"
        for field in msgspec.structs.fields(LinksOut)
    )
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{NAME}</title>
<link rel="icon" href="data:,">
<style>{STYLE}</style>
</head>
<body>
<main>
<h1>{NAME} <small>{VERSION}</small></h1>
<p>{SUMMARY}</p>
<ul>
{rows}
</ul>
<footer>First steps: <code>README.md</code>. How jobs and streams work: <code>docs/api.md</code>.</footer>
</main>
</body>
</html>
"""


def _description(field: msgspec.structs.FieldInfo) -> str:
    return next(meta.description for meta in field.type.__metadata__ if meta.description)


PAGE = _page()


@get(
    "/",
    opt=PUBLIC | described(response=ABOUT, other_media_types={"text/html": TEXT}),
    responses={
        200: ResponseSpec(
            AboutOut, description="What runs here, as JSON, or as a page for browsers.", generate_examples=False
        )
    },
    summary="What runs here",
    tags=["health"],
    sync_to_thread=False,
)
def get_about(request: Request[Any, Any, Any]) -> Response[Any]:
    """Name, version and links. JSON, or a page where `Accept` asks for `text/html`, as browsers do."""
    headers = {"Vary": "Accept", "Cache-Control": "no-cache"}
    if "text/html" in request.headers.get("accept", ""):
        return Response(
            PAGE, media_type="text/html", headers={**headers, "Content-Security-Policy": CONTENT_SECURITY_POLICY}
        )
    return Response(ABOUT, media_type="application/json", headers=headers)
