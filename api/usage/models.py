"""`GET /api/models`: the models that the caller can use, what they can do and what they cost.

Not here: OpenAI's list (`api/openai/models.py`), and setting what is known of models (`stored_models.py`).
"""

from typing import Annotated, Any

import msgspec
from litestar import Router, get
from litestar.params import QueryParameter
from msgspec import Meta

from api.auth.principals import MayReadModels, Principal
from api.grants.model_access import list_granted_models
from api.http.fields import NoNextCursor
from api.jobs.submit import uses_own_key
from api.openapi.operations import described
from api.resources import AppResources
from api.usage import model_fields as fields
from api.usage.stored_models import DEARER
from graphs.embeddings.minilm import MODEL
from graphs.embeddings.registry import DEFAULT
from graphs.providers.capabilities import from_name, named_capabilities, reasons
from graphs.providers.contract import ModelInfo
from schema.model_catalog.catalog import Catalog, Kind, Model
from schema.model_catalog.prices import FREE, Price

WantedKind = Annotated[Kind | None, QueryParameter(description="Only models for chats, or only those for embeddings.")]


class PriceOut(msgspec.Struct, frozen=True, kw_only=True):
    """The price of a model. What has none of its own costs what input or output does."""

    input_usd: fields.InputUsd
    output_usd: fields.OutputUsd
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


class UsableModelOut(msgspec.Struct, frozen=True, kw_only=True):
    """A model that you can use."""

    name: Annotated[str, Meta(description="Name to send as `model`.")]
    provider: Annotated[str, Meta(description="Its provider.")]
    kind: fields.ModelKind
    context_tokens: fields.ContextTokens | None
    max_output_tokens: fields.MaxOutputTokens | None
    tools: Annotated[bool, Meta(description="Whether it can call tools, as far as is known.")]
    images: Annotated[bool, Meta(description="Whether it can read images, as far as is known.")]
    structured_output: fields.StructuredOutput | None
    reasoning: fields.Reasoning | None
    temperature: fields.Temperature | None
    deprecated: Annotated[bool, Meta(description="Whether its provider advises against it.")]
    retires_on: fields.RetiresOn | None
    price: Annotated[PriceOut | None, Meta(description="What it costs; null if that is unknown.")]
    price_known: Annotated[
        bool,
        Meta(
            description="Whether the price is known. If not, the cost of an answer is null, and budgets don't count it."
        ),
    ]
    own_key: Annotated[
        bool,
        Meta(description="Whether your tenant calls it with a provider key of its own: then it costs nothing here."),
    ]


class UsableModelsOut(msgspec.Struct, frozen=True):
    """The models that you can use."""

    items: Annotated[list[UsableModelOut], Meta(description="The models, those of each provider in its own order.")]
    next_cursor: NoNextCursor = None


EXAMPLE: dict[str, Any] = {
    "name": "openai/gpt-4o-mini",
    "provider": "openai",
    "kind": "chat",
    "context_tokens": 128_000,
    "max_output_tokens": 16_384,
    "tools": True,
    "images": True,
    "structured_output": True,
    "reasoning": False,
    "temperature": True,
    "deprecated": False,
    "retires_on": None,
    "price": {
        "input_usd": 0.15,
        "output_usd": 0.6,
        "cached_input_usd": 0.075,
        "cache_write_usd": None,
        "cache_write_1h_usd": None,
        "reasoning_usd": None,
        "dearer_above_tokens": None,
        **dict.fromkeys(DEARER),
    },
    "price_known": True,
    "own_key": False,
}


@get("/", opt=described(response={"items": [EXAMPLE]}), summary="List models you can use", tags=["models"])
async def list_usable_models(
    principal: MayReadModels, resources: AppResources, kind: WantedKind = None
) -> UsableModelsOut:
    """Lists the models of all providers that are reachable now, as far as they are granted to your tenant, with what they can
    do and what they cost. `GET /v1/models` is the list that OpenAI's clients read; it has agents too."""
    catalog = await resources.catalogs.latest()
    listed = [_usable(model, catalog, principal) for model in await list_granted_models(resources, principal)]
    found = [model for model in [*listed, _local_embedder(principal)] if model is not None]
    return UsableModelsOut([model for model in found if kind in (None, model.kind)])


def _usable(listed: ModelInfo, catalog: Catalog, principal: Principal) -> UsableModelOut | None:
    """Return a model, or None for one that neither chats nor embeds."""
    known = catalog.find(listed.id) or Model(name=listed.id)
    abilities = named_capabilities(listed.provider, listed.name)
    kind = known.kind or ("embedding" if "embeddings" in abilities else "chat" if abilities else None)
    return None if kind is None else _out(known, listed.provider, kind, catalog.price(listed.id), principal)


def _local_embedder(principal: Principal) -> UsableModelOut:
    """Return the model that embeds in our own processes, which needs no grant."""
    return _out(Model(name=f"{DEFAULT}/{MODEL}"), "headrace", "embedding", FREE, principal)


def _out(known: Model, provider: str, kind: Kind, price: Price | None, principal: Principal) -> UsableModelOut:
    own_name = known.name.partition("/")[2]
    named = from_name(provider, own_name)
    chats = kind == "chat"
    return UsableModelOut(
        name=known.name,
        provider=provider,
        kind=kind,
        context_tokens=known.context_tokens,
        max_output_tokens=known.max_output_tokens,
        tools=chats and (named.tools if known.tools is None else known.tools),
        images=chats and (named.images if known.images is None else known.images),
        structured_output=known.structured_output,
        reasoning=known.reasoning if known.reasoning is not None else (True if reasons(own_name) else None),
        temperature=known.temperature,
        deprecated=known.deprecated,
        retires_on=known.retires_on,
        price=None if price is None else _price_out(price, known),
        price_known=price is not None,
        own_key=uses_own_key(principal, known.name),
    )


def _price_out(price: Price, known: Model) -> PriceOut:
    return PriceOut(
        input_usd=float(price.input_usd),
        output_usd=float(price.output_usd),
        cached_input_usd=fields.usd(price.cached_input_usd),
        cache_write_usd=fields.usd(price.cache_write_usd),
        cache_write_1h_usd=fields.usd(price.cache_write_1h_usd),
        reasoning_usd=fields.usd(price.reasoning_usd),
        dearer_above_tokens=known.dearer_above_tokens,
        **{name: fields.usd(getattr(known, name)) for name in DEARER},
    )


routes = Router("/models", route_handlers=[list_usable_models])
