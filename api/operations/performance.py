"""`/performance/summary`: how fast jobs were lately, how many failed, and what they cost, compared with the time before."""

from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Literal

import msgspec
from litestar import Router, get
from msgspec import Meta

from api.auth.principals import MayReadUsage
from api.openapi.operations import described
from api.resources import AppResources
from api.usage.money import to_usd
from schema.job_kinds import KINDS, Kind
from schema.metrics.figures import ROUTE
from schema.postgres.connections import tenant_tx
from schema.queries.tenants.performance import WINDOWS, Performance, Summary, Window, get_summary
from schema.vault import PLATFORM


class TimesOut(msgspec.Struct, frozen=True):
    """Percentiles of a time in seconds, right to about five percent; null if there were none."""

    p50_s: Annotated[float | None, Meta(description="Median.")]
    p95_s: Annotated[float | None, Meta(description="95th percentile.")]
    p99_s: Annotated[float | None, Meta(description="99th percentile.")]


class EndedJobsOut(msgspec.Struct, frozen=True, kw_only=True):
    """Jobs that ended in a span of time."""

    jobs: Annotated[int, Meta(description="Jobs that ended.")]
    failed: Annotated[int, Meta(description="Of these, those that failed.")]
    cancelled: Annotated[int, Meta(description="Of these, those that were cancelled.")]
    queue_wait: Annotated[TimesOut, Meta(description="From the submit to the first attempt.")]
    first_token: Annotated[
        TimesOut, Meta(description="From the start of the last attempt to the first part of its answer.")
    ]
    run: Annotated[TimesOut, Meta(description="From the start of the first attempt to the end of the job.")]
    input_tokens: Annotated[int, Meta(description="Tokens sent to models.")]
    output_tokens: Annotated[int, Meta(description="Tokens that models generated.")]
    cost_usd: Annotated[float, Meta(description="Cost in US dollars.")]


class FiguresOut(EndedJobsOut, frozen=True, kw_only=True):
    """Jobs of one kind that ended in a span of time."""

    jobs_per_minute: Annotated[float, Meta(description="Jobs that ended, per minute.")]


class KindOut(msgspec.Struct, frozen=True, kw_only=True):
    """One kind of job in a window, and in the time before it."""

    kind: Annotated[Kind, Meta(description="Kind of the jobs.")]
    now: Annotated[FiguresOut, Meta(description="In the window.")]
    before: Annotated[FiguresOut, Meta(description="In the time of the same length before it.")]


class SharesOut(msgspec.Struct, frozen=True, kw_only=True):
    """How many of something went well, in a window and in the time before it."""

    count: Annotated[int, Meta(description="How many there were in the window.")]
    share: Annotated[float | None, Meta(description="The share of them that went well, from 0 to 1; null if none.")]
    count_before: Annotated[int, Meta(description="How many there were in the time of the same length before it.")]
    share_before: Annotated[float | None, Meta(description="The share of those; null if none.")]


class RouteFiguresOut(msgspec.Struct, frozen=True, kw_only=True):
    """Responses of one route."""

    requests: Annotated[int, Meta(description="Responses that were started.")]
    failed: Annotated[int, Meta(description="Of these, those with a status of 500 or more.")]
    time: Annotated[
        TimesOut, Meta(description="To the start of the response: of streams until they open, else with the answer.")
    ]


class RouteTimesOut(msgspec.Struct, frozen=True, kw_only=True):
    """One route in a window, and in the time before it."""

    route: Annotated[str, Meta(description="Its method and path.", examples=["GET /api/jobs/{job_id}"])]
    now: Annotated[RouteFiguresOut, Meta(description="In the window.")]
    before: Annotated[RouteFiguresOut, Meta(description="In the time of the same length before it.")]


class WindowOut(msgspec.Struct, frozen=True, kw_only=True):
    """A window of time, which reaches to now."""

    window: Annotated[Window, Meta(description="Its name: the last 5 minutes, hour, day or week.")]
    since: Annotated[
        datetime, Meta(description="When it begins: at a full minute, for `day` and `week` at a full hour.")
    ]
    kinds: Annotated[list[KindOut], Meta(description="Kinds of job of which any ended in it or in the time before.")]
    tools: Annotated[SharesOut, Meta(description="Calls of tools, and the share of them that succeeded.")]
    answer_cache: Annotated[
        SharesOut, Meta(description="Questions that were looked up in the cache of answers, and the share of hits.")
    ]
    routes: Annotated[
        list[RouteTimesOut],
        Meta(description="The installation's routes, the busiest first, at most 50; for platform admins, else empty."),
    ]


class PerformanceOut(msgspec.Struct, frozen=True, kw_only=True):
    """How fast jobs were, and what they cost."""

    of: Annotated[
        Literal["tenant", "installation"], Meta(description="Whose jobs: your tenant's, or for platform admins all.")
    ]
    at: Annotated[datetime, Meta(description="When it was read. Jobs are counted some seconds after they end.")]
    windows: Annotated[list[WindowOut], Meta(description="The windows, the shortest first.")]


MAX_ROUTES = 50
TIMES_EXAMPLE = {"p50_s": 0.012, "p95_s": 0.41, "p99_s": 0.9}
FIGURES_EXAMPLE = {
    "jobs": 42,
    "failed": 1,
    "cancelled": 0,
    "jobs_per_minute": 7.6,
    "queue_wait": TIMES_EXAMPLE,
    "first_token": TIMES_EXAMPLE,
    "run": {"p50_s": 2.3, "p95_s": 8.9, "p99_s": 14.0},
    "input_tokens": 51_230,
    "output_tokens": 18_704,
    "cost_usd": 0.3152,
}
EXAMPLE = {
    "of": "tenant",
    "at": "2026-11-03T08:12:44Z",
    "windows": [
        {
            "window": "5m",
            "since": "2026-11-03T08:07:00Z",
            "kinds": [{"kind": "chat", "now": FIGURES_EXAMPLE, "before": FIGURES_EXAMPLE | {"failed": 0}}],
            "tools": {"count": 120, "share": 0.975, "count_before": 96, "share_before": 1.0},
            "answer_cache": {"count": 40, "share": 0.2, "count_before": 0, "share_before": None},
            "routes": [],
        }
    ],
}


@get(
    "/performance/summary",
    opt=described(response=EXAMPLE),
    summary="Get how fast jobs were",
    tags=["operations"],
)
async def get_performance_summary(principal: MayReadUsage, resources: AppResources) -> PerformanceOut:
    """Returns for the last 5 minutes, hour, day and week, and for the time before each: by kind of job how many ended and
    failed, percentiles of their times, tokens and cost; how many calls of tools succeeded, and how many questions the cache
    answered. Platform admins see those of all tenants, and how long each route took; others see those of their tenant."""
    async with tenant_tx(resources.core.pool, principal.tenant_id) as db:
        at, summary = await get_summary(db, principal.tenant_id)
    return PerformanceOut(
        of="installation" if principal.tenant_id == PLATFORM else "tenant",
        at=at,
        windows=[_window_out(window, at, summary) for window in WINDOWS],
    )


def _window_out(window: Window, at: datetime, summary: Summary) -> WindowOut:
    grain, length_s = WINDOWS[window]
    since = full_step(at, grain) - timedelta(seconds=length_s)
    present: list[Kind] = [
        kind for kind in KINDS if (window, kind, True) in summary or (window, kind, False) in summary
    ]
    kinds = [
        KindOut(
            kind=kind,
            now=_figures(summary.get((window, kind, True)), (at - since).total_seconds()),
            before=_figures(summary.get((window, kind, False)), length_s),
        )
        for kind in present
    ]
    return WindowOut(
        window=window,
        since=since,
        kinds=kinds,
        tools=_shares(window, "tools", "succeeded", "failed", summary),
        answer_cache=_shares(window, "cache", "hit", "miss", summary),
        routes=_routes(window, summary),
    )


def _shares(window: Window, kind: str, good: str, bad: str, summary: Summary) -> SharesOut:
    counts = [summary.get((window, kind, is_now), Performance()).counts for is_now in (True, False)]
    (now, share), (before, share_before) = (
        (one[good] + one[bad], round(one[good] / (one[good] + one[bad]), 4) if one[good] + one[bad] else None)
        for one in counts
    )
    return SharesOut(count=now, share=share, count_before=before, share_before=share_before)


def _routes(window: Window, summary: Summary) -> list[RouteTimesOut]:
    kinds = {kind for name, kind, _ in summary if name == window and kind.startswith(ROUTE)}
    routes = [
        RouteTimesOut(
            route=kind.removeprefix(ROUTE),
            now=_route_figures(summary.get((window, kind, True))),
            before=_route_figures(summary.get((window, kind, False))),
        )
        for kind in kinds
    ]
    return sorted(routes, key=lambda one: (-one.now.requests, -one.before.requests, one.route))[:MAX_ROUTES]


def _route_figures(found: Performance | None) -> RouteFiguresOut:
    found = found or Performance()
    return RouteFiguresOut(
        requests=sum(found.times["time"].values()), failed=found.counts["failed"], time=_times(found, "time")
    )


def _figures(found: Performance | None, length_s: float) -> FiguresOut:
    ended = ended_jobs(found or Performance())
    return FiguresOut(**ended, jobs_per_minute=round(60 * ended["jobs"] / length_s, 3))


def ended_jobs(found: Performance) -> dict[str, Any]:
    """Return the fields of EndedJobsOut."""
    counts = found.counts
    return {
        "jobs": counts["succeeded"] + counts["failed"] + counts["cancelled"],
        "failed": counts["failed"],
        "cancelled": counts["cancelled"],
        "queue_wait": _times(found, "wait"),
        "first_token": _times(found, "first_token"),
        "run": _times(found, "run"),
        "input_tokens": counts["input_tokens"],
        "output_tokens": counts["output_tokens"],
        "cost_usd": to_usd(counts["cost_nanos"]),
    }


def full_step(at: datetime, grain: str) -> datetime:
    """Return when the minute or hour of UTC began that a time is in, whatever the time zone of the connection."""
    at = at.astimezone(UTC).replace(second=0, microsecond=0)
    return at if grain == "minute" else at.replace(minute=0)


def _times(found: Performance, measure: str) -> TimesOut:
    return TimesOut(*(found.percentile(measure, share) for share in (0.5, 0.95, 0.99)))


routes = Router("/", route_handlers=[get_performance_summary])
