"""Routes of models, for admins: prices, capabilities and fallbacks, for the whole installation. No price means free usage."""

from collections import deque
from decimal import Decimal
from typing import Annotated

import msgspec
from litestar import Router, delete, get, put
from litestar.params import JSONBody, PathParameter
from msgspec import Meta

from api.audit.log import record
from api.auth.principals import MayManageModels
from api.grants.patterns import check_model
from api.http.errors import problems
from api.http.fields import UpdatedAt
from api.http.rows import from_row
from api.openapi.operations import described
from api.resources import AppResources
from schema.errors import InputError, NotFound
from schema.queries.tenants.tenants import lock_tenant
from schema.queries.tenants.usage import PricedModel, delete_model, list_models, put_model

TAGS = ["models"]

MODEL = "The model, as `provider/name`, such as `openai/gpt-4o-mini`."
NamePath = Annotated[str, PathParameter(description=MODEL)]

InputUsd = Annotated[
    float,
    Meta(
        ge=0,
        le=1_000_000,
        description="US dollars per million input tokens, with up to 6 decimal places.",
        examples=[0.15],
    ),
]
OutputUsd = Annotated[
    float,
    Meta(
        ge=0,
        le=1_000_000,
        description="US dollars per million output tokens, with up to 6 decimal places.",
        examples=[0.6],
    ),
]
ContextTokens = Annotated[
    int,
    Meta(ge=1, le=2**31 - 1, description="Size of the context window in tokens; null to ask the provider."),
]
Tools = Annotated[bool, Meta(description="Whether the model can call tools; null to ask the provider.")]
Images = Annotated[bool, Meta(description="Whether the model can read images; null to ask the provider.")]
Fallbacks = Annotated[
    list[Annotated[str, Meta(max_length=300)]],
    Meta(max_length=10, description="Models to try in order when this one fails before its first token."),
]


class PriceIn(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Price and capabilities of a model."""

    input_usd: InputUsd
    output_usd: OutputUsd
    context_tokens: ContextTokens | None = None
    tools: Tools | None = None
    images: Images | None = None
    fallbacks: Fallbacks = []


class PricedModelOut(msgspec.Struct, frozen=True, kw_only=True):
    """Price and capabilities of a model."""

    name: Annotated[str, Meta(description=MODEL)]
    input_usd: InputUsd
    output_usd: OutputUsd
    context_tokens: ContextTokens | None
    tools: Tools | None
    images: Images | None
    fallbacks: Fallbacks
    updated_at: UpdatedAt


class PricedModelsOut(msgspec.Struct, frozen=True):
    """All models that have a price."""

    items: Annotated[list[PricedModelOut], Meta(description="The models, ordered by name.")]


NEW_PRICE_EXAMPLE = {
    "input_usd": 0.15,
    "output_usd": 0.6,
    "context_tokens": 128_000,
    "tools": True,
    "images": True,
    "fallbacks": ["ollama/llama3.2:3b"],
}
PRICE_EXAMPLE = {"name": "openai/gpt-4o-mini", **NEW_PRICE_EXAMPLE, "updated_at": "2026-03-02T08:15:30Z"}


@get("/", opt=described(response={"items": [PRICE_EXAMPLE]}), summary="List model prices", tags=TAGS)
async def list_model_prices(principal: MayManageModels, resources: AppResources) -> PricedModelsOut:
    """Lists every model with a price. Models without one can be used and cost nothing."""
    async with principal.tx(resources.core.pool) as db:
        rows = await list_models(db)
    return PricedModelsOut([_model_out(row) for row in rows])


@put(
    "/{name:path}",
    opt=described(example=NEW_PRICE_EXAMPLE, response=PRICE_EXAMPLE),
    summary="Set a model's price",
    tags=TAGS,
)
async def set_model_price(
    name: NamePath, data: JSONBody[PriceIn], principal: MayManageModels, resources: AppResources
) -> PricedModelOut:
    """Sets the price, the capabilities and the fallbacks of a model; omitted fields become unknown. The price applies to
    future usage; the cost of past usage stays."""
    model = check_model(name.removeprefix("/"), "name")
    prices = {field: _validated_price(getattr(data, field), field) for field in ("input_usd", "output_usd")}
    capabilities = {field: getattr(data, field) for field in ("context_tokens", "tools", "images", "fallbacks")}
    async with principal.tx(resources.core.pool) as db:
        await lock_tenant(db, principal.tenant_id)  # two concurrent changes could close a cycle that neither sees
        if data.fallbacks:
            rows = await list_models(db)
            _check_fallbacks(model, data.fallbacks, {row.name: row.fallbacks or [] for row in rows})
        row = await put_model(db, model, **prices, **capabilities)
        await record(db, principal, principal.tenant_id, "price.stored", model, prices | capabilities)
    return _model_out(row)


@delete("/{name:path}", responses=problems("not_found"), summary="Delete a model's price", tags=TAGS)
async def delete_model_price(name: NamePath, principal: MayManageModels, resources: AppResources) -> None:
    """Future usage of the model costs nothing, and its capabilities and fallbacks are unknown."""
    model = check_model(name.removeprefix("/"), "name")
    async with principal.tx(resources.core.pool) as db:
        if not await delete_model(db, model):
            raise NotFound("This model has no price. GET /api/admin/models lists the models that have one.")
        await record(db, principal, principal.tenant_id, "price.deleted", model)


def _validated_price(usd: float, field: str) -> float:
    """Return a price. Raises InputError for one that can't be stored exactly."""
    micros = Decimal(repr(usd)) * 10**6
    if micros != int(micros):
        raise InputError(f"{field} must have at most 6 decimal places.", field=field)
    return usd


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


def _model_out(row: PricedModel) -> PricedModelOut:
    prices = {"input_usd": float(row.input_usd), "output_usd": float(row.output_usd)}
    return from_row(PricedModelOut, row, **prices, fallbacks=row.fallbacks or [])


routes = Router("/admin/models", route_handlers=[list_model_prices, set_model_price, delete_model_price])
