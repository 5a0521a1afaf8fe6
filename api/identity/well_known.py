"""`GET /.well-known/jwks.json`: the public keys that verify our access tokens."""

from typing import Any

from litestar import Response, Router, get

from api.auth.principals import PUBLIC
from api.http.errors import problems
from api.openapi.operations import described
from api.resources import AppResources

MAX_AGE_S = 300
EXAMPLE = {
    "keys": [{"kty": "RSA", "use": "sig", "alg": "RS256", "kid": "2026-03-02-1f9c", "n": "xjlCRBqkQ4mZ…", "e": "AQAB"}]
}


@get(
    "/jwks.json",
    opt=PUBLIC | described(response=EXAMPLE),
    responses=problems("unavailable"),
    summary="Get the JSON Web Key Set",
    tags=["auth"],
)
async def get_jwks(resources: AppResources) -> Response[dict[str, Any]]:
    """Returns the public keys that verify our access tokens (RS256). A new key is published ten minutes before it signs."""
    keys = await resources.signing.public_jwks()
    return Response(keys, headers={"Cache-Control": f"public, max-age={MAX_AGE_S}"})


routes = Router("/.well-known", route_handlers=[get_jwks])
