"""Routes of datasets: upload, from feedback, list, get, delete. What is done with them is in `api/datasets/quality.py`."""

import asyncio
from typing import Annotated
from uuid import UUID

import msgspec
from litestar import Response, Router, delete, get, post
from litestar.params import JSONBody, PathParameter, QueryParameter

from api.audit.log import record
from api.auth.principals import MayManageAgents, Principal
from api.datasets.schemas import (
    DATASET_EXAMPLE,
    DATASET_IN_EXAMPLE,
    MAX_DATASETS,
    DatasetIn,
    DatasetItemOut,
    DatasetItemsOut,
    DatasetOut,
    DatasetsOut,
    FeedbackDatasetIn,
)
from api.http.bodies.limits import LARGE_BODY
from api.http.errors import problems
from api.http.paging import Cursor, Limit, read_cursor, write_cursor
from api.http.rows import from_row
from api.openapi.operations import described
from api.resources import AppResources, Resources
from schema.errors import Conflict, InputError, NotFound
from schema.ids import new_id
from schema.postgres.connections import Db
from schema.queries.benchmarks import datasets
from schema.queries.benchmarks.datasets import Dataset
from workers.benchmarks.quality.items import MAX_ITEMS, Item, check_item, read_csv, read_jsonl

NO_DATASET = "No such dataset. GET /api/datasets lists them."
DatasetName = Annotated[str, PathParameter(description="Name of the dataset.")]


@post(
    "/datasets",
    status_code=201,
    opt=LARGE_BODY | described(example=DATASET_IN_EXAMPLE, response=DATASET_EXAMPLE),
    responses=problems("conflict"),
    summary="Upload a dataset",
)
async def upload_dataset(
    data: JSONBody[DatasetIn], principal: MayManageAgents, resources: AppResources
) -> Response[DatasetOut]:
    """Stores the questions as the next version of the dataset. Broken lines are named, and then nothing is stored."""
    given = [name for name in ("items", "jsonl", "csv") if getattr(data, name) is not None]
    if len(given) != 1:
        raise InputError("Send the questions once: as items, jsonl or csv.", field=given[1] if given else "items")
    read, text = (read_jsonl, data.jsonl) if data.jsonl is not None else (read_csv, data.csv or "")
    items = data.items or await asyncio.to_thread(read, text)
    for place, item in enumerate(items if data.items else ()):
        try:
            check_item(item)
        except ValueError as error:
            raise InputError(f"items[{place}]: {error}.", field=f"items[{place}]") from error
    if not 1 <= len(items) <= MAX_ITEMS:
        raise InputError(f"{given[0]} must have 1 to {MAX_ITEMS:,} questions, not {len(items):,}.", field=given[0])
    return await _store(resources, principal, data.name, items)


@post(
    "/feedback/dataset",
    status_code=201,
    opt=described(example={"name": "from-feedback"}, response=DATASET_EXAMPLE | {"name": "from-feedback"}),
    responses=problems("conflict"),
    summary="Make a dataset of feedback",
)
async def make_dataset_of_feedback(
    data: JSONBody[FeedbackDatasetIn], principal: MayManageAgents, resources: AppResources
) -> Response[DatasetOut]:
    """Questions whose right agent feedback has told: the one that a user named, or the one whose answer was liked. They go with
    their messages."""
    async with principal.tx(resources.core.pool) as db:
        found = await datasets.list_feedback_questions(db, principal.tenant_id, limit=MAX_ITEMS)
    items: list[Item] = []
    message_ids: list[UUID] = []
    for one in found:
        text = "\n".join(part["text"] for part in one.parts if part.get("type") == "text").strip()[:20_000]
        if text and text not in {item.question for item in items}:
            items.append(Item(question=text, agent=one.agent))
            message_ids.append(one.message_id)
    if not items:
        raise InputError(
            "No feedback says which agent is right. PUT /api/messages/{message_id}/feedback does.", field="name"
        )
    return await _store(resources, principal, data.name, items, message_ids)


async def _store(
    resources: Resources, principal: Principal, name: str, items: list[Item], message_ids: list[UUID] | None = None
) -> Response[DatasetOut]:
    async with principal.tx(resources.core.pool) as db:
        row = await datasets.put_dataset(
            db,
            principal.tenant_id,
            new_id(),
            name,
            msgspec.to_builtins(items),
            message_ids=message_ids or (),
            created_by=principal.actor,
            most=MAX_DATASETS,
        )
        if row is None:
            raise Conflict(f"Your tenant has reached the maximum of {MAX_DATASETS} datasets. Delete one first.")
        detail = {"version": row.version, "items": row.items}
        await record(db, principal, principal.tenant_id, "dataset.uploaded", name, detail)
    return Response(from_row(DatasetOut, row))


@get("/datasets", opt=described(response={"items": [DATASET_EXAMPLE], "next_cursor": None}), summary="List datasets")
async def list_datasets(
    principal: MayManageAgents, resources: AppResources, cursor: Cursor = None, limit: Limit = 20
) -> DatasetsOut:
    """By name."""
    after = read_cursor("datasets", cursor, str) or ""
    async with principal.tx(resources.core.pool) as db:
        rows = await datasets.list_datasets(db, principal.tenant_id, limit=limit + 1, after=after)
    items = [from_row(DatasetOut, row) for row in rows[:limit]]
    return DatasetsOut(items, write_cursor("datasets", items[-1].name) if len(rows) > limit else None)


@get(
    "/datasets/{name:str}",
    opt=described(response=DATASET_EXAMPLE),
    responses=problems("not_found"),
    summary="Get a dataset",
)
async def get_dataset(name: DatasetName, principal: MayManageAgents, resources: AppResources) -> DatasetOut:
    async with principal.tx(resources.core.pool) as db:
        return from_row(DatasetOut, await require_dataset(db, principal, name))


@delete("/datasets/{name:str}", responses=problems("not_found"), summary="Delete a dataset")
async def delete_dataset(name: DatasetName, principal: MayManageAgents, resources: AppResources) -> None:
    """Deletes all its versions. Benchmarks over it keep how its questions came out."""
    async with principal.tx(resources.core.pool) as db:
        if not await datasets.delete_dataset(db, principal.tenant_id, name):
            raise NotFound(NO_DATASET)
        await record(db, principal, principal.tenant_id, "dataset.deleted", name)


@get(
    "/datasets/{name:str}/items",
    opt=described(response={"items": [{"place": 0, "item": DATASET_IN_EXAMPLE["items"][0]}], "next_cursor": None}),
    responses=problems("not_found"),
    summary="List a dataset's questions",
)
async def list_dataset_items(
    name: DatasetName,
    principal: MayManageAgents,
    resources: AppResources,
    version: Annotated[
        int | None, QueryParameter(ge=1, le=2**31 - 1, description="The newest version if omitted.")
    ] = None,
    cursor: Cursor = None,
    limit: Limit = 20,
) -> DatasetItemsOut:
    list_name = f"dataset_items/{name}"
    after = read_place(read_cursor(list_name, cursor, int))
    async with principal.tx(resources.core.pool) as db:
        row = await require_dataset(db, principal, name)
        rows = await datasets.list_items(
            db, principal.tenant_id, row.id, version or row.version, limit=limit + 1, after=after
        )
    items = [from_row(DatasetItemOut, one) for one in rows[:limit]]
    return DatasetItemsOut(items, write_cursor(list_name, items[-1].place) if len(rows) > limit else None)


async def require_dataset(db: Db, principal: Principal, name: str, field: str | None = None) -> Dataset:
    """Return a dataset by its name. Raises NotFound."""
    row = await datasets.find_dataset(db, principal.tenant_id, name)
    if row is None:
        raise NotFound(NO_DATASET, field=field)
    return row


def read_place(after: int | None) -> int:
    """Return the place of a cursor, -1 for the first page. Raises InputError."""
    if after is not None and not 0 <= after < 2**31:
        raise InputError("cursor must be the next_cursor of the previous page.", field="cursor")
    return -1 if after is None else after


routes = Router(
    "/",
    route_handlers=[
        upload_dataset,
        make_dataset_of_feedback,
        list_datasets,
        get_dataset,
        delete_dataset,
        list_dataset_items,
    ],
    tags=["benchmarks"],
)
