"""`GET /.well-known/acme-challenge/{token}`: what a certificate authority asks for before it issues a certificate (HTTP-01).

Anybody may ask, over plain HTTP as the protocol has it. Only tokens that the scheduler has stored are answered; who guesses is
told no more than that there is none, and all of them together may ask Postgres so often a second.
"""

import re
import time
from typing import Annotated

from litestar import MediaType, Response, Router, get
from litestar.params import PathParameter

from api.auth.principals import PUBLIC
from api.http.errors import problems
from api.openapi.operations import described
from api.resources import AppResources
from schema.errors import LimitReached, NotFound
from schema.postgres.connections import tenant_tx
from schema.queries.certificates.acme import find_answer
from schema.vault import PLATFORM

TOKEN = re.compile(r"[A-Za-z0-9_-]{16,128}")
"""RFC 8555, 8.3: base64url of at least 128 bits."""
PER_S = 50
NONE = (
    "There is no such challenge. An authority asks for it while ./headrace certificates acme waits for a certificate."
)
Token = Annotated[str, PathParameter(max_length=200, description="The authority's token.")]


class RequestRate:
    """How many requests this process still answers in this second. It fails closed: an authority tries again."""

    def __init__(self, per_s: int) -> None:
        self._per_s, self._second, self._taken = per_s, 0, 0

    def take(self) -> None:
        """Raises LimitReached."""
        second = int(time.monotonic())
        if second != self._second:
            self._second, self._taken = second, 0
        self._taken += 1
        if self._taken > self._per_s:
            raise LimitReached("Too many challenges are asked for.", code="rate_limit_exceeded", retry_after_s=1)


request_rate = RequestRate(PER_S)


@get(
    "/{token:str}",
    opt=PUBLIC | described(),
    media_type=MediaType.TEXT,
    responses=problems("not_found", "rate_limit_exceeded", "unavailable"),
    summary="Answer a certificate authority",
    tags=["certificates"],
)
async def answer_challenge(token: Token, resources: AppResources) -> Response[str]:
    """Returns the key authorization of an order that waits, for the authority to check that this host is ours."""
    if not TOKEN.fullmatch(token):
        raise NotFound(NONE)
    request_rate.take()
    async with tenant_tx(resources.core.pool, PLATFORM) as db:
        answer = await find_answer(db, token)
    if answer is None:
        raise NotFound(NONE)
    return Response(answer, media_type="application/octet-stream", headers={"Cache-Control": "no-store"})


routes = Router("/.well-known/acme-challenge", route_handlers=[answer_challenge])
