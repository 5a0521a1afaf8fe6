"""Routes of benchmarks: list, get, compare, history. Submitting one is in `api/benchmarks/run.py`."""

from typing import Annotated, Any
from uuid import UUID

from litestar import Response, Router, get
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import PathParameter, QueryParameter

from api.auth.principals import MayReadBenchmarks
from api.benchmarks.results import (
    benchmark_out,
    compared_out,
    detail_out,
    iteration_out,
    require_benchmark,
    result_out,
    write_csv,
    write_markdown,
)
from api.benchmarks.run import benchmark_models
from api.benchmarks.schemas import (
    BENCHMARK_EXAMPLE,
    COMPARED_EXAMPLE,
    DETAIL_EXAMPLE,
    ITERATION_EXAMPLE,
    MAX_COMPARED,
    RUN_RESULT_EXAMPLE,
    BenchmarkDetailOut,
    BenchmarksOut,
    ComparedOut,
    HistoryEntryOut,
    HistoryOut,
    IterationsOut,
)
from api.http.bodies.json_body import JsonRequest
from api.http.errors import problems
from api.http.paging import Cursor, Limit, read_cursor, write_cursor
from api.openapi.operations import TEXT, described
from api.resources import AppResources
from schema.errors import InputError
from schema.queries.benchmarks import benchmarks
from schema.queries.benchmarks.datasets import list_judged
from schema.states import WAITING, PublicState, State

CSV, MARKDOWN = "text/csv", "text/markdown"
INTERNAL_STATES: dict[PublicState, tuple[State, ...]] = {"queued": WAITING}
BENCHMARK_PATH = "/{benchmark_id:uuid}"
BenchmarkId = Annotated[UUID, PathParameter(description="Id of the benchmark, which is that of its job.")]


@get("/", opt=described(response={"items": [BENCHMARK_EXAMPLE], "next_cursor": None}), summary="List benchmarks")
async def list_benchmarks(
    principal: MayReadBenchmarks,
    resources: AppResources,
    wanted: Annotated[
        PublicState | None, QueryParameter(name="state", description="Only benchmarks in this state.")
    ] = None,
    model: Annotated[
        str | None, QueryParameter(max_length=200, description="Only benchmarks that measure this model.")
    ] = None,
    cursor: Cursor = None,
    limit: Limit = 20,
) -> BenchmarksOut:
    """Newest first."""
    before = read_cursor("benchmarks", cursor, UUID)
    states: tuple[State, ...] = INTERNAL_STATES.get(wanted, (wanted,)) if wanted else ()
    async with principal.tx(resources.core.pool) as db:
        rows = await benchmarks.list_benchmarks(
            db, principal.tenant_id, limit=limit + 1, before=before, model=model, states=states
        )
    items = [benchmark_out(row) for row in rows[:limit]]
    return BenchmarksOut(items, write_cursor("benchmarks", items[-1].id) if len(rows) > limit else None)


@get(
    BENCHMARK_PATH,
    opt=described(response=DETAIL_EXAMPLE, other_media_types={CSV: TEXT, MARKDOWN: TEXT}),
    responses={
        200: ResponseSpec(BenchmarkDetailOut, description="The benchmark.", generate_examples=False),
        **problems("not_found"),
    },
    summary="Get a benchmark",
)
async def get_benchmark(
    benchmark_id: BenchmarkId, request: JsonRequest, principal: MayReadBenchmarks, resources: AppResources
) -> Response[Any]:
    """What was measured so far, also while it runs. `Accept: text/csv` returns the calls, one a line; `Accept:
    text/markdown` the figures as tables."""
    async with principal.tx(resources.core.pool) as db:
        row = await require_benchmark(db, principal, benchmark_id)
        iterations = await benchmarks.list_iterations(db, principal.tenant_id, benchmark_id)
        judged = await list_judged(db, principal.tenant_id, benchmark_id) if "quality" in row.settings else []
    accept = request.headers.get("accept", "")
    if CSV in accept:
        return Response(write_csv(iterations), media_type=f"{CSV}; header=present")
    detail = await detail_out(row, iterations, judged)
    if MARKDOWN in accept:
        return Response(write_markdown(detail), media_type=f"{MARKDOWN}; charset=utf-8")
    return Response(detail)


@get(
    f"{BENCHMARK_PATH}/iterations",
    opt=described(response={"items": [ITERATION_EXAMPLE], "next_cursor": None}),
    responses=problems("not_found"),
    summary="List a benchmark's calls",
)
async def list_benchmark_iterations(
    benchmark_id: BenchmarkId,
    principal: MayReadBenchmarks,
    resources: AppResources,
    cursor: Cursor = None,
    limit: Limit = 20,
) -> IterationsOut:
    """In their order, which is the one in which they were started."""
    list_name = f"benchmark_iterations/{benchmark_id}"
    after = read_cursor(list_name, cursor, int)
    if after is not None and not 0 <= after < 2**31:
        raise InputError("cursor must be the next_cursor of the previous page.", field="cursor")
    async with principal.tx(resources.core.pool) as db:
        await require_benchmark(db, principal, benchmark_id)
        rows = await benchmarks.list_iterations(
            db, principal.tenant_id, benchmark_id, limit=limit + 1, after=-1 if after is None else after
        )
    items = [iteration_out(row) for row in rows[:limit]]
    return IterationsOut(items, write_cursor(list_name, items[-1].place) if len(rows) > limit else None)


@get(
    "/compare",
    opt=described(response=COMPARED_EXAMPLE),
    responses=problems("not_found"),
    summary="Compare benchmarks",
)
async def compare_benchmarks(
    principal: MayReadBenchmarks,
    resources: AppResources,
    ids: Annotated[
        str,
        QueryParameter(
            max_length=400,
            description=f"Ids of 2 to {MAX_COMPARED} benchmarks, separated by commas; the first is the baseline.",
        ),
    ],
) -> ComparedOut:
    """Benchmarks that ran at different times are compared without pairs, so a machine that was slower then counts as a slower
    model. To compare models fairly, measure them in one benchmark."""
    wanted = _read_ids(ids)
    async with principal.tx(resources.core.pool) as db:
        runs = [
            (
                await require_benchmark(db, principal, one),
                await benchmarks.list_iterations(db, principal.tenant_id, one),
            )
            for one in wanted
        ]
    return await compared_out(runs)


def _read_ids(text: str) -> list[UUID]:
    try:
        found = list(dict.fromkeys(UUID(part.strip()) for part in text.split(",")))
    except ValueError:
        found = []
    if not 2 <= len(found) <= MAX_COMPARED:
        raise InputError(f"ids must be the ids of 2 to {MAX_COMPARED} benchmarks, separated by commas.", field="ids")
    return found


@get(
    "/history",
    opt=described(
        response={"items": [RUN_RESULT_EXAMPLE | {"created_at": "2026-05-04T08:16:41Z"}], "next_cursor": None}
    ),
    summary="List results of models",
)
async def list_benchmark_history(
    principal: MayReadBenchmarks,
    resources: AppResources,
    model: Annotated[
        str | None, QueryParameter(max_length=200, description="Only results of this model, as `provider/name`.")
    ] = None,
    cursor: Cursor = None,
    limit: Limit = 20,
) -> HistoryOut:
    """The figures of a model in all benchmarks that have ended, newest first."""
    before = read_cursor("benchmark_history", cursor, tuple[UUID, str])
    async with principal.tx(resources.core.pool) as db:
        rows = await benchmarks.list_history(db, principal.tenant_id, model=model, limit=limit + 1, before=before)
    items = [
        result_out(HistoryEntryOut, row.model, row.figures, benchmark_id=row.benchmark_id, created_at=row.created_at)
        for row in rows[:limit]
    ]
    more = len(rows) > limit
    return HistoryOut(
        items, write_cursor("benchmark_history", (items[-1].benchmark_id, items[-1].model)) if more else None
    )


routes = Router(
    "/",
    route_handlers=[
        Router("/benchmark", route_handlers=[benchmark_models]),
        Router(
            "/benchmarks",
            route_handlers=[
                list_benchmarks,
                compare_benchmarks,
                list_benchmark_history,
                get_benchmark,
                list_benchmark_iterations,
            ],
        ),
    ],
    tags=["benchmarks"],
)
