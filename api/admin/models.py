"""Models and what they cost, for the whole installation (X6). A model without a price costs nothing."""

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
from schema.queries.usage import delete_model, list_models, put_model

TAGS = ["models"]

Price = Annotated[
    float,
    Meta(ge=0, le=1_000_000, description="US dollars for a million tokens, with up to 6 decimals.", examples=[2.5]),
]


class PriceIn(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What a model costs."""

    input_usd: Price
    output_usd: Price


class PricedModelOut(msgspec.Struct, frozen=True, kw_only=True):
    """A model and what a million of its tokens cost, in US dollars."""

    name: str
    input_usd: float
    output_usd: float
    updated_at: datetime


class PricedModelsOut(msgspec.Struct, frozen=True):
    """All models that have a price, by name."""

    items: list[PricedModelOut]


@get("/", responses=problems(403), summary="List models and prices", tags=TAGS)
async def list_(principal: MayManageModels, resources: Opened) -> PricedModelsOut:
    async with principal.tx(resources.ports.pool) as db:
        rows = await list_models(db)
    return PricedModelsOut([_model(row) for row in rows])


@put("/{name:path}", responses=problems(400, 403), summary="Set what a model costs", tags=TAGS)
async def put_(
    name: FromPath[str], data: JSONBody[PriceIn], principal: MayManageModels, resources: Opened
) -> PricedModelOut:
    """It holds for what is used from now on; what was used keeps its cost."""
    model = check_model(name.removeprefix("/"), "name")
    prices = {field: _checked(getattr(data, field), field) for field in data.__struct_fields__}
    async with principal.tx(resources.ports.pool) as db:
        row = await put_model(db, model, **prices)
        await note(db, principal, principal.tenant_id, "price.stored", model, prices)
    return _model(row)


@delete("/{name:path}", responses=problems(400, 403, 404), summary="Forget what a model costs", tags=TAGS)
async def delete_(name: FromPath[str], principal: MayManageModels, resources: Opened) -> None:
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


def _model(row: DictRow) -> PricedModelOut:
    prices = {"input_usd": float(row["input_usd"]), "output_usd": float(row["output_usd"])}
    return PricedModelOut(name=row["name"], updated_at=row["updated_at"], **prices)


routes = Router("/admin/models", route_handlers=[list_, put_, delete_])
