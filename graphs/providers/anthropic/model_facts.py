"""What a Claude model takes: from the vendor's list of models where it says so, else from the model's name.

The names follow a pattern (claude-sonnet-4-5-20250929, claude-opus-5, claude-3-7-sonnet-latest), so models that don't exist
yet are taken for what the newest known ones are.
"""

import re
from dataclasses import dataclass, replace
from typing import Any

import msgspec

Json = dict[str, Any]
Version = tuple[int, int]

NEWEST: Version = (99, 0)
"""Of a model whose name has no version."""

CLAUDE = "claude"
OTHERS: Version = (4, 5)
"""Whatever else is served in this protocol takes what models of this version take, if anything."""

MAX_TOKENS_OF_OTHERS = 16_384

EFFORTS = ("low", "medium", "high", "xhigh", "max")
_VERSION = re.compile(r"-(\d{1,2})(?:[-.](\d{1,2}))?(?=[-@:.]|$)")
_FAMILY = re.compile(r"(opus|sonnet|haiku|[a-z]{4,})")
_LATE_SYSTEM_SINCE: dict[str, Version] = {"opus": (4, 8), "fable": (5, 0), "mythos": (5, 0)}


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """`max_tokens` is the longest answer. `adaptive`: the model decides how much it thinks, `budget`: it takes a number of
    tokens for that, `can_rest`: it can be told not to think. `efforts` are the levels that it takes, in order. `schemas`: it
    answers by a JSON Schema. `samples`: it takes temperature, top_p and top_k. `late_system`: system messages may stand
    among the others. `binds_thoughts`: a thought holds only for the conversation in which it was thought."""

    max_tokens: int
    context_tokens: int | None
    images: bool
    adaptive: bool
    budget: bool
    can_rest: bool
    efforts: tuple[str, ...]
    schemas: bool
    samples: bool
    late_system: bool
    binds_thoughts: bool


def facts_by_name(model: str) -> ModelFacts:
    """Return what a model's name tells."""
    version = _version(model)
    since = _LATE_SYSTEM_SINCE.get(_family(model), (5, 5))
    return ModelFacts(
        max_tokens=_longest_answer(version) if CLAUDE in model else MAX_TOKENS_OF_OTHERS,
        context_tokens=None,
        images=True,
        adaptive=version >= (4, 6),
        budget=(3, 7) <= version <= (4, 6),
        can_rest=version < (4, 7),
        efforts=_efforts(version, _family(model)),
        schemas=version >= (4, 5),
        samples=version < (4, 7),
        late_system=version >= since,
        binds_thoughts=version >= (5, 1),
    )


def facts_from(model: str, shown: Json) -> ModelFacts:
    """Return what the vendor says of a model; its name tells the rest."""
    known, can = facts_by_name(model), _object(shown.get("capabilities"))
    known = replace(
        known,
        max_tokens=_count(shown.get("max_tokens")) or known.max_tokens,
        context_tokens=_count(shown.get("max_input_tokens")),
    )
    if not can:
        return known
    thinking, effort = _object(can.get("thinking")), _object(can.get("effort"))
    types = _object(thinking.get("types"))
    return replace(
        known,
        images=_supported(can, "image_input", known.images),
        schemas=_supported(can, "structured_outputs", known.schemas),
        adaptive=_supported(types, "adaptive", known.adaptive),
        budget=_supported(types, "enabled", known.budget),
        can_rest=_supported(types, "disabled", known.can_rest),
        efforts=tuple(level for level in EFFORTS if _supported(effort, level, default=False)),
    )


def decode_model(data: bytes) -> Json:
    """Return what was sent about one model as an object. Raises what msgspec raises."""
    return _object(msgspec.json.decode(data))


def _version(model: str) -> Version:
    if CLAUDE not in model:
        return OTHERS
    found = _VERSION.search(model)
    return (int(found[1]), int(found[2] or 0)) if found else NEWEST


def _family(model: str) -> str:
    found = _FAMILY.search(model.lower().removeprefix("anthropic").replace("claude", ""))
    return found[0] if found else ""


def _longest_answer(version: Version) -> int:
    """By the table of models of 2026."""
    if version < (3, 5):
        return 4096
    if version < (3, 7):
        return 8192
    return 32_000 if version < (4, 5) else 64_000


def _efforts(version: Version, family: str) -> tuple[str, ...]:
    if version < (4, 5) or (version < (4, 6) and family != "opus"):
        return ()
    if version < (4, 6):
        return EFFORTS[:3]
    return EFFORTS if version >= (4, 7) else ("low", "medium", "high", "max")


def _supported(of: Json, name: str, default: bool) -> bool:
    says = _object(of.get(name)).get("supported")
    return says if isinstance(says, bool) else default


def _object(value: Any) -> Json:
    return value if isinstance(value, dict) else {}


def _count(value: Any) -> int | None:
    return value if type(value) is int and 0 < value < 10**9 else None
