"""Health checks: `/health` for people, `/health/live` and `/health/ready` for machines.

A check does what users do: it writes to Postgres, to Redis and to the storage. A store that only answers may be full or
read-only. Checks are shared and remembered for two seconds, so that many callers cost as much as one.

Ready means that jobs can be accepted: Postgres takes a write, and has refused none of late. Redis and the storage are not part
of it: without them jobs are accepted and wait; if every API process left the load balancer, they would be refused. Model
vendors are not called: `/health` only says whether a language model is configured, with a hint if not.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Annotated, Any, Literal

import msgspec
from litestar import Response, Router, get
from litestar.openapi.datastructures import ResponseSpec
from msgspec import Meta

from api.auth.principals import PUBLIC
from api.http.errors import RETRY_AFTER
from api.openapi.operations import described
from api.resources import AppResources, Resources
from graphs.providers.settings import has_language_model
from schema.events.notices import NO_LANGUAGE_MODEL
from schema.job_kinds import QUEUES
from schema.postgres.connections import is_frozen, was_refused
from schema.vault import PLATFORM
from workers.health.checks import (
    CHECK_TIMEOUT_S,
    StandsStill,
    WritesRefused,
    check_postgres,
    check_redis,
    check_routing,
    check_storage,
    count_workers,
    describe_failure,
)
from workers.storage.contract import new_name

REFUSED_S = 5.0  # how long after a refused write Postgres counts as down, if a small one succeeds
CHECK_FILE = new_name(PLATFORM)  # of this process, so that one that is left behind is overwritten

Status = Literal["up", "down"]


class PartOut(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Health of one component."""

    status: Annotated[Status, Meta(description="Whether it works.")]
    latency_ms: Annotated[
        float | None, Meta(description="How long the check took, in milliseconds; absent if nothing was called.")
    ] = None
    detail: Annotated[dict[str, int] | None, Meta(description="Counts, such as worker processes or queue lengths.")] = (
        None
    )
    error: Annotated[str | None, Meta(description="What is wrong, in a sentence; absent if nothing is.")] = None
    hint: Annotated[str | None, Meta(description="What could be improved, and how; absent if nothing could.")] = None


class HealthOut(msgspec.Struct, frozen=True):
    """Health of the system."""

    status: Annotated[
        Literal["up", "degraded", "down"],
        Meta(
            description="`up`: all is well; `degraded`: jobs are accepted, but something is wrong; `down`: they aren't."
        ),
    ]
    parts: Annotated[dict[str, PartOut], Meta(description="Health of each component, by name.")]


class LiveOut(msgspec.Struct, frozen=True):
    """The process is alive."""

    status: Annotated[Literal["up"], Meta(description="Always `up`.")] = "up"


UP_EXAMPLE = {"status": "up", "latency_ms": 0.84}
READY_EXAMPLE = {"status": "up", "parts": {"postgres": UP_EXAMPLE}}
HEALTH_EXAMPLE = {
    "status": "up",
    "parts": {
        "postgres": UP_EXAMPLE,
        "redis": {"status": "up", "latency_ms": 0.31},
        "storage": {"status": "up", "latency_ms": 1.2},
        "workers": {"status": "up", "latency_ms": 0.4, "detail": {"processes": 3}},
        "queues": {"status": "up", "latency_ms": 0.37, "detail": {"chat": 0, "default": 0, "ingestion": 2}},
        "routing": {"status": "up", "latency_ms": 0.3},
        "language_model": {"status": "up"},
    },
}


@get("/live", opt=PUBLIC | described(response={"status": "up"}), summary="Liveness probe", tags=["health"])
async def check_liveness() -> LiveOut:
    """Returns 200 as long as the process responds."""
    return LiveOut()


@get(
    "/ready",
    opt=PUBLIC | described(response=READY_EXAMPLE),
    responses={503: ResponseSpec(HealthOut, description="Not ready.", generate_examples=False)},
    summary="Readiness probe",
    tags=["health"],
)
async def check_readiness(resources: AppResources) -> Response[HealthOut]:
    """Returns 200 if jobs can be accepted. Returns 503 while Postgres is unavailable, full or read-only, or while the process
    is shutting down."""
    parts = await _check({"postgres": _postgres}, resources)
    up = not resources.streams.closing and all(part.status == "up" for part in parts.values())
    if up:
        return Response(HealthOut("up", parts), status_code=200)
    return Response(HealthOut("down", parts), status_code=503, headers={"Retry-After": RETRY_AFTER[503]})


@get("/", opt=PUBLIC | described(response=HEALTH_EXAMPLE), summary="Get system health", tags=["health"])
async def get_health(resources: AppResources) -> HealthOut:
    """Checks each component. Always returns 200: this is for people; probes use `/health/ready`."""
    checks = {
        "postgres": _postgres,
        "redis": _redis,
        "storage": _storage,
        "workers": _workers,
        "queues": _queues,
        "routing": _routing,
    }
    parts = {**await _check(checks, resources), "language_model": _language_model(resources)}
    if parts["postgres"].status == "down":
        return HealthOut("down", parts)
    return HealthOut("up" if all(part.status == "up" for part in parts.values()) else "degraded", parts)


Check = Callable[[Resources], Awaitable[dict[str, int] | None]]


async def _check(checks: dict[str, Check], resources: Resources) -> dict[str, PartOut]:
    async def part(name: str, check: Check) -> PartOut:
        return await resources.health.load(name, lambda: _measure(check, resources))

    parts = await asyncio.gather(*(part(name, check) for name, check in checks.items()))
    return dict(zip(checks, parts, strict=True))


async def _measure(check: Check, resources: Resources) -> PartOut:
    started = time.perf_counter()
    detail: dict[str, int] | None = None
    error: str | None = None
    try:
        async with asyncio.timeout(CHECK_TIMEOUT_S):
            detail = await check(resources)
    except Exception as exc:  # noqa: BLE001 -- a health page reports whatever is wrong
        error = describe_failure(exc)
    latency_ms = round((time.perf_counter() - started) * 1000, 2)
    return PartOut(status="down" if error else "up", latency_ms=latency_ms, detail=detail, error=error)


def _language_model(resources: Resources) -> PartOut:
    """Always up: without a language model, `offline/extractive` answers."""
    connected = has_language_model(resources.settings.providers)
    return PartOut(status="up", hint=None if connected else NO_LANGUAGE_MODEL.message)


async def _postgres(resources: Resources) -> None:
    """Commit a write, as a request does. Raises WritesRefused if one was refused of late: the disk may be too full for more
    than this; and StandsStill while requests are refused because it did not answer them."""
    if is_frozen(resources.core.pool):
        raise StandsStill
    await check_postgres(resources.health_pool)
    if was_refused(resources.core.pool, REFUSED_S):
        raise WritesRefused


async def _redis(resources: Resources) -> None:
    await check_redis(resources.core.redis, resources.core.hub.inbox)


async def _storage(resources: Resources) -> None:
    await check_storage(resources.storage, CHECK_FILE)


async def _workers(resources: Resources) -> dict[str, int]:
    return {"processes": await count_workers(resources.core.redis)}


async def _routing(resources: Resources) -> None:
    await check_routing(resources.core.redis)


async def _queues(resources: Resources) -> dict[str, int]:
    """Count the doorbells that no worker has taken yet, by queue."""
    replies: list[Any] = await resources.core.redis.send([("LLEN", queue) for queue in QUEUES])
    return {queue: int(reply) for queue, reply in zip(QUEUES, replies, strict=True)}


routes = Router("/health", route_handlers=[get_health, check_liveness, check_readiness])
