"""What a model can do: from its row, else from its vendor, else from a small table.

A wrong guess does no harm: a model that refuses tools raises `ToolsUnsupported`, and `NativeOrPromptedTools` falls back to
prompted tools. So an unknown model counts as one that can call tools, and can't see images.
"""

import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol, cast

from graphs.providers.contract import Provider
from graphs.providers.errors import ModelUnknown
from graphs.providers.langchain.described import described_model
from graphs.providers.langchain.listing import NAME
from schema.errors import ProviderError
from schema.ttl_cache import TtlCache

MAX_KNOWN_MODELS, KNOWN_TTL_S = 1000, 300.0


@dataclass(frozen=True, slots=True)
class Capabilities:
    """`tools`: it calls tools natively. `images`: it takes image parts. `context_tokens`: None when unknown."""

    tools: bool
    images: bool
    context_tokens: int | None = None


class DescribesModels(Protocol):
    """A provider that can be asked about a model."""

    async def describe(self, model: str) -> Capabilities | None:
        """Return None if it doesn't know the model or doesn't say. Raises ProviderError."""
        ...


class KnownModels:
    """What one provider has said of its models, kept for five minutes: that changes only when a model is replaced under its
    name. That it could say nothing of one is kept for `missing_ttl_s`, so that not every chat asks before its first token; not
    at all where models come by being asked for."""

    def __init__(self, *, missing_ttl_s: float = 0.0) -> None:
        self._known: TtlCache[str, Capabilities] = TtlCache(MAX_KNOWN_MODELS, KNOWN_TTL_S)
        self._missing: TtlCache[str, bool] = TtlCache(MAX_KNOWN_MODELS, missing_ttl_s)

    async def load(self, model: str, ask: Callable[[], Awaitable[Capabilities]]) -> Capabilities | None:
        """Return what is known of a model, or what `ask` returns; None if that raises ModelUnknown, or lately raised an error.
        Raises the other errors of `ask`."""
        if (known := self._known.get(model)) is not None:
            return known
        if self._missing.get(model):
            return None
        try:
            found = await ask()
        except ProviderError as error:
            self._missing.put(model, True)
            if isinstance(error, ModelUnknown):
                return None
            raise
        self._known.put(model, found)
        return found


# By vendor: models that can't call tools, and models that see images, by the documentation of 2026. Vendors that are not
# listed serve models of many makers, of which only the names tell.
_NO_TOOLS = {
    "openai": r"^(o1-mini|o1-preview|chatgpt-4o|gpt-3\.5-turbo-instruct|gpt-4o?-(mini-)?(search|audio|transcribe))",
    "cohere": r"^(command-light|command-nightly|c4ai-aya|aya)",
    "groq": r"(whisper|guard|compound)",
    "mistral": r"(embed|moderation|ocr)",
}
_VISION_MODELS = {
    "openai": r"^(gpt-4o|gpt-4\.1|gpt-4-turbo|gpt-5|gpt-[6-9]|o1(?!-mini|-preview)|o3(?!-mini)|o4|chatgpt)",
    "anthropic": r"^claude",
    "google": r"^gemini",
}
_VISION_NAMES = re.compile(
    r"(vision|[-_]vl\b|vl-|llava|pixtral|gpt-4o|gpt-4\.1|gpt-5|claude|gemini|gemma-?3|llama-?4|moondream|minicpm-v)"
)
_REASONS = re.compile(
    r"(^|/)(gpt-[5-9]|o[1-9]\b|gemini-(2\.5|[3-9])|claude)|gpt-oss|deepseek-(r1|reasoner|v[4-9])|qwen-?3|qwq|magistral"
)
_NO_ROW: Mapping[str, Any] = {}


async def capabilities(provider: Provider, model: str, row: Mapping[str, Any] | None = None) -> Capabilities:
    """Return what `model` (the vendor's own name) can do. `row` may set `tools`, `images` and `context_tokens`; None leaves
    that to the vendor. If the vendor is unavailable, the table decides."""
    stated = row if row is not None else _NO_ROW
    tools, images, context = stated.get("tools"), stated.get("images"), stated.get("context_tokens")
    if tools is None or images is None or context is None:
        found = await _describe(provider, model) or from_name(provider.name, model)
        tools = found.tools if tools is None else tools
        images = found.images if images is None else images
        context = found.context_tokens if context is None else context
    return Capabilities(bool(tools), bool(images), context)


async def _describe(provider: Provider, model: str) -> Capabilities | None:
    if not hasattr(provider, "describe"):  # `isinstance` of a protocol takes ten times as long, in each chat
        return None
    try:
        return await cast(DescribesModels, provider).describe(model)
    except ProviderError:
        return None  # the table decides; calling the model will show what is wrong


_EMBEDS = re.compile(r"(embed|\bbge-|minilm|\be5-|\bgte-)")
_NO_CHAT = re.compile(r"(rerank|whisper|\btts\b|-tts|transcribe|dall-e|gpt-image|moderation|\bsora\b|realtime)")


def can_chat(model: str) -> bool:
    """Whether a listed model is for chat, by its name; vendors list embedding models and others among them."""
    name = model.lower()
    return not (_EMBEDS.search(name) or _NO_CHAT.search(name))


def named_capabilities(provider: str, model: str) -> tuple[Literal["chat", "tools", "images", "embeddings"], ...]:
    """Return what a listed model can do, as far as its name tells, or its class, if that was asked."""
    if provider == NAME and (said := described_model(model)) is not None:
        if said.kind == "embeddings":
            return ("embeddings",)
        return ("chat", *(("tools",) if said.tools else ()), *(("images",) if said.images else ()))
    if _EMBEDS.search(model.lower()):
        return ("embeddings",)
    if not can_chat(model):
        return ()
    can = from_name(provider, model)
    return ("chat", *(("tools",) if can.tools else ()), *(("images",) if can.images else ()))


def reasons(model: str) -> bool:
    """Whether a model takes an effort of reasoning, by its own name. Others refuse a request that names one."""
    return _REASONS.search(model.lower()) is not None


def from_name(provider: str, model: str) -> Capabilities:
    """Return what the names of provider and model tell."""
    name = model.lower()
    pattern = _NO_TOOLS.get(provider)
    vision = re.search(_VISION_MODELS[provider], name) if provider in _VISION_MODELS else _VISION_NAMES.search(name)
    return Capabilities(tools=pattern is None or not re.search(pattern, name), images=bool(vision))
