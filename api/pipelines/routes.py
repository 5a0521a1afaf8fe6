"""Routes to list, get and draw pipelines, and to manage a tenant's own. Running one is in `api/pipelines/run.py`.

`{id}` is a name or an id. Built-in pipelines are available to every tenant and cannot be changed.
"""

from typing import Annotated, Any, Literal

from litestar import Response, Router, delete, get, post, put
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import JSONBody, PathParameter, QueryParameter

from api.audit.log import record
from api.auth.principals import MayManagePipelines, MayReadPipelines, Principal
from api.grants.tenant_rows import changing_own_tenant
from api.http.errors import problems
from api.http.paging import Cursor, Limit, read_cursor, write_cursor
from api.http.rows import from_row
from api.openapi.headers import LOCATION_HEADER
from api.openapi.operations import TEXT, described
from api.pipelines.run import NO_VERSION, find_own, run_pipeline
from api.pipelines.schemas import (
    EXAMPLE,
    PipelineDetailOut,
    PipelineIn,
    PipelineOut,
    PipelinesOut,
    PipelineVersionOut,
    PipelineVersionsOut,
    TopologyOut,
    built_in,
    stored_definition,
    topology_out,
    validated_definition,
)
from api.resources import AppResources, Resources
from graphs.pipelines.builtin import BUILTIN, builtin_topology, find_builtin
from graphs.pipelines.mermaid import draw_mermaid
from graphs.pipelines.svg import draw_svg
from graphs.pipelines.topology import Topology, build_topology
from schema.errors import Conflict, InputError, NotFound
from schema.ids import new_id
from schema.postgres.connections import Db
from schema.queries.agents import pipelines

PIPELINE_PATH = "/{pipeline:str}"
MAX_PIPELINES = 500
"""Most pipelines of a tenant."""
BUILT_IN_READ_ONLY = (
    "{} is built in and cannot be changed or deleted. Create a pipeline of your own under another name."
)
SVG_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; sandbox",
    "Content-Disposition": 'attachment; filename="pipeline.svg"',  # shown in a page as an image, but not opened as one
}
"""An SVG that is opened on its own must run no scripts and load nothing."""


PipelineId = Annotated[str, PathParameter(description="Name or id of the pipeline.")]
PIPELINE_EXAMPLE: dict[str, Any] = {
    "id": "019a5c9e-9b30-7a44-8d55-6e7f80919293",
    "name": EXAMPLE["name"],
    "description": EXAMPLE["description"],
    "built_in": False,
    "needs_agent": False,
    "version": 1,
    "created_at": "2026-05-04T08:15:30Z",
    "updated_at": "2026-05-04T08:15:30Z",
    "created_by": "user:019a5c9e-1111-7c11-9f53-0c9d2f6f6b1e",
}
DETAIL_EXAMPLE = PIPELINE_EXAMPLE | {"definition": EXAMPLE}
VERSION_EXAMPLE = {name: DETAIL_EXAMPLE[name] for name in ("version", "definition", "created_at", "created_by")}
TOPOLOGY_EXAMPLE: dict[str, Any] = {
    "name": "summarize",
    "version": 1,
    "nodes": [
        {"id": "__start__", "kind": "start", "label": "start"},
        {"id": "summary", "kind": "prompt", "label": "summary"},
        {"id": "__end__", "kind": "end", "label": "end"},
    ],
    "edges": [
        {"from": "__start__", "to": "summary", "label": "", "conditional": False},
        {"from": "summary", "to": "__end__", "label": "", "conditional": False},
    ],
}


@get("/", opt=described(response={"items": [PIPELINE_EXAMPLE]}), summary="List pipelines")
async def list_pipelines(principal: MayReadPipelines, resources: AppResources) -> PipelinesOut:
    """Returns the built-in pipelines and your tenant's own."""
    async with principal.tx(resources.core.pool) as db:
        rows = await pipelines.list_pipelines(db, principal.tenant_id)
    own = [from_row(PipelineOut, row, built_in=False) for row in rows]
    return PipelinesOut([*(built_in(builtin) for builtin in BUILTIN.values()), *own])


@post(
    "/",
    status_code=201,
    opt=described(response_headers=LOCATION_HEADER, example=EXAMPLE, response=DETAIL_EXAMPLE),
    responses=problems("conflict"),
    summary="Create a pipeline",
)
async def create_pipeline(
    data: JSONBody[PipelineIn], principal: MayManagePipelines, resources: AppResources
) -> Response[PipelineDetailOut]:
    """The definition is validated: steps that lead nowhere or form a loop, agents, tools and models that your tenant cannot
    use, and references to unknown steps are rejected, each with its position."""
    definition, pipeline_id = await validated_definition(resources, principal, data), new_id()
    async with changing_own_tenant(resources, principal) as db:
        await _require_free_name(db, principal, data.name)
        row = await pipelines.add_pipeline(
            db, principal.tenant_id, pipeline_id, definition, most=MAX_PIPELINES, created_by=principal.actor
        )
        if row is None:
            raise Conflict(
                f"Your tenant has reached the maximum of {MAX_PIPELINES} pipelines. Delete one that you no longer need."
            )
        await record(db, principal, principal.tenant_id, "pipeline.created", data.name, {"version": 1})
    return Response(_detail_out(row), headers={"Location": f"/api/pipelines/{pipeline_id}"})


@get(PIPELINE_PATH, opt=described(response=DETAIL_EXAMPLE), responses=problems("not_found"), summary="Get a pipeline")
async def get_pipeline(pipeline: PipelineId, principal: MayReadPipelines, resources: AppResources) -> PipelineDetailOut:
    """Returns the pipeline with its newest definition."""
    if builtin := find_builtin(pipeline):
        return built_in(builtin)
    async with principal.tx(resources.core.pool) as db:
        return _detail_out(await find_own(db, principal, pipeline))


@put(
    PIPELINE_PATH,
    opt=described(example=EXAMPLE, response=DETAIL_EXAMPLE),
    responses=problems("not_found", "conflict"),
    summary="Update a pipeline",
)
async def update_pipeline(
    pipeline: PipelineId, data: JSONBody[PipelineIn], principal: MayManagePipelines, resources: AppResources
) -> PipelineDetailOut:
    """Stores a complete definition as a new version, unless it equals the newest one. Jobs keep the version with which they
    started."""
    _reject_builtin(pipeline)
    async with principal.tx(resources.core.pool) as db:
        await find_own(db, principal, pipeline)  # an unknown pipeline is 404, whatever the body says
    definition = await validated_definition(resources, principal, data)
    async with changing_own_tenant(resources, principal) as db:
        before = await find_own(db, principal, pipeline)
        if data.name != before.name:
            await _require_free_name(db, principal, data.name)
        row = await pipelines.change_pipeline(
            db, principal.tenant_id, before.id, definition, created_by=principal.actor
        )
        if row is not None:
            detail = {"version": row.version, "before": before.name}
            await record(db, principal, principal.tenant_id, "pipeline.changed", data.name, detail)
    return _detail_out(row or before)


@delete(PIPELINE_PATH, responses=problems("not_found", "conflict"), summary="Delete a pipeline")
async def delete_pipeline(pipeline: PipelineId, principal: MayManagePipelines, resources: AppResources) -> None:
    """Deletes the pipeline with all its versions. Its queued jobs will fail; its running jobs finish."""
    _reject_builtin(pipeline)
    async with changing_own_tenant(resources, principal) as db:
        row = await find_own(db, principal, pipeline)
        await pipelines.delete_pipeline(db, principal.tenant_id, row.id)
        await record(db, principal, principal.tenant_id, "pipeline.deleted", row.name)


@get(
    f"{PIPELINE_PATH}/versions",
    opt=described(response={"items": [VERSION_EXAMPLE], "next_cursor": None}),
    responses=problems("not_found"),
    summary="List a pipeline's versions",
)
async def list_pipeline_versions(
    pipeline: PipelineId, principal: MayReadPipelines, resources: AppResources, cursor: Cursor = None, limit: Limit = 20
) -> PipelineVersionsOut:
    """Newest first. Built-in pipelines have no versions."""
    list_name = f"pipeline_versions/{pipeline}"
    before = read_cursor(list_name, cursor, int)
    if before is not None and abs(before) >= 2**31:
        raise InputError("cursor must be the next_cursor of the previous page.", field="cursor")
    if find_builtin(pipeline):
        return PipelineVersionsOut([], None)
    async with principal.tx(resources.core.pool) as db:
        row = await find_own(db, principal, pipeline)
        rows = await pipelines.list_versions(db, principal.tenant_id, row.id, limit=limit + 1, before=before)
    items = [from_row(PipelineVersionOut, row) for row in rows[:limit]]
    return PipelineVersionsOut(items, write_cursor(list_name, items[-1].version) if len(rows) > limit else None)


@get(
    f"{PIPELINE_PATH}/topology",
    opt=described(response=TOPOLOGY_EXAMPLE, other_media_types={"text/plain": TEXT, "image/svg+xml": TEXT}),
    responses={
        200: ResponseSpec(TopologyOut, description="The topology in the requested format.", generate_examples=False),
        **problems("not_found"),
    },
    summary="Get a pipeline's topology",
)
async def get_pipeline_topology(
    pipeline: PipelineId,
    principal: MayReadPipelines,
    resources: AppResources,
    format: Annotated[
        Literal["json", "mermaid", "svg"],
        QueryParameter(description="Format: nodes and edges as JSON, Mermaid text, or an SVG image."),
    ] = "json",
    version: Annotated[
        int | None, QueryParameter(description="Version of your own pipeline; the newest if omitted.")
    ] = None,
) -> Response[Any]:
    """Returns the steps of a pipeline and how they are connected."""
    name, stored_version, topology = await _topology(pipeline, version, principal, resources)
    if format == "mermaid":
        return Response(draw_mermaid(topology), media_type="text/plain")
    if format == "svg":
        return Response(draw_svg(topology, name).encode(), media_type="image/svg+xml", headers=SVG_HEADERS)
    return Response(topology_out(name, stored_version, topology))


async def _topology(
    pipeline: str, version: int | None, principal: Principal, resources: Resources
) -> tuple[str, int | None, Topology]:
    if builtin := find_builtin(pipeline):
        if version is not None:
            raise NotFound(NO_VERSION)
        return builtin.name, None, builtin_topology(builtin.name)
    async with principal.tx(resources.core.pool) as db:
        row = await find_own(db, principal, pipeline, version)
    definition = stored_definition(row)
    return definition.name, row.version, build_topology(definition)


async def _require_free_name(db: Db, principal: Principal, name: str) -> None:
    if await pipelines.find_pipeline(db, principal.tenant_id, name):
        raise Conflict(f"A pipeline named {name!r} already exists. Update it, or choose another name.", field="name")


def _reject_builtin(pipeline: str) -> None:
    if find_builtin(pipeline):
        raise Conflict(BUILT_IN_READ_ONLY.format(pipeline))


def _detail_out(row: pipelines.DefinedPipeline) -> PipelineDetailOut:
    return from_row(PipelineDetailOut, row, built_in=False)


routes = Router(
    "/pipelines",
    route_handlers=[
        list_pipelines,
        create_pipeline,
        get_pipeline,
        update_pipeline,
        delete_pipeline,
        list_pipeline_versions,
        get_pipeline_topology,
        run_pipeline,
    ],
    tags=["pipelines"],
)
