"""Where others find the keys that our tokens are signed with."""

from typing import Any

from litestar import Response, Router, get

from api.errors import problems
from api.principals import PUBLIC
from api.resources import Opened

FOR_S = 300


@get("/jwks.json", opt=PUBLIC, responses=problems("unavailable"), summary="Our public keys", tags=["auth"])
async def get_jwks(resources: Opened) -> Response[dict[str, Any]]:
    """The JSON Web Key Set of our access tokens. A new key is here ten minutes before it signs."""
    keys = await resources.signing.public_set()
    return Response(keys, headers={"Cache-Control": f"public, max-age={FOR_S}"})


routes = Router("/.well-known", route_handlers=[get_jwks])
