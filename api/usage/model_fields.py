"""Fields of models that several routes have."""

from datetime import date
from decimal import Decimal
from typing import Annotated

from msgspec import Meta

from schema.model_catalog.catalog import Kind

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
ReasoningUsd = Annotated[float, _usd("of reasoning", otherwise=AS_OUTPUT, example=0.6)]
DearerAboveTokens = Annotated[
    int,
    Meta(
        description="A prompt of more tokens costs more at the provider than these prices say, by which it is charged all the "
        "same; null if none does."
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
