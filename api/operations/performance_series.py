"""`/performance/series`: how fast jobs were over time, for charts."""

from datetime import datetime, timedelta
from typing import Annotated, Any, Literal

import msgspec
from litestar import Request, Response, Router, get
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import QueryParameter
from msgspec import Meta

from api.auth.principals import MayReadUsage
from api.http.csv import CSV, csv_response, wants_csv
from api.openapi.operations import TEXT, described
from api.operations.performance import TIMES_EXAMPLE, EndedJobsOut, ended_jobs, full_step
from api.resources import AppResources
from schema.job_kinds import Kind
from schema.postgres.connections import tenant_tx
from schema.queries.tenants.performance import WINDOWS, Performance, Window
from schema.queries.tenants.performance_series import get_series
from schema.vault import PLATFORM

STEPS_S = {"minute": 60, "hour": 3600}
TIMES = ("queue_wait", "first_token", "run")
COLUMNS = (
    *("at", "jobs", "failed", "cancelled", "input_tokens", "output_tokens", "cost_usd"),
    *(f"{name}_{share}" for name in TIMES for share in ("p50_s", "p95_s", "p99_s")),
)


class PointOut(EndedJobsOut, frozen=True, kw_only=True):
    """Jobs that ended in one minute or hour."""

    at: Annotated[datetime, Meta(description="When it begins, at a full minute or hour of UTC.")]


class SeriesOut(msgspec.Struct, frozen=True, kw_only=True):
    """How fast jobs were over time."""

    of: Annotated[
        Literal["tenant", "installation"], Meta(description="Whose jobs: your tenant's, or for platform admins all.")
    ]
    at: Annotated[datetime, Meta(description="When it was read. Jobs are counted some seconds after they end.")]
    window: Annotated[Window, Meta(description="The window that was asked for.")]
    step_s: Annotated[int, Meta(description="Seconds from one point to the next: a minute, or an hour.")]
    points: Annotated[
        list[PointOut], Meta(description="A point for each step, oldest first; the last one has only begun.")
    ]


EXAMPLE = {
    "of": "tenant",
    "at": "2026-11-03T08:12:44Z",
    "window": "hour",
    "step_s": 60,
    "points": [
        {
            "at": "2026-11-03T08:12:00Z",
            "jobs": 7,
            "failed": 0,
            "cancelled": 0,
            "queue_wait": TIMES_EXAMPLE,
            "first_token": TIMES_EXAMPLE,
            "run": {"p50_s": 2.3, "p95_s": 8.9, "p99_s": 14.0},
            "input_tokens": 8_230,
            "output_tokens": 2_704,
            "cost_usd": 0.0512,
        }
    ],
}


@get(
    "/performance/series",
    opt=described(response=EXAMPLE, other_media_types={CSV: TEXT}),
    responses={200: ResponseSpec(SeriesOut, description="The points, oldest first.", generate_examples=False)},
    summary="Get how fast jobs were over time",
    tags=["operations"],
)
async def get_performance_series(
    principal: MayReadUsage,
    request: Request[Any, Any, Any],
    resources: AppResources,
    window: Annotated[
        Window, QueryParameter(description="The last 5 minutes or hour by minutes, the last day or week by hours.")
    ] = "hour",
    kind: Annotated[Kind | None, QueryParameter(description="Only jobs of this kind.")] = None,
) -> Response[Any]:
    """Returns for each minute or hour how many jobs ended and failed, percentiles of their times, tokens and cost. Platform
    admins see the jobs of all tenants, others those of their tenant. `Accept: text/csv` returns a line for each point."""
    async with tenant_tx(resources.core.pool, principal.tenant_id) as db:
        at, series = await get_series(db, principal.tenant_id, window, kind)
    grain, length_s = WINDOWS[window]
    step = timedelta(seconds=STEPS_S[grain])
    last = full_step(at, grain)
    begins = [last - step * number for number in reversed(range(length_s // STEPS_S[grain] + 1))]
    points = [PointOut(at=begin, **ended_jobs(series.get(begin) or Performance())) for begin in begins]
    if wants_csv(request.headers):
        return csv_response("performance", COLUMNS, [_flat(point) for point in points], next_cursor=None)
    return Response(
        SeriesOut(
            of="installation" if principal.tenant_id == PLATFORM else "tenant",
            at=at,
            window=window,
            step_s=STEPS_S[grain],
            points=points,
        )
    )


def _flat(point: PointOut) -> dict[str, Any]:
    row = msgspec.structs.asdict(point)
    for name in TIMES:
        row |= {f"{name}_{share}": getattr(row[name], share) for share in ("p50_s", "p95_s", "p99_s")}
    return row


routes = Router("/", route_handlers=[get_performance_series])
