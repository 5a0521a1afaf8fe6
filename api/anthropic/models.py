"""`GET /v1/models` in Anthropic's shape, for clients that send `anthropic-version` (`api/openai/models.py` has the routes)."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

VERSION_HEADER = "anthropic-version"
DEFAULT_LIMIT = 20


class AnthropicModelOut(msgspec.Struct, frozen=True, kw_only=True):
    """A model, or an agent that can be used like one, in Anthropic's shape."""

    type: Annotated[Literal["model"], Meta(description="Always `model`.")] = "model"
    id: Annotated[str, Meta(description="Name to send as `model`.")]
    display_name: Annotated[str, Meta(description="The same.")]
    created_at: Annotated[str, Meta(description="When it was created; 1970 if unknown.")]
    lifecycle: Annotated[Literal["active"], Meta(description="Always `active`: others aren't listed.")] = "active"


class AnthropicModelsOut(msgspec.Struct, frozen=True, kw_only=True):
    """A page of models, in Anthropic's shape."""

    data: Annotated[list[AnthropicModelOut], Meta(description="The models.")]
    has_more: Annotated[bool, Meta(description="Whether there are more in the direction of the page.")]
    first_id: Annotated[str | None, Meta(description="The first model of the page; send it as `before_id`.")]
    last_id: Annotated[str | None, Meta(description="The last model of the page; send it as `after_id`.")]


def anthropic_model(model_id: str, created: int) -> AnthropicModelOut:
    """Return a model in Anthropic's shape."""
    at = datetime.fromtimestamp(created, UTC).isoformat().replace("+00:00", "Z")
    return AnthropicModelOut(id=model_id, display_name=model_id, created_at=at)


def page_of(
    models: Sequence[AnthropicModelOut], limit: int, after_id: str | None, before_id: str | None
) -> AnthropicModelsOut:
    """Return the page after one model or before another. An unknown one counts as none."""
    ids = [model.id for model in models]
    if before_id in ids:
        end = ids.index(before_id)
        page, has_more = models[max(0, end - limit) : end], end > limit
    else:
        start = ids.index(after_id) + 1 if after_id in ids else 0
        page, has_more = models[start : start + limit], start + limit < len(models)
    first, last = (page[0].id, page[-1].id) if page else (None, None)
    return AnthropicModelsOut(data=list(page), has_more=has_more, first_id=first, last_id=last)
