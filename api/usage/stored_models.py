"""Routes of models, for admins: prices, limits, capabilities and fallbacks, for the whole installation.

What an admin sets takes the place of the seed (`schema/model_catalog/`), and deleting it brings that back.
"""

from collections import deque
from datetime import date
from decimal import Decimal
from typing import Annotated, Any

import msgspec
from litestar import Router, delete, get, put
from litestar.params import JSONBody, PathParameter, QueryParameter
from msgspec import UNSET, Meta, UnsetType

from api.audit.log import record
from api.auth.principals import MayManageModels
from api.grants.patterns import check_model
from api.http.errors import problems
from api.http.fields import NoNextCursor, UpdatedAt
from api.http.rows import from_row
from api.openapi.operations import described
from api.resources import AppResources
from api.usage import model_fields as fields
from schema.errors import InputError, NotFound
from schema.model_catalog.catalog import Model
from schema.model_catalog.seed import seeds
from schema.postgres.connections import Db
from schema.queries.tenants import models as queries
from schema.queries.tenants.tenants import lock_tenant

TAGS = ["models"]

MODEL = "The model, as `provider/name`, such as `openai/gpt-4o-mini`."
NO_MODEL = "Nothing is stored of this model. GET /api/admin/models?origin=all lists the models of which something is."
NOT_SET = "No admin has set this model. GET /api/admin/models lists those that were set."
NamePath = Annotated[str, PathParameter(description=MODEL)]
Origin = Annotated[
    queries.Origin,
    QueryParameter(
        description="Models that an admin has `set`, those with the data that comes with headrace (`seed`), or all."
    ),
]

DEARER = (
    *("dearer_input_usd", "dearer_output_usd", "dearer_cached_input_usd", "dearer_cache_write_usd"),
    "dearer_cache_write_1h_usd",
)
PRICES = (
    *("input_usd", "output_usd", "cached_input_usd", "cache_write_usd", "cache_write_1h_usd", "reasoning_usd"),
    *DEARER,
)
Fallbacks = Annotated[
    list[Annotated[str, Meta(max_length=300)]],
    Meta(max_length=10, description="Models to try in order when this one fails before its first token."),
]
Like = Annotated[
    str,
    Meta(
        max_length=300,
        description="Another model, whose values the omitted fields get: of an Azure deployment, the model behind it.",
        examples=["openai/gpt-4o"],
    ),
]
Deprecated = Annotated[bool, Meta(description="Whether its provider advises against it.")]


class ModelIn(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What is known of a model. Omitted fields keep their value, or with `like` get those of the model that it names; null is
    unknown. Prices belong together: if you send some, those that you omit are unknown."""

    input_usd: fields.InputUsd | UnsetType | None = UNSET
    output_usd: fields.OutputUsd | UnsetType | None = UNSET
    cached_input_usd: fields.CachedInputUsd | UnsetType | None = UNSET
    cache_write_usd: fields.CacheWriteUsd | UnsetType | None = UNSET
    cache_write_1h_usd: fields.CacheWrite1hUsd | UnsetType | None = UNSET
    reasoning_usd: fields.ReasoningUsd | UnsetType | None = UNSET
    dearer_above_tokens: fields.DearerAboveTokens | UnsetType | None = UNSET
    dearer_input_usd: fields.DearerInputUsd | UnsetType | None = UNSET
    dearer_output_usd: fields.DearerOutputUsd | UnsetType | None = UNSET
    dearer_cached_input_usd: fields.DearerCachedInputUsd | UnsetType | None = UNSET
    dearer_cache_write_usd: fields.DearerCacheWriteUsd | UnsetType | None = UNSET
    dearer_cache_write_1h_usd: fields.DearerCacheWrite1hUsd | UnsetType | None = UNSET
    kind: fields.ModelKind | UnsetType | None = UNSET
    context_tokens: fields.ContextTokens | UnsetType | None = UNSET
    max_output_tokens: fields.MaxOutputTokens | UnsetType | None = UNSET
    tools: fields.Tools | UnsetType | None = UNSET
    images: fields.Images | UnsetType | None = UNSET
    structured_output: fields.StructuredOutput | UnsetType | None = UNSET
    reasoning: fields.Reasoning | UnsetType | None = UNSET
    temperature: fields.Temperature | UnsetType | None = UNSET
    deprecated: Deprecated | UnsetType = UNSET
    retires_on: fields.RetiresOn | UnsetType | None = UNSET
    fallbacks: Fallbacks | UnsetType = UNSET
    like: Like | None = None


class StoredModelOut(msgspec.Struct, frozen=True, kw_only=True):
    """What is stored of a model."""

    name: Annotated[str, Meta(description=MODEL)]
    input_usd: fields.InputUsd | None
    output_usd: fields.OutputUsd | None
    cached_input_usd: fields.CachedInputUsd | None
    cache_write_usd: fields.CacheWriteUsd | None
    cache_write_1h_usd: fields.CacheWrite1hUsd | None
    reasoning_usd: fields.ReasoningUsd | None
    dearer_above_tokens: fields.DearerAboveTokens | None
    dearer_input_usd: fields.DearerInputUsd | None
    dearer_output_usd: fields.DearerOutputUsd | None
    dearer_cached_input_usd: fields.DearerCachedInputUsd | None
    dearer_cache_write_usd: fields.DearerCacheWriteUsd | None
    dearer_cache_write_1h_usd: fields.DearerCacheWrite1hUsd | None
    kind: fields.ModelKind | None
    context_tokens: fields.ContextTokens | None
    max_output_tokens: fields.MaxOutputTokens | None
    tools: fields.Tools | None
    images: fields.Images | None
    structured_output: fields.StructuredOutput | None
    reasoning: fields.Reasoning | None
    temperature: fields.Temperature | None
    deprecated: Deprecated
    retires_on: fields.RetiresOn | None
    fallbacks: Fallbacks
    source: Annotated[
        str | None, Meta(description="Whose data it is, such as `models.dev 2026-10-26`; null if an admin has set it.")
    ]
    updated_at: UpdatedAt


class StoredModelsOut(msgspec.Struct, frozen=True):
    """Models of which something is stored."""

    items: Annotated[list[StoredModelOut], Meta(description="The models, ordered by name.")]
    next_cursor: NoNextCursor = None


NEW_EXAMPLE: dict[str, Any] = {
    "input_usd": 0.15,
    "output_usd": 0.6,
    "cached_input_usd": 0.075,
    "context_tokens": 128_000,
    "tools": True,
    "images": True,
    "fallbacks": ["ollama/llama3.2:3b"],
}
EXAMPLE: dict[str, Any] = {
    "name": "openai/gpt-4o-mini",
    "cache_write_usd": None,
    "cache_write_1h_usd": None,
    "reasoning_usd": None,
    "dearer_above_tokens": None,
    **dict.fromkeys(DEARER),
    "kind": None,
    "max_output_tokens": 16_384,
    "structured_output": True,
    "reasoning": False,
    "temperature": True,
    "deprecated": False,
    "retires_on": None,
    **NEW_EXAMPLE,
    "source": None,
    "updated_at": "2026-03-02T08:15:30Z",
}


@get("/", opt=described(response={"items": [EXAMPLE]}), summary="List stored models", tags=TAGS)
async def list_stored_models(
    principal: MayManageModels, resources: AppResources, origin: Origin = "set"
) -> StoredModelsOut:
    """Lists the models that admins have set, or those that come with headrace. Other models can be used too; of those, the
    provider is asked, and if their price is unknown they cost nothing."""
    async with principal.tx(resources.core.pool) as db:
        rows = await queries.list_models(db, origin)
    return StoredModelsOut([_model_out(row) for row in rows])


@get(
    "/{name:path}",
    opt=described(response=EXAMPLE),
    responses=problems("not_found"),
    summary="Get a stored model",
    tags=TAGS,
)
async def get_stored_model(name: NamePath, principal: MayManageModels, resources: AppResources) -> StoredModelOut:
    """Returns what is stored of a model. `GET /api/models` returns what that means for those who use it."""
    model = check_model(name.removeprefix("/"), "name")
    async with principal.tx(resources.core.pool) as db:
        row = await queries.find_model(db, model)
    if row is None:
        raise NotFound(NO_MODEL)
    return _model_out(row)


@put(
    "/{name:path}",
    opt=described(example=NEW_EXAMPLE, response=EXAMPLE),
    summary="Set a model",
    tags=TAGS,
)
async def set_model(
    name: NamePath, data: JSONBody[ModelIn], principal: MayManageModels, resources: AppResources
) -> StoredModelOut:
    """Sets price, limits, capabilities and fallbacks of a model; what you omit keeps its value.
    They apply to future usage; the cost of past usage stays."""
    model = check_model(name.removeprefix("/"), "name")
    sent = _checked(data)
    async with principal.tx(resources.core.pool) as db:
        await lock_tenant(db, principal.tenant_id)  # two concurrent changes could close a cycle that neither sees
        if data.fallbacks is not UNSET and data.fallbacks:
            rows = await queries.list_models(db)
            _check_fallbacks(model, data.fallbacks, {row.name: row.fallbacks or [] for row in rows})
        stored = await queries.find_model(db, model) or seeds().get(model) or Model(name=model)
        base = stored if data.like is None else await _find_like(db, data.like)
        if any(price in sent for price in PRICES):
            base = msgspec.structs.replace(base, **dict.fromkeys((*PRICES, "dearer_above_tokens")))
        values = {"fallbacks": stored.fallbacks} | sent
        row = await queries.put_model(db, msgspec.structs.replace(base, name=model, source=None, **values))
        await record(db, principal, principal.tenant_id, "price.stored", model, _detail(data))
    return _model_out(row)


@delete("/{name:path}", responses=problems("not_found"), summary="Reset a model", tags=TAGS)
async def reset_model(name: NamePath, principal: MayManageModels, resources: AppResources) -> None:
    """Forgets what was set of a model. What comes with headrace applies again; if nothing does, its price is unknown and its
    future usage costs nothing."""
    model = check_model(name.removeprefix("/"), "name")
    async with principal.tx(resources.core.pool) as db:
        if not await queries.delete_model(db, model):
            raise NotFound(NOT_SET)
        if (seed := seeds().get(model)) is not None:
            await queries.put_model(db, seed)
        await record(db, principal, principal.tenant_id, "price.deleted", model)


def _checked(data: ModelIn) -> dict[str, Any]:
    """Return the columns that were sent. Raises InputError for a price without its counterpart, or that can't be stored."""
    sent: dict[str, Any] = {name: value for name, value in msgspec.structs.asdict(data).items() if value is not UNSET}
    sent.pop("like")
    for name in PRICES:
        if sent.get(name) is not None:
            sent[name] = _exact_price(sent[name], name)
    if any(sent.get(name) is not None for name in PRICES):
        for name in ("input_usd", "output_usd"):
            if sent.get(name) is None:
                raise InputError(f"{name} is required with other prices. Send 0 for what is free.", field=name)
    if any(sent.get(name) is not None for name in ("dearer_above_tokens", *DEARER)):
        for name in ("input_usd", "dearer_above_tokens", "dearer_input_usd", "dearer_output_usd"):
            if sent.get(name) is None:
                raise InputError(f"{name} is required with prices of calls that cost more.", field=name)
    return sent


def _exact_price(usd: float, field: str) -> Decimal:
    """Return a price. Raises InputError for one that can't be stored exactly."""
    micros = Decimal(repr(usd)) * 10**6
    if micros != int(micros):
        raise InputError(f"{field} must have at most 6 decimal places.", field=field)
    return Decimal(repr(usd))


async def _find_like(db: Db, like: str) -> Model:
    """Return the model whose values omitted fields get. Raises InputError for an unknown one."""
    row = await queries.find_model(db, check_model(like, "like"))
    if row is None:
        raise InputError(
            f"like names {like[:80]!r}, of which nothing is stored. {NO_MODEL.partition('. ')[2]}", field="like"
        )
    return row


def _detail(data: ModelIn) -> dict[str, Any]:
    sent = {
        name: value for name, value in msgspec.structs.asdict(data).items() if value is not UNSET and value is not None
    }
    return {name: value.isoformat() if isinstance(value, date) else value for name, value in sent.items()}


def _check_fallbacks(model: str, fallbacks: list[str], others: dict[str, list[str]]) -> None:
    """Raise InputError for an invalid name, a duplicate, and a cycle."""
    for index, name in enumerate(fallbacks):
        field = f"fallbacks[{index}]"
        check_model(name, field)
        if name in fallbacks[:index]:
            raise InputError(f"{field} duplicates {name!r}; list each model once.", field=field)
        if path := _find_path(name, model, others):
            raise InputError(f"{field} creates a cycle: {' → '.join([model, *path])}. Remove it.", field=field)


def _find_path(start: str, end: str, fallbacks: dict[str, list[str]]) -> list[str]:
    """Return the shortest path of fallbacks from one model to another, both included; empty if there is none."""
    paths, seen = deque([[start]]), {start}
    while paths:
        path = paths.popleft()
        if path[-1] == end:
            return path
        for name in fallbacks.get(path[-1], ()):
            if name not in seen:
                seen.add(name)
                paths.append([*path, name])
    return []


def _model_out(row: Model) -> StoredModelOut:
    usd = {name: fields.usd(getattr(row, name)) for name in PRICES}
    return from_row(StoredModelOut, row, **usd, fallbacks=row.fallbacks or [])


routes = Router("/admin/models", route_handlers=[list_stored_models, get_stored_model, set_model, reset_model])
