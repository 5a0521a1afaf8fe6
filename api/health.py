"""Is it alive, is it ready, and how is each part: `/health`, `/health/live`, `/health/ready` (A12).

Ready means that jobs can be accepted: Postgres answers within a second. Redis is not asked for: while it is away jobs are
accepted and wait, and taking every API process out of the load balancer would refuse them. Nor are models: a vendor's
trouble is no reason either. Whether a language model is connected at all is said, with a hint how to connect one; none is
called for it.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any, Literal

import msgspec
from litestar import Response, Router, get
from litestar.openapi.datastructures import ResponseSpec

from api.errors import RETRY_AFTER
from api.principals import PUBLIC
from api.resources import Opened, Resources
from graphs.providers.settings import has_language_model
from schema.kinds import QUEUES
from schema.notices import NO_LANGUAGE_MODEL
from schema.redis_names import CONTROL

BUDGET_S = 1.0

Status = Literal["up", "down"]


class PartOut(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One part of the system. `latency_ms` is missing where nothing was called; `detail` counts what it has; `error` is the
    kind of trouble, never an address; `hint` is what could be better, and how."""

    status: Status
    latency_ms: float | None = None
    detail: dict[str, int] | None = None
    error: str | None = None
    hint: str | None = None


class HealthOut(msgspec.Struct, frozen=True):
    """`up` when all parts are, `degraded` when jobs can be accepted but something is wrong, else `down`."""

    status: Literal["up", "degraded", "down"]
    parts: dict[str, PartOut]


class LiveOut(msgspec.Struct, frozen=True):
    """This process answers."""

    status: Literal["up"] = "up"


@get("/live", opt=PUBLIC, summary="Is the process alive", tags=["health"])
async def check_liveness() -> LiveOut:
    return LiveOut()


@get(
    "/ready",
    opt=PUBLIC,
    responses={503: ResponseSpec(HealthOut, description="Not now.", generate_examples=False)},
    summary="Can jobs be accepted",
    tags=["health"],
)
async def check_readiness(resources: Opened) -> Response[HealthOut]:
    """503 while Postgres is away, or the process is about to stop."""
    parts = await _check({"postgres": _postgres}, resources)
    up = not resources.streams.closing and all(part.status == "up" for part in parts.values())
    if up:
        return Response(HealthOut("up", parts), status_code=200)
    return Response(HealthOut("down", parts), status_code=503, headers={"Retry-After": RETRY_AFTER[503]})


@get("/", opt=PUBLIC, summary="How is each part", tags=["health"])
async def get_health(resources: Opened) -> HealthOut:
    """Always 200: this page is for people, `/health/ready` for machines."""
    checks = {"postgres": _postgres, "redis": _redis, "workers": _workers, "queues": _queues}
    parts = {**await _check(checks, resources), "language_model": _language_model(resources)}
    if parts["postgres"].status == "down":
        return HealthOut("down", parts)
    return HealthOut("up" if all(part.status == "up" for part in parts.values()) else "degraded", parts)


Check = Callable[[Resources], Awaitable[dict[str, int] | None]]


async def _check(checks: dict[str, Check], resources: Resources) -> dict[str, PartOut]:
    parts = await asyncio.gather(*(_measure(check, resources) for check in checks.values()))
    return dict(zip(checks, parts, strict=True))


async def _measure(check: Check, resources: Resources) -> PartOut:
    began = time.perf_counter()
    detail: dict[str, int] | None = None
    error: str | None = None
    try:
        async with asyncio.timeout(BUDGET_S):
            detail = await check(resources)
    except Exception as trouble:  # noqa: BLE001 -- a health page reports whatever is wrong
        error = type(trouble).__name__
    latency_ms = round((time.perf_counter() - began) * 1000, 2)
    return PartOut(status="down" if error else "up", latency_ms=latency_ms, detail=detail, error=error)


async def _postgres(resources: Resources) -> None:
    async with resources.ports.pool.connection() as db:
        await db.execute("SELECT 1")


async def _redis(resources: Resources) -> None:
    await resources.ports.wire.call("PING")


async def _workers(resources: Resources) -> dict[str, int]:
    """Count the workers by who listens for cancellations: every worker does. Raises NoWorkers when there are none."""
    _, listening = await resources.ports.wire.call("PUBSUB", "NUMSUB", CONTROL)
    if not listening:
        raise NoWorkers
    return {"processes": listening}


def _language_model(resources: Resources) -> PartOut:
    """Up in any case: without a language model `offline/extractive` answers."""
    connected = has_language_model(resources.settings.providers)
    return PartOut(status="up", hint=None if connected else NO_LANGUAGE_MODEL.message)


async def _queues(resources: Resources) -> dict[str, int]:
    """Count the doorbells that no worker has answered yet."""
    replies: list[Any] = await resources.ports.wire.send([("LLEN", queue) for queue in QUEUES])
    return {queue: int(reply) for queue, reply in zip(QUEUES, replies, strict=True)}


class NoWorkers(Exception):
    """Nobody would run a job now."""


routes = Router("/health", route_handlers=[get_health, check_liveness, check_readiness])
