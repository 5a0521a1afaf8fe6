"""A pipeline as a tenant defines it: named steps of five kinds, and which comes next.

    {"name": "refunds", "description": "…", "start": "sort", "steps": {
      "sort":  {"kind": "prompt", "prompt": "Refund or other? One word.\\n{{input}}", "next": "way"},
      "way":   {"kind": "router", "by": "{{steps.sort}}", "cases": {"refund": "look"}, "otherwise": "talk"},
      "look":  {"kind": "tool", "tool": "get_order", "arguments": {"code": "{{input}}"}, "next": "talk"},
      "talk":  {"kind": "agent", "agent": "AgentDebt", "input": "{{input}}\\n{{steps.look}}"}}}

Not for: whether it makes sense (`validation.py`).
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
    """An agent answers `input`; with the agent `auto` the router chooses one."""

    agent: Name
    input: Text = "{{input}}"
    next: Target | None = None


class ToolStep(Step, frozen=True, tag="tool"):
    """Calls a tool. A failure ends the run, unless the step is `optional`: then the output's text says why it failed."""

    tool: Name
    arguments: dict[str, Any] = {}
    optional: bool = False
    next: Target | None = None


class PromptStep(Step, frozen=True, tag="prompt"):
    """A model answers `prompt` and sees nothing else. `model` is a full name; without one, the job's model answers."""

    prompt: Annotated[Text, Meta(min_length=1)]
    model: Name | None = None
    next: Target | None = None


class RouterStep(Step, frozen=True, tag="router"):
    """Goes to the case that equals `by`, else to the longest case that `by` contains as whole words, else to `otherwise`.
    Ignores letter case, extra spaces and punctuation at the ends."""

    by: Text
    cases: dict[Annotated[str, Meta(min_length=1, max_length=200)], Target]
    otherwise: Target


class ParallelStep(Step, frozen=True, tag="parallel"):
    """Runs several lists of steps in parallel and continues when all are done."""

    branches: dict[Annotated[str, Meta(min_length=1, max_length=64)], list[Target]]
    next: Target | None = None


AnyStep = AgentStep | ToolStep | PromptStep | RouterStep | ParallelStep
_ANY_STEP: Any = AnyStep  # type checkers take no union as an argument of `msgspec.convert`
KINDS = ("agent", "tool", "prompt", "router", "parallel")


class Definition(msgspec.Struct, frozen=True, kw_only=True):
    """A whole pipeline."""

    name: str
    start: str
    steps: dict[str, AnyStep]
    description: str = ""


def read_definition(raw: Mapping[str, Any]) -> Definition:
    """Return the definition with typed steps. Raises InputError with the path of the field (`steps.look.tool`)."""
    _check_size(raw)
    steps = raw.get("steps")
    if not isinstance(steps, dict) or not 1 <= len(steps) <= MAX_STEPS:
        raise InputError(f"steps must be an object with 1 to {MAX_STEPS} steps by name.", field="steps")
    _check_names(steps)
    return Definition(
        name=_read_text(raw, "name", 64),
        description=_read_text(raw, "description", 2000),
        start=_read_text(raw, "start", 64),
        steps={name: _read_step(step, f"steps.{name}") for name, step in steps.items()},
    )


def _check_size(raw: Mapping[str, Any]) -> None:
    """Checks depth and size before anything is parsed, and without recursion."""
    level: list[Any] = [raw]
    for _ in range(MAX_DEPTH):
        level = [i for v in level if isinstance(v, dict | list) for i in (v.values() if isinstance(v, dict) else v)]
        if not level:
            break
    else:
        raise InputError(f"The definition is nested deeper than {MAX_DEPTH} levels.", field="steps")
    if len(msgspec.json.encode(raw)) > MAX_BYTES:
        raise InputError(f"The definition is larger than {MAX_BYTES // 1024} KB; shorten its prompts.", field="steps")


def _check_names(steps: Mapping[Any, Any]) -> None:
    seen: dict[str, str] = {}
    for name in steps:
        if not isinstance(name, str) or not NAME.fullmatch(name):
            message = f"{str(name)[:64]!r} is not a valid step name; use a letter, then up to 63 of a-z 0-9 _ -."
            raise InputError(message, field="steps")
        same_name = seen.setdefault(name.casefold(), name)
        if same_name != name:
            raise InputError(
                f"The steps {same_name} and {name} differ only in letter case; rename one.", field=f"steps.{name}"
            )


def _read_text(raw: Mapping[str, Any], field: str, max_length: int) -> str:
    value = raw.get(field, "")
    if not isinstance(value, str) or len(value) > max_length:
        raise InputError(f"{field} must be a string of up to {max_length} characters.", field=field)
    return value


def _read_step(raw: Any, field: str) -> AnyStep:
    if not isinstance(raw, dict) or raw.get("kind") not in KINDS:
        message = f"{field} must be an object with a kind: one of {', '.join(KINDS)}."
        raise InputError(message, field=f"{field}.kind" if isinstance(raw, dict) else field)
    try:
        return msgspec.convert(raw, _ANY_STEP)
    except msgspec.ValidationError as error:
        message, _, location = str(error).partition(" - at ")
        location = field + (suffix[1] if (suffix := re.search(r"\$([^`]*)", location)) else "")
        if named := re.search(r"(?:missing required|contains unknown) field `([^`]{1,80})`", message):
            location = f"{location}.{named[1]}"
        raise InputError(f"{location} is invalid: {message[0].lower()}{message[1:]}.", field=location) from None
