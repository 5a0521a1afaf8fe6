"""Fields of models that several routes have."""

from datetime import date
from decimal import Decimal
from typing import Annotated

from msgspec import Meta

from schema.model_catalog.catalog import Kind
from schema.model_catalog.prices import LONG_PROMPT

MAX_TOKENS = 2**31 - 1


def _usd(of: str, *, otherwise: str = "", example: float) -> Meta:
    description = f"US dollars per million tokens {of}, with up to 6 decimal places{otherwise}."
    return Meta(ge=0, le=1_000_000, description=description, examples=[example])


def _flag(what: str) -> Meta:
    return Meta(description=f"Whether the model {what}; null if unknown.")


InputUsd = Annotated[float, _usd("of input", example=0.15)]
OutputUsd = Annotated[float, _usd("of output", example=0.6)]
AS_INPUT, AS_OUTPUT = "; null if they cost what input does", "; null if they cost what output does"
CachedInputUsd = Annotated[float, _usd("read from the provider's cache", otherwise=AS_INPUT, example=0.075)]
CacheWriteUsd = Annotated[float, _usd("put into the provider's cache", otherwise=AS_INPUT, example=0.1875)]
AS_WRITTEN = "; null if they cost what others that are put there do"
CacheWrite1hUsd = Annotated[float, _usd("kept in that cache for an hour", otherwise=AS_WRITTEN, example=0.3)]
DearerInputUsd = Annotated[float, _usd("of input of a call with such a prompt", example=0.3)]
DearerOutputUsd = Annotated[float, _usd("of output of such a call", example=0.9)]
DearerCachedInputUsd = Annotated[float, _usd("read from the cache by such a call", otherwise=AS_INPUT, example=0.15)]
DearerCacheWriteUsd = Annotated[float, _usd("put into the cache by such a call", otherwise=AS_INPUT, example=0.375)]
DearerCacheWrite1hUsd = Annotated[
    float, _usd("kept in the cache for an hour by such a call", otherwise=AS_WRITTEN, example=0.6)
]
ReasoningUsd = Annotated[float, _usd("of reasoning", otherwise=AS_OUTPUT, example=0.6)]
DearerAboveTokens = Annotated[
    int,
    Meta(
        ge=LONG_PROMPT,
        le=MAX_TOKENS,
        description="A call whose prompt has more tokens costs the `dearer_` prices, or what others do where those are "
        "unknown; null if none costs more.",
    ),
]
ModelKind = Annotated[Kind, Meta(description="What it is for: chats, or embedding texts.")]
ContextTokens = Annotated[
    int, Meta(ge=1, le=MAX_TOKENS, description="Size of the context window in tokens; null to ask the provider.")
]
MaxOutputTokens = Annotated[int, Meta(ge=1, le=MAX_TOKENS, description="Most tokens of an answer; null if unknown.")]
Tools = Annotated[bool, Meta(description="Whether the model can call tools; null to ask the provider.")]
Images = Annotated[bool, Meta(description="Whether the model can read images; null to ask the provider.")]
StructuredOutput = Annotated[bool, _flag("can be held to a JSON Schema")]
Reasoning = Annotated[bool, _flag("reasons before it answers")]
Temperature = Annotated[bool, _flag("takes a temperature")]
RetiresOn = Annotated[date, Meta(description="The day on which its provider takes it out of service; null if unknown.")]


def usd(price: Decimal | None) -> float | None:
    """Return a price as JSON has it: with at most 14 digits, its shortest decimal form is exact."""
    return None if price is None else float(price)
