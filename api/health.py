"""Health checks: `/health` for people, `/health/live` and `/health/ready` for machines.

Whether this process can write to Postgres, to Redis and to the storage it tries itself: a store that only answers may be full
or read-only. All else, and what the stores say of themselves, is what the watchdog found a moment ago
(`workers/health/watch.py`); where no scheduler runs, workers and queues are counted here. Checks are shared and remembered for
two seconds, so that many callers cost as much as one.

Ready means that jobs can be accepted: Postgres takes a write, and has refused none of late. Redis and the storage are not part
of it: without them jobs are accepted and wait; if every API process left the load balancer, they would be refused. Model
vendors are not called: `/health` only says whether a language model is configured, with a hint if not.

Anybody may see whether each part is up. Why it isn't, how fast it is and how many there are is for operators: platform admins
with the right `operations.read`, and whoever sends HEADRACE_METRICS_TOKEN, which works without Postgres.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime
from typing import Annotated, Any, Literal

import msgspec
from litestar import Request, Response, Router, get
from litestar.openapi.datastructures import ResponseSpec
from msgspec import Meta

from api.auth.principals import PUBLIC, is_operator
from api.health_history import read_stored_parts
from api.http.errors import RETRY_AFTER
from api.openapi.operations import described
from api.resources import AppResources, Resources
from graphs.providers.default_model import default_model_error, find_default_problem
from graphs.providers.settings import ProviderSettings, has_language_model
from schema.events.notices import NO_LANGUAGE_MODEL
from schema.job_kinds import QUEUES
from schema.postgres.connections import is_frozen, was_refused
from schema.queries.health.service_parts import PartStatus, StoredPart
from schema.vault import PLATFORM
from workers.health.checks import (
    CHECK_TIMEOUT_S,
    Frozen,
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

SLOW_S = 1.0  # a part whose check takes longer is degraded
SLOW = f"It works, but took longer than {SLOW_S:g} s."


class PartOut(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Health of one component: its status and hint for everybody, the rest for operators."""

    status: Annotated[
        PartStatus, Meta(description="`up`: it works; `degraded`: it works, but slowly; `down`: it doesn't work.")
    ]
    since: Annotated[datetime | None, Meta(description="Since when it has this status, as far as is known.")] = None
    latency_ms: Annotated[
        float | None, Meta(description="How long the check took, in milliseconds; absent if nothing was called.")
    ] = None
    detail: Annotated[
        dict[str, float] | None, Meta(description="Figures, such as worker processes, connections or queue lengths.")
    ] = None
    error: Annotated[str | None, Meta(description="What is wrong, in a sentence; absent if nothing is.")] = None
    last_error: Annotated[str | None, Meta(description="What was wrong last; absent if nothing was.")] = None
    last_error_at: Annotated[datetime | None, Meta(description="When that was seen last.")] = None
    works_since: Annotated[
        datetime | None,
        Meta(description="It works again since then; it is called `up` when it has for some seconds, which prove it."),
    ] = None
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


SINCE = {"since": "2026-11-03T08:12:44Z"}
UP_EXAMPLE = {"status": "up", "latency_ms": 0.84, **SINCE}
READY_EXAMPLE = {"status": "up", "parts": {"postgres": {"status": "up"}}}
HEALTH_EXAMPLE = {
    "status": "up",
    "parts": {
        "postgres": UP_EXAMPLE,
        "redis": {
            "status": "up",
            "latency_ms": 0.31,
            "since": "2026-11-05T22:01:09Z",
            "last_error": "It can't be reached.",
            "last_error_at": "2026-11-05T22:01:09Z",
        },
        "storage": {"status": "up", "latency_ms": 1.2, **SINCE},
        "workers": {"status": "up", "latency_ms": 0.4, "detail": {"processes": 3}, **SINCE},
        "provider/openai": {
            "status": "degraded",
            "latency_ms": 0.4,
            "detail": {"calls": 40, "failed": 22},
            "error": "22 of 40 calls in a minute failed (provider_overloaded).",
            **SINCE,
        },
        "queues": {"status": "up", "latency_ms": 0.37, "detail": {"chat": 0, "default": 0, "ingestion": 2}, **SINCE},
        "routing": {"status": "up", "latency_ms": 0.3, **SINCE},
        "language_model": {"status": "up", **SINCE},
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
    is shutting down; `/health` tells operators why."""
    parts = _without_details(await _check({"postgres": _postgres}, resources))
    up = not resources.shutdown.has_begun and all(part.status != "down" for part in parts.values())
    if up:
        return Response(HealthOut("up", parts), status_code=200)
    return Response(HealthOut("down", parts), status_code=503, headers={"Retry-After": RETRY_AFTER[503]})


@get("/", opt=PUBLIC | described(response=HEALTH_EXAMPLE), summary="Get system health", tags=["health"])
async def get_health(request: Request[Any, Any, Any], resources: AppResources) -> HealthOut:
    """Checks each component. Anybody sees whether each is up; platform admins with the right `operations.read` also see
    latencies, counts, since when, and what is or was wrong. Always returns 200: this is for people; probes use
    `/health/ready`."""
    parts, operator = await asyncio.gather(_all_parts(resources), is_operator(request))
    return HealthOut(_sum_up(parts), parts if operator else _without_details(parts))


async def _all_parts(resources: Resources) -> dict[str, PartOut]:
    parts = await _check({"postgres": _postgres, "redis": _redis, "storage": _storage}, resources)
    stored = await _stored(resources) if parts["postgres"].status != "down" else {}
    watched = {name: _as_watched(part) for name, part in stored.items() if part.watched}
    watches = bool(watched)
    counted: dict[str, Check] = {"workers": _workers, "queues": _queues, "routing": _routing}
    unwatched = {name: check for name, check in counted.items() if name not in watched}
    for name, part in parts.items():
        parts[name] = _with_figures(part, watched.pop(name, None))
    found = await _check(unwatched, resources) | watched
    first = [*counted, "embedder"]
    order = [*(name for name in first if name in found), *sorted(found.keys() - set(first))]
    parts |= {name: found[name] for name in order}
    return {**parts, "watchdog": _watchdog(watches, resources), "language_model": _language_model(resources)}


async def _stored(resources: Resources) -> dict[str, StoredPart]:
    return await resources.health.load("stored", lambda: read_stored_parts(resources.health_pool))


def _as_watched(part: StoredPart) -> PartOut:
    """Return a part as the watchdog found it. If it works again, and that is still to be
    confirmed, no error is shown."""
    is_wrong = part.status != "up" and part.works_since is None
    return PartOut(
        status=part.status,
        since=part.since,
        latency_ms=None if part.latency_ms is None else round(part.latency_ms, 2),
        detail=part.detail or None,
        error=part.error if is_wrong else None,
        last_error=part.error,
        last_error_at=part.error_at,
        works_since=part.works_since,
    )


def _with_figures(own: PartOut, watched: PartOut | None) -> PartOut:
    """Return what this process found together with what the watchdog did: its figures, and what it finds degraded."""
    if watched is None:
        return own
    shown = watched if own.status == "up" and watched.status == "degraded" else own
    return msgspec.structs.replace(shown, latency_ms=own.latency_ms, detail=watched.detail)


def _watchdog(watches: bool, resources: Resources) -> PartOut:
    error = (
        None if watches else "No scheduler watches: the rest is what this process sees, and nobody is told of changes."
    )
    record = resources.health_history.note("watchdog", "up" if watches else "degraded", error, None)
    return PartOut(status=record.status, since=record.since, error=error)


def _sum_up(parts: dict[str, PartOut]) -> PartStatus:
    if parts["postgres"].status == "down":
        return "down"
    return "up" if all(part.status == "up" for part in parts.values()) else "degraded"


def _without_details(parts: dict[str, PartOut]) -> dict[str, PartOut]:
    """Return what anybody may see: which vendors an installation calls is not part of it."""
    shown = {name: part for name, part in parts.items() if not name.startswith(PROVIDERS)}
    return {name: PartOut(status=part.status, hint=part.hint) for name, part in shown.items()}


PROVIDERS = "provider/"
Check = Callable[[Resources], Awaitable[Mapping[str, float] | None]]


async def _check(checks: dict[str, Check], resources: Resources) -> dict[str, PartOut]:
    async def part(name: str, check: Check) -> PartOut:
        return await resources.health.load(name, lambda: _measure(name, check, resources))

    parts = await asyncio.gather(*(part(name, check) for name, check in checks.items()))
    return dict(zip(checks, parts, strict=True))


async def _measure(name: str, check: Check, resources: Resources) -> PartOut:
    started = time.perf_counter()
    detail: Mapping[str, float] | None = None
    error: str | None = None
    try:
        async with asyncio.timeout(CHECK_TIMEOUT_S):
            detail = await check(resources)
    except Exception as exc:  # noqa: BLE001 -- a health page reports whatever is wrong
        error = describe_failure(exc)
    taken_s = time.perf_counter() - started
    status: PartStatus = "down" if error else "degraded" if taken_s > SLOW_S else "up"
    figures = None if detail is None else dict(detail)
    part = PartOut(status=status, latency_ms=round(taken_s * 1000, 2), detail=figures, error=error)
    return await _with_history(name, part, resources)


async def _with_history(name: str, part: PartOut, resources: Resources) -> PartOut:
    """Return the part with the time of its last change, and its last error."""
    if part.status == "degraded":
        part = msgspec.structs.replace(part, error=SLOW)
    stored = await _stored(resources) if name != "postgres" or part.status != "down" else {}
    record = resources.health_history.note(name, part.status, part.error, stored.get(name))
    return msgspec.structs.replace(
        part, since=record.since, last_error=record.last_error, last_error_at=record.last_error_at
    )


def _language_model(resources: Resources) -> PartOut:
    """Up, unless the default model is known to be broken: without a language model, `offline/extractive` answers."""
    providers, error = resources.settings.providers, default_model_error(resources.settings.providers) or None
    record = resources.health_history.note("language_model", "down" if error else "up", error, None)
    return PartOut(
        status=record.status,
        since=record.since,
        error=error,
        hint=_model_hint(providers),
        last_error=record.last_error,
        last_error_at=record.last_error_at,
    )


def _model_hint(providers: ProviderSettings) -> str | None:
    if (problem := find_default_problem(providers)) is not None:
        return f"{problem} HEADRACE_DEFAULT_MODEL chooses the model."
    return None if has_language_model(providers) else NO_LANGUAGE_MODEL.message


async def _postgres(resources: Resources) -> None:
    """Commit a write, as a request does. Raises WritesRefused if one was refused of late: the disk may be too full for more
    than this; and Frozen while requests are refused because it did not answer them."""
    if is_frozen(resources.core.pool):
        raise Frozen
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
