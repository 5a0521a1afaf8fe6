"""What Ollama's /api/show tells of a model, as capabilities."""

from typing import Any

import msgspec

from graphs.providers.capabilities import Capabilities
from graphs.providers.http.vendor_call import decode_answer


class _Details(msgspec.Struct):
    family: str = ""
    families: list[str] | None = None


class _Shown(msgspec.Struct):
    capabilities: list[str] | None = None
    template: str = ""
    details: _Details | None = None
    model_info: dict[str, Any] | None = None


_decode = msgspec.json.Decoder(_Shown).decode
_SEEING = frozenset({"clip", "mllama"})


def read_shown(provider: str, data: bytes) -> Capabilities:
    """Capabilities from the answer; before 0.6.4 it lists none, and the prompt template tells: it knows tools or not.

    Raises ProviderGarbage.
    """
    shown = decode_answer(provider, _decode, data)
    lengths = [
        value
        for key, value in (shown.model_info or {}).items()
        if key.endswith(".context_length") and isinstance(value, int)
    ]
    context = max(lengths, default=None)
    if shown.capabilities is not None:
        return Capabilities("tools" in shown.capabilities, "vision" in shown.capabilities, context)
    families = {shown.details.family, *(shown.details.families or ())} if shown.details else set()
    return Capabilities(".Tools" in shown.template, bool(families & _SEEING), context)
