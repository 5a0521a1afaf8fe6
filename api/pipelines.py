"""Pipelines: list, look, draw; make, change and delete one's own (A6). Running one is in `api/executing.py`.

`{id}` is a name or an id. Built-in pipelines are everybody's and nobody can change them.
"""

from typing import Any, Literal

from litestar import Response, Router, delete, get, post, put
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import FromPath, FromQuery, JSONBody
from psycopg.rows import DictRow

from api.admin.deeds import note
from api.admin.own_rows import changing_own
from api.describing import TEXT, described
from api.errors import problems
from api.executing import NO_VERSION, execute, find_own
from api.paging import Cursor, Limit, read_cursor, write_cursor
from api.pipeline_shapes import (
    EXAMPLE,
    PipelineDetailOut,
    PipelineIn,
    PipelineOut,
    PipelinesOut,
    PipelineVersionOut,
    PipelineVersionsOut,
    TopologyOut,
    built_in,
    checked,
    drawn,
    stored,
)
from api.principals import MayManagePipelines, MayReadPipelines, Principal
from api.resources import Opened, Resources
from graphs.pipelines.builtin import BUILTIN, builtin_topology, find_builtin
from graphs.pipelines.mermaid import draw_mermaid
from graphs.pipelines.svg import draw_svg
from graphs.pipelines.topology import Topology, topology_of
from schema.db import Db
from schema.errors import Conflict, InputError, NotFound
from schema.ids import new_id
from schema.queries import pipelines

HERE = "/{pipeline:str}"
MOST = 500
"""Pipelines of one tenant."""
UNCHANGEABLE = "{} is built in: it can't be changed or deleted. Make one of your own under another name."
SAFE = {"Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; sandbox"}
"""A picture that is opened by itself runs nothing and asks for nothing."""


@get("/", summary="List pipelines")
async def list_(principal: MayReadPipelines, resources: Opened) -> PipelinesOut:
    async with principal.tx(resources.ports.pool) as db:
        rows = await pipelines.list_pipelines(db, principal.tenant_id)
    own = [PipelineOut(**row, built_in=False) for row in rows]
    return PipelinesOut([*(built_in(one) for one in BUILTIN.values()), *own])


@post(
    "/",
    status_code=201,
    opt=described(example=EXAMPLE),
    responses=problems("conflict"),
    summary="Make a pipeline",
)
async def create(
    data: JSONBody[PipelineIn], principal: MayManagePipelines, resources: Opened
) -> Response[PipelineDetailOut]:
    """It is checked before it is stored: steps that lead nowhere or in a circle, agents, tools and models that your tenant may
    not use, and texts that name what is not there are refused with the place where they stand."""
    definition, pipeline_id = await checked(resources, principal, data), new_id()
    async with changing_own(resources, principal) as db:
        await _check_free(db, principal, data.name)
        row = await pipelines.add_pipeline(
            db, principal.tenant_id, pipeline_id, definition, most=MOST, created_by=principal.actor
        )
        if row is None:
            raise Conflict(f"Your tenant has {MOST} pipelines, which is the most. Delete one that is not needed.")
        await note(db, principal, principal.tenant_id, "pipeline.created", data.name, {"version": 1})
    return Response(_detail(row), headers={"Location": f"/api/pipelines/{pipeline_id}"})


@get(HERE, responses=problems("not_found"), summary="Look at a pipeline")
async def look(pipeline: FromPath[str], principal: MayReadPipelines, resources: Opened) -> PipelineDetailOut:
    if one := find_builtin(pipeline):
        return built_in(one)
    async with principal.tx(resources.ports.pool) as db:
        return _detail(await find_own(db, principal, pipeline))


@put(
    HERE,
    opt=described(example=EXAMPLE),
    responses=problems("not_found", "conflict"),
    summary="Change a pipeline",
)
async def change(
    pipeline: FromPath[str], data: JSONBody[PipelineIn], principal: MayManagePipelines, resources: Opened
) -> PipelineDetailOut:
    """Store a whole definition as the newest version; the same as the newest makes none. Jobs go on with the version that they
    began with."""
    _refuse_builtin(pipeline)
    async with principal.tx(resources.ports.pool) as db:
        await find_own(db, principal, pipeline)  # a stranger's is not there, whatever the body says
    definition = await checked(resources, principal, data)
    async with changing_own(resources, principal) as db:
        before = await find_own(db, principal, pipeline)
        if data.name != before["name"]:
            await _check_free(db, principal, data.name)
        row = await pipelines.change_pipeline(
            db, principal.tenant_id, before["id"], definition, created_by=principal.actor
        )
        if row is not None:
            detail = {"version": row["version"], "before": before["name"]}
            await note(db, principal, principal.tenant_id, "pipeline.changed", data.name, detail)
    return _detail(row or before)


@delete(HERE, responses=problems("not_found", "conflict"), summary="Delete a pipeline")
async def delete_(pipeline: FromPath[str], principal: MayManagePipelines, resources: Opened) -> None:
    """With all its versions. Jobs of it that wait will fail; those that run end."""
    _refuse_builtin(pipeline)
    async with changing_own(resources, principal) as db:
        row = await find_own(db, principal, pipeline)
        await pipelines.delete_pipeline(db, principal.tenant_id, row["id"])
        await note(db, principal, principal.tenant_id, "pipeline.deleted", row["name"])


@get(f"{HERE}/versions", responses=problems("not_found"), summary="List a pipeline's versions")
async def versions(
    pipeline: FromPath[str], principal: MayReadPipelines, resources: Opened, cursor: Cursor = None, limit: Limit = 20
) -> PipelineVersionsOut:
    """The newest first, each as it was stored. Built-in ones have none."""
    before = read_cursor(cursor, int)
    if before is not None and abs(before) >= 2**31:
        raise InputError("cursor must be the next_cursor of the page before.", field="cursor")
    if find_builtin(pipeline):
        return PipelineVersionsOut([], None)
    async with principal.tx(resources.ports.pool) as db:
        row = await find_own(db, principal, pipeline)
        rows = await pipelines.list_versions(db, principal.tenant_id, row["id"], limit=limit + 1, before=before)
    items = [PipelineVersionOut(**one) for one in rows[:limit]]
    return PipelineVersionsOut(items, write_cursor(items[-1].version) if len(rows) > limit else None)


@get(
    f"{HERE}/topology",
    opt=described(also={"text/plain": TEXT, "image/svg+xml": TEXT}),
    responses={
        200: ResponseSpec(TopologyOut, description="In the format asked for.", generate_examples=False),
        **problems("not_found"),
    },
    summary="Draw a pipeline",
)
async def topology(
    pipeline: FromPath[str],
    principal: MayReadPipelines,
    resources: Opened,
    format: FromQuery[Literal["json", "mermaid", "svg"]] = "json",
    version: FromQuery[int | None] = None,
) -> Response[Any]:
    """How it is put together: as JSON, as text for Mermaid, or as a picture (SVG)."""
    name, number, found = await _topology(pipeline, version, principal, resources)
    if format == "mermaid":
        return Response(draw_mermaid(found), media_type="text/plain")
    if format == "svg":
        return Response(draw_svg(found, name).encode(), media_type="image/svg+xml", headers=SAFE)
    return Response(drawn(name, number, found))


async def _topology(
    pipeline: str, version: int | None, principal: Principal, resources: Resources
) -> tuple[str, int | None, Topology]:
    if one := find_builtin(pipeline):
        if version is not None:
            raise NotFound(NO_VERSION)
        return one.name, None, builtin_topology(one.name)
    async with principal.tx(resources.ports.pool) as db:
        row = await find_own(db, principal, pipeline, version)
    definition = stored(row)
    return definition.name, row["version"], topology_of(definition)


async def _check_free(db: Db, principal: Principal, name: str) -> None:
    if await pipelines.find_pipeline(db, principal.tenant_id, name):
        raise Conflict(f"There is a pipeline {name!r} already. Change it, or choose another name.", field="name")


def _refuse_builtin(pipeline: str) -> None:
    if find_builtin(pipeline):
        raise Conflict(UNCHANGEABLE.format(pipeline))


def _detail(row: DictRow) -> PipelineDetailOut:
    return PipelineDetailOut(**row, built_in=False)


routes = Router(
    "/pipelines",
    route_handlers=[list_, create, look, change, delete_, versions, topology, execute],
    tags=["pipelines"],
)
