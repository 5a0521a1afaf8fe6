"""A pipeline as a tenant writes it down: named steps of five kinds, and which comes next.

    {"name": "refunds", "description": "…", "start": "sort", "steps": {
      "sort":  {"kind": "prompt", "prompt": "Refund or other? One word.\\n{{input}}", "next": "way"},
      "way":   {"kind": "router", "by": "{{steps.sort}}", "cases": {"refund": "look"}, "otherwise": "talk"},
      "look":  {"kind": "tool", "tool": "get_order", "arguments": {"code": "{{input}}"}, "next": "talk"},
      "talk":  {"kind": "agent", "agent": "AgentDebt", "input": "{{input}}\\n{{steps.look}}"}}}

Not for: whether it makes sense (`checking.py`).
"""

import re
from collections.abc import Mapping
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from schema.errors import InputError

MAX_STEPS = 50
MAX_BYTES = 256 * 1024
MAX_DEPTH = 16
NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,63}")

Text = Annotated[str, Meta(max_length=20_000)]
Name = Annotated[str, Meta(min_length=1, max_length=200)]
Target = Annotated[str, Meta(max_length=64)]


class Step(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, tag_field="kind"):
    """Base of all steps."""


class AgentStep(Step, frozen=True, tag="agent"):
    """An agent answers `input`; `auto` is whom the router finds."""

    agent: Name
    input: Text = "{{input}}"
    next: Target | None = None


class ToolStep(Step, frozen=True, tag="tool"):
    """A tool is called. One that fails ends the run; if it is `optional`, its text is why it failed and the run goes on."""

    tool: Name
    arguments: dict[str, Any] = {}
    optional: bool = False
    next: Target | None = None


class PromptStep(Step, frozen=True, tag="prompt"):
    """A model answers `prompt`, and nothing else is shown to it. `model` is a full name, none is the job's."""

    prompt: Annotated[Text, Meta(min_length=1)]
    model: Name | None = None
    next: Target | None = None


class RouterStep(Step, frozen=True, tag="router"):
    """Goes to the case that `by` is, or else to the longest case that stands in it as words, or else to `otherwise`. Small
    and capital letters, spaces and a full stop don't matter."""

    by: Text
    cases: dict[Annotated[str, Meta(min_length=1, max_length=200)], Target]
    otherwise: Target


class ParallelStep(Step, frozen=True, tag="parallel"):
    """Runs several lists of steps side by side and goes on when all are done."""

    branches: dict[Annotated[str, Meta(min_length=1, max_length=64)], list[Target]]
    next: Target | None = None


AnyStep = AgentStep | ToolStep | PromptStep | RouterStep | ParallelStep
KINDS = ("agent", "tool", "prompt", "router", "parallel")


class Definition(msgspec.Struct, frozen=True, kw_only=True):
    """A whole pipeline."""

    name: str
    start: str
    steps: dict[str, AnyStep]
    description: str = ""


def read_definition(raw: Mapping[str, Any]) -> Definition:
    """Return a definition with its steps typed. Raises InputError whose field names the place (`steps.look.tool`)."""
    _refuse_masses(raw)
    steps = raw.get("steps")
    if not isinstance(steps, dict) or not 1 <= len(steps) <= MAX_STEPS:
        raise InputError(f"steps must be an object with 1 to {MAX_STEPS} steps by name.", field="steps")
    _check_names(steps)
    return Definition(
        name=_text(raw, "name", 64),
        description=_text(raw, "description", 2000),
        start=_text(raw, "start", 64),
        steps={name: _step(step, f"steps.{name}") for name, step in steps.items()},
    )


def _refuse_masses(raw: Mapping[str, Any]) -> None:
    """Measured before anything is read, and without recursion."""
    level: list[Any] = [raw]
    for _ in range(MAX_DEPTH):
        level = [i for v in level if isinstance(v, dict | list) for i in (v.values() if isinstance(v, dict) else v)]
        if not level:
            break
    else:
        raise InputError(f"The definition is nested deeper than {MAX_DEPTH} levels.", field="steps")
    if len(msgspec.json.encode(raw)) > MAX_BYTES:
        raise InputError(f"The definition has more than {MAX_BYTES // 1024} KB; make prompts shorter.", field="steps")


def _check_names(steps: Mapping[Any, Any]) -> None:
    seen: dict[str, str] = {}
    for name in steps:
        if not isinstance(name, str) or not NAME.fullmatch(name):
            said = f"{str(name)[:64]!r} is no name for a step: a letter, then up to 63 of a-z 0-9 _ -."
            raise InputError(said, field="steps")
        alike = seen.setdefault(name.casefold(), name)
        if alike != name:
            raise InputError(f"The steps {alike} and {name} have the same name but for case.", field=f"steps.{name}")


def _text(raw: Mapping[str, Any], field: str, longest: int) -> str:
    value = raw.get(field, "")
    if not isinstance(value, str) or len(value) > longest:
        raise InputError(f"{field} must be a text of up to {longest} characters.", field=field)
    return value


def _step(raw: Any, field: str) -> AnyStep:
    if not isinstance(raw, dict) or raw.get("kind") not in KINDS:
        said = f"{field} must be an object with a kind: {', '.join(KINDS)}."
        raise InputError(said, field=f"{field}.kind" if isinstance(raw, dict) else field)
    try:
        return msgspec.convert(raw, AnyStep)  # type: ignore[return-value]
    except msgspec.ValidationError as error:
        said, _, path = str(error).partition(" - at ")
        place = field + (at[1] if (at := re.search(r"\$([^`]*)", path)) else "")
        if named := re.search(r"(?:missing required|contains unknown) field `([^`]{1,80})`", said):
            place = f"{place}.{named[1]}"
        raise InputError(f"{place} can't be used: {said[0].lower()}{said[1:]}.", field=place) from None
