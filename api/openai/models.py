"""`GET /v1/models` and `GET /v1/models/{id}`: what can be named as `model`."""

from typing import Literal

import msgspec
from litestar import Router, get
from litestar.params import FromPath

from api.errors import problems
from api.granted import AGENT, list_models, resolve_model
from api.openai.embeddings import LOCAL
from api.principals import MayReadModels, Principal
from api.resources import Opened, Resources
from graphs.providers.settings import AUTO
from schema.errors import UnknownModel
from schema.events import Notice
from schema.notices import notice_of


class ModelOut(msgspec.Struct, frozen=True):
    """A model, or an agent as `agent/NAME`; `auto` stands for whatever fits the question: an agent, or the default model.
    `notice` is headrace's own: on `offline/extractive` it says that no language model is connected, and how to connect one."""

    id: str
    created: int
    owned_by: str
    object: Literal["model"] = "model"
    notice: Notice | msgspec.UnsetType = msgspec.UNSET


class ModelsOut(msgspec.Struct, frozen=True):
    """OpenAI's list of models."""

    data: list[ModelOut]
    object: Literal["list"] = "list"


@get("/", summary="OpenAI's list of models", tags=["openai"])
async def list_(principal: MayReadModels, resources: Opened) -> ModelsOut:
    """The models that your tenant may use, of all providers that answer now, its agents, and `auto`."""
    return ModelsOut(await _models(resources, principal))


@get(
    "/{model_id:path}",
    responses=problems("not_found", "rate_limit_exceeded", "provider_failed", "provider_timeout"),
    summary="OpenAI's model by id",
    tags=["openai"],
)
async def look(model_id: FromPath[str], principal: MayReadModels, resources: Opened) -> ModelOut:
    """Ids have slashes in them (`provider/name`); a bare name of the default provider is found too."""
    wanted = model_id.removeprefix("/")
    named = wanted in (AUTO, LOCAL) or wanted.startswith(AGENT)
    full = wanted if named else await resolve_model(resources, principal, wanted)
    for model in await _models(resources, principal):
        if model.id == full:
            return model
    raise UnknownModel(f"There is no model {wanted[:80]!r}. GET /v1/models lists what there is.", field="model")


async def _models(resources: Resources, principal: Principal) -> list[ModelOut]:
    listed = await list_models(resources, principal)
    models = [
        ModelOut(model.id, model.created, model.provider, notice=notice_of(model.id) or msgspec.UNSET)
        for model in listed
    ]
    agents = [ModelOut(f"{AGENT}{name}", 0, "headrace") for name in sorted(principal.tenant.agents)]
    embedder = ModelOut(LOCAL, 0, "headrace")  # needs no grant
    own = [*agents, ModelOut(AUTO, 0, "headrace")] if principal.tenant.models else []
    return [*models, *own, embedder]


routes = Router("/models", route_handlers=[list_, look])
