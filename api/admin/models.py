"""Models, what they cost and what they can do, for the whole installation (X6, G12). One without a price costs nothing."""

from collections import deque
from datetime import datetime
from decimal import Decimal
from typing import Annotated

import msgspec
from litestar import Router, delete, get, put
from litestar.params import FromPath, JSONBody
from msgspec import Meta
from psycopg.rows import DictRow

from api.admin.deeds import note
from api.admin.patterns import check_model
from api.errors import problems
from api.principals import MayManageModels
from api.resources import Opened
from schema.errors import InputError, NotFound
from schema.queries.tenants import lock_tenant
from schema.queries.usage import delete_model, list_models, put_model

TAGS = ["models"]

Price = Annotated[
    float,
    Meta(ge=0, le=1_000_000, description="US dollars for a million tokens, with up to 6 decimals.", examples=[2.5]),
]


class PriceIn(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What a model costs and can do. What is left out is not known, and asked of its provider where that tells. `fallbacks`
    are tried one after another where this one fails before its first token."""

    input_usd: Price
    output_usd: Price
    context_tokens: Annotated[int, Meta(ge=1, le=2**31 - 1)] | None = None
    tools: Annotated[bool, Meta(description="Whether it calls tools by itself.")] | None = None
    images: Annotated[bool, Meta(description="Whether it reads images.")] | None = None
    fallbacks: Annotated[list[Annotated[str, Meta(max_length=300)]], Meta(max_length=10)] = []


class PricedModelOut(msgspec.Struct, frozen=True, kw_only=True):
    """A model, what a million of its tokens cost, in US dollars, and what else is known of it."""

    name: str
    input_usd: float
    output_usd: float
    context_tokens: int | None
    tools: bool | None
    images: bool | None
    fallbacks: list[str]
    updated_at: datetime


class PricedModelsOut(msgspec.Struct, frozen=True):
    """All models that have a price, by name."""

    items: list[PricedModelOut]


@get("/", summary="List models and prices", tags=TAGS)
async def list_model_prices(principal: MayManageModels, resources: Opened) -> PricedModelsOut:
    async with principal.tx(resources.ports.pool) as db:
        rows = await list_models(db)
    return PricedModelsOut([_model(row) for row in rows])


@put("/{name:path}", summary="Set what a model costs and can do", tags=TAGS)
async def set_model_price(
    name: FromPath[str], data: JSONBody[PriceIn], principal: MayManageModels, resources: Opened
) -> PricedModelOut:
    """Prices hold for what is used from now on; what was used keeps its cost."""
    model = check_model(name.removeprefix("/"), "name")
    prices = {field: _checked(getattr(data, field), field) for field in ("input_usd", "output_usd")}
    known = {field: getattr(data, field) for field in ("context_tokens", "tools", "images", "fallbacks")}
    async with principal.tx(resources.ports.pool) as db:
        await lock_tenant(db, principal.tenant_id)  # two at once could close a circle that neither sees
        if data.fallbacks:
            rows = await list_models(db)
            _check_fallbacks(model, data.fallbacks, {row["name"]: row["fallbacks"] or [] for row in rows})
        row = await put_model(db, model, **prices, **known)
        await note(db, principal, principal.tenant_id, "price.stored", model, prices | known)
    return _model(row)


@delete("/{name:path}", responses=problems("not_found"), summary="Forget what a model costs", tags=TAGS)
async def delete_model_price(name: FromPath[str], principal: MayManageModels, resources: Opened) -> None:
    model = check_model(name.removeprefix("/"), "name")
    async with principal.tx(resources.ports.pool) as db:
        if not await delete_model(db, model):
            raise NotFound("There is no price of this model.")
        await note(db, principal, principal.tenant_id, "price.deleted", model)


def _checked(usd: float, field: str) -> float:
    """Return a price. Raises InputError for one that could not be kept as it is."""
    micros = Decimal(repr(usd)) * 10**6
    if micros != int(micros):
        raise InputError(f"{field} must have at most 6 decimals.", field=field)
    return usd


def _check_fallbacks(model: str, fallbacks: list[str], others: dict[str, list[str]]) -> None:
    """Raise InputError for what is no model, for one that stands there twice, and for one that leads back here."""
    for place, name in enumerate(fallbacks):
        field = f"fallbacks[{place}]"
        check_model(name, field)
        if name in fallbacks[:place]:
            raise InputError(f"{field} names {name!r} a second time.", field=field)
        if way := _way(name, model, others):
            raise InputError(f"{field} leads back to {model}: {' → '.join([model, *way])}. Leave it out.", field=field)


def _way(start: str, end: str, fallbacks: dict[str, list[str]]) -> list[str]:
    """Return the shortest way from one model to another along fallbacks, both included; empty where there is none."""
    ways, seen = deque([[start]]), {start}
    while ways:
        way = ways.popleft()
        if way[-1] == end:
            return way
        for name in fallbacks.get(way[-1], ()):
            if name not in seen:
                seen.add(name)
                ways.append([*way, name])
    return []


def _model(row: DictRow) -> PricedModelOut:
    prices = {"input_usd": float(row["input_usd"]), "output_usd": float(row["output_usd"])}
    known = {field: row[field] for field in ("name", "context_tokens", "tools", "images", "updated_at")}
    return PricedModelOut(**prices, **known, fallbacks=row["fallbacks"] or [])


routes = Router("/admin/models", route_handlers=[list_model_prices, set_model_price, delete_model_price])
