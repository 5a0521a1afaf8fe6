"""`GET /v1/models` and `GET /v1/models/{id}`: what can be named as `model`."""

from typing import Literal

import msgspec
from litestar import Router, get
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import FromPath

from api.openai.errors import OpenAIErrorOut
from api.principals import SignedIn, signed_in
from api.resources import Opened, Resources
from api.submitting import resolve_model
from graphs.providers.settings import AUTO
from schema.errors import UnknownModel

NOT_FOUND = {404: ResponseSpec(OpenAIErrorOut, description="No such model.", generate_examples=False)}


class ModelOut(msgspec.Struct, frozen=True):
    """A model; `auto` stands for the default one."""

    id: str
    created: int
    owned_by: str
    object: Literal["model"] = "model"


class ModelsOut(msgspec.Struct, frozen=True):
    """OpenAI's list of models."""

    data: list[ModelOut]
    object: Literal["list"] = "list"


@get("/", summary="OpenAI's list of models", tags=["openai"])
async def list_(principal: SignedIn, resources: Opened) -> ModelsOut:
    """The models of all configured providers that answer now, and `auto`."""
    return ModelsOut(await _models(resources))


@get("/{model_id:path}", responses=NOT_FOUND, summary="OpenAI's model by id", tags=["openai"])
async def look(model_id: FromPath[str], principal: SignedIn, resources: Opened) -> ModelOut:
    """Ids have slashes in them (`provider/name`); a bare name of the default provider is found too."""
    wanted = model_id.removeprefix("/")
    full = wanted if wanted == AUTO else await resolve_model(resources, wanted)
    for model in await _models(resources):
        if model.id == full:
            return model
    raise UnknownModel(f"There is no model {wanted[:80]!r}. GET /v1/models lists what there is.", field="model")


async def _models(resources: Resources) -> list[ModelOut]:
    listed = await resources.providers.list_models()
    models = [ModelOut(model.id, model.created, model.provider) for model in listed]
    return [*models, ModelOut(AUTO, 0, "headrace")]


routes = Router("/models", route_handlers=[list_, look], guards=[signed_in])
