"""`GET /`: what this server is, with links, as JSON. Browsers are led to the console."""

from typing import Annotated, Any

import msgspec
from litestar import Request, Response, get
from litestar.openapi.datastructures import ResponseSpec
from msgspec import Meta

from api.auth.principals import PUBLIC
from api.openapi.operations import described

NAME, VERSION = "headrace", "0.1.0"
SUMMARY = "A backend for AI agents, built around a job queue."


class LinksOut(msgspec.Struct, frozen=True):
    """Paths of this server."""

    console: Annotated[str, Meta(description="The web page: chat, jobs, documents, settings.")] = "/console/"
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


@get(
    "/",
    opt=PUBLIC | described(response=ABOUT),
    responses={
        200: ResponseSpec(AboutOut, description="What runs here.", generate_examples=False),
        302: ResponseSpec(None, description="A browser is led to the console."),
    },
    summary="What runs here",
    tags=["health"],
    sync_to_thread=False,
)
def get_about(request: Request[Any, Any, Any]) -> Response[Any]:
    """Name, version and links. Where `Accept` asks for `text/html`, as browsers do, the answer leads to the console."""
    headers = {"Vary": "Accept", "Cache-Control": "no-cache"}
    if "text/html" in request.headers.get("accept", ""):
        location = {"Location": "console/"}  # relative, for an API behind a proxy that adds a path prefix
        return Response(None, status_code=302, headers={**headers, **location}, media_type="text/plain")
    return Response(ABOUT, media_type="application/json", headers=headers)
