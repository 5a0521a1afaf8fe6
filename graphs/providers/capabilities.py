"""What a model can do: from its row, else from its vendor, else from a small table.

A wrong guess does no harm: a model that refuses tools says so with `ToolsUnsupported`, and `NativeOrTextual` goes on in
writing. So what nobody knows counts as able to call tools, and not to see.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from graphs.providers.contract import Provider
from schema.errors import ProviderError


@dataclass(frozen=True, slots=True)
class Capabilities:
    """`tools`: it calls tools natively. `images`: it takes image parts. `context_tokens`: None when unknown."""

    tools: bool
    images: bool
    context_tokens: int | None = None


@runtime_checkable
class Describes(Protocol):
    """A provider that can be asked about a model."""

    async def describe(self, model: str) -> Capabilities | None:
        """None when it does not know the model, or does not say. Raises ProviderError."""
        ...


# By vendor: which models do not call tools, and which see, by their documentation in 2026. Vendors that are not here
# serve models of many makers; of those only the names tell.
_NO_TOOLS = {
    "openai": r"^(o1-mini|o1-preview|chatgpt-4o|gpt-3\.5-turbo-instruct|gpt-4o?-(mini-)?(search|audio|transcribe))",
    "cohere": r"^(command-light|command-nightly|c4ai-aya|aya)",
    "groq": r"(whisper|guard|compound)",
    "mistral": r"(embed|moderation|ocr)",
}
_SEES = {
    "openai": r"^(gpt-4o|gpt-4\.1|gpt-4-turbo|gpt-5|gpt-[6-9]|o1(?!-mini|-preview)|o3(?!-mini)|o4|chatgpt)",
    "anthropic": r"^claude",
    "google": r"^gemini",
}
_SEES_ELSEWHERE = re.compile(
    r"(vision|[-_]vl\b|vl-|llava|pixtral|gpt-4o|gpt-4\.1|gpt-5|claude|gemini|gemma-?3|llama-?4|moondream|minicpm-v)"
)
_NOTHING: Mapping[str, Any] = {}


async def capabilities(provider: Provider, model: str, row: Mapping[str, Any] | None = None) -> Capabilities:
    """What `model` (the vendor's own name) can do. `row` may say `tools`, `images` and `context_tokens`; None there
    leaves that to the vendor. Never raises for a vendor that is away: then the table decides."""
    said = row if row is not None else _NOTHING
    tools, images, context = said.get("tools"), said.get("images"), said.get("context_tokens")
    if tools is None or images is None or context is None:
        found = await _describe(provider, model) or from_table(provider.name, model)
        tools = found.tools if tools is None else tools
        images = found.images if images is None else images
        context = found.context_tokens if context is None else context
    return Capabilities(bool(tools), bool(images), context)


async def _describe(provider: Provider, model: str) -> Capabilities | None:
    if not isinstance(provider, Describes):
        return None
    try:
        return await provider.describe(model)
    except ProviderError:
        return None  # the table decides; calling the model will say what is wrong


def from_table(provider: str, model: str) -> Capabilities:
    """What is known without asking anyone."""
    name = model.lower()
    without = _NO_TOOLS.get(provider)
    sees = re.search(_SEES[provider], name) if provider in _SEES else _SEES_ELSEWHERE.search(name)
    return Capabilities(tools=without is None or not re.search(without, name), images=bool(sees))
