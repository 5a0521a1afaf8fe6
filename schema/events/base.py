"""The base of all events (`schema/events/__init__.py`), and the shapes that several of them share."""

from typing import Annotated, ClassVar, Literal

import msgspec
from msgspec import Meta, UnsetType

from schema.model_catalog.prices import LONG_PROMPT


class Event(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """Base of all events; `type` is the wire name. Fields with their default value are omitted from the JSON."""

    type: ClassVar[str] = ""
    ends: ClassVar[bool] = False


class Reason(msgspec.Struct, frozen=True, omit_defaults=True):
    """Why a job or a document failed: a stable code and a message."""

    code: Annotated[str, Meta(description="A stable code, such as `provider_timeout`.")]
    message: Annotated[str, Meta(description="What went wrong, for people.")]
    retry_after_s: Annotated[
        float | None, Meta(description="How long the model provider asked to wait before another request, if it did.")
    ] = None
    vendor_code: Annotated[
        str | None, Meta(description="The model provider's own code of the error, if it gave one.")
    ] = None
    vendor_param: Annotated[
        str | None, Meta(description="The parameter that the model provider named as wrong, if it did.")
    ] = None


class Notice(msgspec.Struct, frozen=True):
    """Information about an answer besides its text: a stable code and a message. `no_language_model`: no language model is
    connected, so the answer only quotes documents and tool results. `agents_off`: the request named a model, so no agent
    took part. `output_format_missed`: the answer doesn't have the required format, also after its correction.
    `images_not_shown`: the agent's model isn't known to see images, so it was shown their names. `not_in_sources`: the answer
    has figures or quotations that are in none of its sources and tools' results."""

    code: Annotated[
        Literal["no_language_model", "agents_off", "output_format_missed", "images_not_shown", "not_in_sources"],
        Meta(description="A stable code."),
    ]
    message: Annotated[str, Meta(description="What it means, and how to change it.")]


class RoutingScore(msgspec.Struct, frozen=True):
    """How likely a question is an agent's."""

    agent: Annotated[str, Meta(description="The agent; `chat` is the model alone.")]
    score: Annotated[float, Meta(description="The router's probability, from 0 to 1.")]


OwnKeyTokens = Annotated[
    int, Meta(description="Of these tokens, those with the tenant's own provider key; they cost nothing.")
]


CachedTokens = Annotated[int, Meta(description="Of the tokens that were sent, those from the provider's cache.")]
CacheWriteTokens = Annotated[
    int, Meta(description="Of the tokens that were sent, those put into the provider's cache.")
]
CacheWrite1hTokens = Annotated[
    int, Meta(description="Of the tokens put into the provider's cache, those that it keeps for an hour.")
]
PromptTokens = Annotated[
    int,
    Meta(
        description=f"The prompt of each of these calls, where it had more than {LONG_PROMPT:,} tokens: it may cost more."
    ),
]
ReasoningTokens = Annotated[int, Meta(description="Of the tokens that came back, those of the model's reasoning.")]

COST = Meta(
    description="What it cost in US dollars, to 9 decimal places, at the prices of the models that were called; null if any of "
    "them has no known price (`GET /api/models`). Tokens with the tenant's own provider key cost nothing."
)
CostUsd = Annotated[float | None, COST]
CostIfTold = Annotated[float | UnsetType | None, COST]
"""As `CostUsd`; older jobs have none."""


class ModelUsage(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Tokens that one of the models used."""

    model: Annotated[str, Meta(description="The model, as `provider/name`.")]
    input_tokens: Annotated[int, Meta(description="Tokens that were sent to it.")]
    output_tokens: Annotated[int, Meta(description="Tokens that it sent back.")]
    own_key_input_tokens: OwnKeyTokens = 0
    own_key_output_tokens: OwnKeyTokens = 0
    cached_tokens: CachedTokens = 0
    cache_write_tokens: CacheWriteTokens = 0
    reasoning_tokens: ReasoningTokens = 0
    cache_write_1h_tokens: CacheWrite1hTokens = 0
    prompt_tokens: PromptTokens = 0
