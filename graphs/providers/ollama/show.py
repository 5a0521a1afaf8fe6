"""Parses the response of Ollama's /api/show."""

from typing import Any

import msgspec

from graphs.providers.capabilities import Capabilities
from graphs.providers.http.vendor_client import decode_response


class _Details(msgspec.Struct):
    family: str = ""
    families: list[str] | None = None


class _ShowResponse(msgspec.Struct):
    capabilities: list[str] | None = None
    template: str = ""
    details: _Details | None = None
    model_info: dict[str, Any] | None = None


_decode = msgspec.json.Decoder(_ShowResponse).decode
_VISION_FAMILIES = frozenset({"clip", "mllama"})


def parse_show(provider: str, data: bytes) -> Capabilities:
    """Return a model's capabilities. Versions before 0.6.4 list none; then the prompt template tells about tools.

    Raises ProviderInvalidResponse.
    """
    shown = decode_response(provider, _decode, data)
    lengths = [
        value
        for key, value in (shown.model_info or {}).items()
        if key.endswith(".context_length") and isinstance(value, int)
    ]
    context = max(lengths, default=None)
    if shown.capabilities is not None:
        return Capabilities("tools" in shown.capabilities, "vision" in shown.capabilities, context)
    families = {shown.details.family, *(shown.details.families or ())} if shown.details else set()
    return Capabilities(".Tools" in shown.template, bool(families & _VISION_FAMILIES), context)
