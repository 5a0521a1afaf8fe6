"""`GET /v1/models` and `GET /v1/models/{id}`: models, agents and aliases that can be sent as `model`."""

from typing import Annotated, Any, Literal

import msgspec
from litestar import Router, get
from litestar.params import PathParameter, QueryParameter
from msgspec import Meta

from api.anthropic.models import (
    DEFAULT_LIMIT,
    VERSION_HEADER,
    AnthropicModelOut,
    AnthropicModelsOut,
    anthropic_model,
    page_of,
)
from api.auth.principals import MayReadModels, Principal
from api.grants.model_access import AGENT, list_granted_models, resolve_model
from api.http.bodies.json_body import JsonRequest
from api.http.errors import PROVIDER_FAILURES, problems
from api.openai.embeddings import LOCAL_MODEL
from api.openapi.operations import described
from api.resources import AppResources, Resources
from graphs.providers.capabilities import named_capabilities
from graphs.providers.settings import AUTO
from schema.errors import UnknownModel
from schema.events.base import Notice
from schema.events.notices import notice_for_model

Capability = Literal["chat", "tools", "images", "embeddings"]
Wanted = Annotated[
    Literal["chat", "embeddings", "all"],
    QueryParameter(description="Which models to list: those for chats, those for embeddings, or all."),
]

ModelId = Annotated[
    str, PathParameter(description="Id of the model with its slashes, or a bare name of the default provider.")
]


Limit = Annotated[int, QueryParameter(ge=1, le=1000, description="Models on a page, in Anthropic's shape.")]
Place = Annotated[
    str | None, QueryParameter(max_length=300, description="The model after or before it, in Anthropic's shape.")
]


class ModelOut(msgspec.Struct, frozen=True):
    """A model, or an agent that can be used like one."""

    id: Annotated[
        str,
        Meta(
            description="Name to send as `model`: `provider/name`; `agent/NAME` for an agent; `auto` for the agent or model "
            "that fits the question."
        ),
    ]
    created: Annotated[int, Meta(description="When it was created, in seconds since 1970; 0 if unknown.")]
    owned_by: Annotated[str, Meta(description="The provider; `headrace` for agents and `auto`.")]
    object: Annotated[Literal["model"], Meta(description="Always `model`.")] = "model"
    capabilities: Annotated[
        tuple[Capability, ...],
        Meta(
            description="Not in OpenAI's API: what it can do, as far as its name tells: `chat`, and then perhaps `tools` and "
            "`images`; or `embeddings`; or nothing of these."
        ),
    ] = ("chat",)
    notice: Annotated[
        Notice | msgspec.UnsetType,
        Meta(description="Not in OpenAI's API: on `offline/extractive`, says how to connect a language model."),
    ] = msgspec.UNSET


class ModelsOut(msgspec.Struct, frozen=True):
    """A list of models."""

    data: Annotated[list[ModelOut], Meta(description="The models.")]
    object: Annotated[Literal["list"], Meta(description="Always `list`.")] = "list"


MODEL_EXAMPLE: dict[str, Any] = {
    "id": "ollama/llama3.2:3b",
    "created": 1_727_222_400,
    "owned_by": "ollama",
    "object": "model",
    "capabilities": ["chat", "tools"],
}
AUTO_MODEL_EXAMPLE = {"id": AUTO, "created": 0, "owned_by": "headrace", "object": "model", "capabilities": ["chat"]}


@get(
    "/",
    opt=described(response={"data": [MODEL_EXAMPLE, AUTO_MODEL_EXAMPLE], "object": "list"}),
    summary="List models",
    tags=["openai"],
)
async def list_models(
    request: JsonRequest,
    principal: MayReadModels,
    resources: AppResources,
    capability: Wanted = "chat",
    limit: Limit = DEFAULT_LIMIT,
    after_id: Place = None,
    before_id: Place = None,
) -> ModelsOut | AnthropicModelsOut:
    """Returns the models for chats that your tenant can use, of all providers that are reachable now, its agents, and `auto`.
    With `capability=embeddings` those that embed. Compatible with OpenAI's API; clients that send `anthropic-version` get
    Anthropic's shapes, of errors too."""
    models = await _models(resources, principal)
    models = [model for model in models if capability == "all" or capability in model.capabilities]
    if VERSION_HEADER in request.headers:
        return page_of([anthropic_model(one.id, one.created) for one in models], limit, after_id, before_id)
    return ModelsOut(models)


@get(
    "/{model_id:path}",
    responses=problems("model_unknown", *PROVIDER_FAILURES),
    opt=described(response=MODEL_EXAMPLE),
    summary="Get a model",
    tags=["openai"],
)
async def get_model(
    request: JsonRequest, model_id: ModelId, principal: MayReadModels, resources: AppResources
) -> ModelOut | AnthropicModelOut:
    """Compatible with OpenAI's API; clients that send `anthropic-version` get Anthropic's shapes, of errors too."""
    name = model_id.removeprefix("/")
    is_alias = name in (AUTO, LOCAL_MODEL) or name.startswith(AGENT)
    full_name = name if is_alias else await resolve_model(resources, principal, name)
    for model in await _models(resources, principal):
        if model.id == full_name:
            return anthropic_model(model.id, model.created) if VERSION_HEADER in request.headers else model
    raise UnknownModel(f"No such model: {name[:80]!r}. GET /v1/models lists the models you can use.", field="model")


async def _models(resources: Resources, principal: Principal) -> list[ModelOut]:
    listed = await list_granted_models(resources, principal)
    models = [
        ModelOut(
            model.id,
            model.created,
            model.provider,
            capabilities=named_capabilities(model.provider, model.name),
            notice=notice_for_model(model.id) or msgspec.UNSET,
        )
        for model in listed
    ]
    agents = [ModelOut(f"{AGENT}{name}", 0, "headrace") for name in sorted(principal.tenant.agents)]
    embedder = ModelOut(LOCAL_MODEL, 0, "headrace", capabilities=("embeddings",))  # needs no grant
    own = [*agents, ModelOut(AUTO, 0, "headrace")] if principal.tenant.models else []
    return [*models, *own, embedder]


routes = Router("/models", route_handlers=[list_models, get_model])
