"""Benchmarks of quality: `POST /api/benchmark/quality`, how its questions came out, and what has changed since an
earlier run."""

from typing import Annotated, Any
from uuid import UUID

import msgspec
from litestar import Response, Router, get, post
from litestar.params import JSONBody, PathParameter, QueryParameter

from api.auth.principals import MayManageAgents, MayReadBenchmarks, Principal
from api.benchmarks.results import NO_BENCHMARK, require_benchmark
from api.chat.response_modes import ACCEPTED_RESPONSE, JOB_ERRORS, accepted_response
from api.datasets.routes import read_place, require_dataset
from api.datasets.schemas import (
    CHANGES_EXAMPLE,
    JUDGED_EXAMPLE,
    ChangeOut,
    ChangesOut,
    JudgedOut,
    JudgedPageOut,
    QualityIn,
)
from api.grants.model_access import Target, resolve_model, resolve_target
from api.http.bodies.json_body import JsonRequest
from api.http.errors import problems
from api.http.headers import read_idempotency
from api.http.paging import Cursor, Limit, read_cursor, write_cursor
from api.http.rows import from_row
from api.jobs.run_at import HEADER as RUN_AT_HEADER
from api.jobs.run_at import read_run_at
from api.jobs.submit import submit_and_follow, submitter
from api.openapi.headers import JOB_RESPONSE_HEADERS
from api.openapi.operations import described
from api.resources import AppResources, Resources
from graphs.providers.tokens import estimate_tokens
from schema.errors import InputError, UnknownModel
from schema.ids import new_id
from schema.job_kinds import KINDS
from schema.queries.benchmarks import datasets
from schema.queries.benchmarks.benchmarks import add_benchmark
from schema.queries.benchmarks.datasets import JudgedItem
from schema.queries.documents.search import list_searchable
from schema.queries.jobs.submissions import Submission
from workers.benchmarks.quality.items import Item
from workers.benchmarks.quality.settings import QualitySettings
from workers.benchmarks.quality.summary import changes
from workers.retrieval.scope import select_collections

MAX_CHANGES = 500
NO_MODEL = "none"
BenchmarkId = Annotated[UUID, PathParameter(description="Id of the benchmark, which is that of its job.")]
DESCRIPTION = """Judges the questions of a dataset that say what is right for `measure`, as a job, whose events have a
`benchmark.item` for each. `GET /api/benchmarks/{benchmark_id}` has the figures in
`quality`."""


@post(
    "/benchmark/quality",
    status_code=202,
    opt=described(
        example={"dataset": "routing-2026", "measure": "routing"},
        request_headers=("Idempotency-Key", RUN_AT_HEADER),
        response_headers=JOB_RESPONSE_HEADERS,
    ),
    responses={202: ACCEPTED_RESPONSE, **problems(*JOB_ERRORS)},
    summary="Benchmark quality",
    description=DESCRIPTION,
)
async def benchmark_quality(
    data: JSONBody[QualityIn], request: JsonRequest, principal: MayManageAgents, resources: AppResources
) -> Response[Any]:
    run_at = read_run_at(request.headers)
    settings, total, longest = await _read_settings(resources, principal, data)
    asked = [data, run_at] if run_at else data
    job_id, models = new_id(), settings.models
    stored = {"quality": msgspec.to_builtins(settings)}
    row = add_benchmark(principal.tenant_id, job_id, models=models, settings=stored, total=total)
    submission = Submission(
        tenant_id=principal.tenant_id,
        job_id=job_id,
        kind=KINDS["benchmark"],
        payload={},
        model=models[0] if models else NO_MODEL,
        idempotency=read_idempotency(
            request.headers, "POST /api/benchmark/quality", asked, visible_user_id=principal.visible_user_id
        ),
        request_id=request.request_id,
        run_at=run_at,
        submitted_by=submitter(resources, principal, job_id, for_tools=settings.agent is not None),
        extra_statements=(row,),
    )
    accepted = await submit_and_follow(
        resources,
        principal,
        submission,
        input_tokens=estimate_tokens(longest),
        max_tokens=settings.max_tokens,
        is_followed=False,
    )
    headers = {"X-Job-ID": str(accepted.submitted.job_id), **accepted.headers}
    accepted.follower.close()
    return accepted_response(accepted.submitted, submission, "queued", headers)


async def _read_settings(
    resources: Resources, principal: Principal, data: QualityIn
) -> tuple[QualitySettings, int, int]:
    """Return what to judge, how many questions that is, and the longest one. Raises NotFound, InputError, UnknownModel."""
    async with principal.tx(resources.core.pool) as db:
        row = await require_dataset(db, principal, data.dataset, field="dataset")
        rows = await datasets.list_items(db, principal.tenant_id, row.id, data.version or row.version)
        searchable = await list_searchable(db, principal.tenant_id) if data.collections else []
    items = [msgspec.convert(one.item, Item) for one in rows]
    fields = {"routing": "agent", "retrieval": "passages", "answers": "answer"}
    wanted = [item for item in items if getattr(item, fields[data.measure])]
    if not wanted:
        raise InputError(
            f"No question of this version says what is right for {data.measure}: its {fields[data.measure]}.",
            field="measure",
        )
    asks_model = data.measure == "answers"
    target = await _target(resources, principal, data.model) if asks_model else None
    if data.allow_side_effects and (target is None or target.agent is None):
        raise InputError(
            "allow_side_effects is for agents: their tools may change something. Send model as agent/NAME, or omit it.",
            field="allow_side_effects",
        )
    asks_judge = asks_model and any(item.answer is not None and item.answer.check == "judge" for item in wanted)
    settings = QualitySettings(
        dataset=row.name,
        dataset_id=row.id,
        version=data.version or row.version,
        measure=data.measure,
        model=target.model if target else None,
        agent=target.agent if target else None,
        allow_side_effects=data.allow_side_effects,
        judge=await _judge(resources, principal, data, target) if asks_judge else None,
        collections=[str(one.id) for one in select_collections(searchable, data.collections)]
        if data.collections
        else None,
        k=data.k,
        concurrency=data.concurrency,
        max_tokens=data.max_tokens,
        temperature=data.temperature,
        seed=data.seed,
    )
    return settings, len(wanted), max(len(item.question) for item in wanted)


async def _target(resources: Resources, principal: Principal, model: str | None) -> Target:
    """Return who answers: the default model unless something else is named. Raises UnknownModel and UnknownAgent."""
    try:
        if model is None:
            return Target(await resolve_model(resources, principal, None), None, model_requested=False)
        return await resolve_target(resources, principal, model, None)
    except UnknownModel as error:
        raise UnknownModel(error.message, field="model") from error


async def _judge(resources: Resources, principal: Principal, data: QualityIn, target: Target | None) -> str:
    """Return the model that judges: the one that answers, if none is named. Raises UnknownModel."""
    if data.judge is None and target is not None:
        return target.model
    try:
        return await resolve_model(resources, principal, data.judge)
    except UnknownModel as error:
        raise UnknownModel(error.message, field="judge") from error


@get(
    "/benchmarks/{benchmark_id:uuid}/items",
    opt=described(response={"items": [JUDGED_EXAMPLE], "next_cursor": None}),
    responses=problems("not_found"),
    summary="List a benchmark's questions",
)
async def list_benchmark_items(
    benchmark_id: BenchmarkId,
    principal: MayReadBenchmarks,
    resources: AppResources,
    cursor: Cursor = None,
    limit: Limit = 20,
) -> JudgedPageOut:
    """How the questions of a benchmark of quality came out; none for others."""
    list_name = f"benchmark_items/{benchmark_id}"
    after = read_place(read_cursor(list_name, cursor, int))
    async with principal.tx(resources.core.pool) as db:
        await require_benchmark(db, principal, benchmark_id)
        rows = await datasets.list_judged(db, principal.tenant_id, benchmark_id, limit=limit + 1, after=after)
    items = [from_row(JudgedOut, row) for row in rows[:limit]]
    return JudgedPageOut(items, write_cursor(list_name, items[-1].place) if len(rows) > limit else None)


@get(
    "/benchmarks/{benchmark_id:uuid}/changes",
    opt=described(response=CHANGES_EXAMPLE),
    responses=problems("not_found"),
    summary="Compare quality with an earlier run",
)
async def list_benchmark_changes(
    benchmark_id: BenchmarkId,
    principal: MayReadBenchmarks,
    resources: AppResources,
    since: Annotated[UUID, QueryParameter(description="Id of the earlier benchmark of quality.")],
) -> ChangesOut:
    """What became right and what became wrong, question by question, up to 500 of each."""
    found: list[list[JudgedItem]] = []
    measures: list[str] = []
    async with principal.tx(resources.core.pool) as db:
        for one in (since, benchmark_id):
            row = await require_benchmark(db, principal, one)
            quality = row.settings.get("quality")
            if quality is None:
                raise InputError("Only benchmarks of quality are compared by question. " + NO_BENCHMARK, field="since")
            measures.append(quality["measure"])
            found.append(await datasets.list_judged(db, principal.tenant_id, one))
    if measures[0] != measures[1]:
        raise InputError(f"since measures {measures[0]}, and this benchmark {measures[1]}.", field="since")
    told = changes(*found)
    for name in ("became_right", "became_wrong"):
        told[name] = [
            ChangeOut(question=new.question, before=old.outcome, after=new.outcome)
            for old, new in told[name][:MAX_CHANGES]
        ]
    return ChangesOut(**told)


routes = Router(
    "/", route_handlers=[benchmark_quality, list_benchmark_items, list_benchmark_changes], tags=["benchmarks"]
)
