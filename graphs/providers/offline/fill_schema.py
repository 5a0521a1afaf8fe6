"""Fills the JSON Schema of a `response_format` from what is at hand: plans, checks, tables. Rules 17 to 19 of `offline.py`."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from graphs.providers.offline.conversation import Conversation
from graphs.providers.offline.fill_arguments import Sources, choose_enum, fill, fits_type, plain, type_of
from graphs.providers.offline.phrases import phrase
from graphs.providers.offline.results import failure, unwrapped
from graphs.providers.offline.texts import listed, pick
from graphs.providers.offline.tool_choice import Plan, Tool

MAX_DEPTH = 8
_TOOL = listed("tool tools function agent action")
_TASK = listed("task description goal step title question instruction query objective subtask what purpose")
_ARGUMENTS = listed("arguments args input inputs parameters params")
_NUMBER = listed("id step index number order n")
_WAITS = listed("depends dependencies after requires needs")
_SAID = listed("answer text summary response message content reply notes note explanation conclusion markdown")
_STEPS = listed("steps plan tasks subtasks actions")
_NONE = listed("none answer finish respond final null")


@dataclass(frozen=True)
class Form:
    """What forms are filled from. `said` is the answer in words."""

    talk: Conversation
    plan: Plan
    tools: Sequence[Tool]
    said: str


@dataclass(frozen=True)
class Step:
    """One step of a plan; the last one has no tool when there would be one step only."""

    number: int
    task: str
    tool: str | None
    arguments: dict[str, Any]


def steps_of(form: Form) -> list[Step]:
    """One step a call, or a part of the question; at least two, the last of which is to answer."""
    steps = [Step(i, part, call.name, call.arguments) for i, (part, call) in enumerate(form.plan.calls, 1)]
    if not steps:
        steps = [Step(i, part, None, {}) for i, part in enumerate(form.talk.parts or (form.talk.question,), 1)]
    if len(steps) == 1:
        steps.append(Step(2, phrase("done", form.talk.question), None, {}))
    return steps


def fill_form(response_format: Mapping[str, Any], form: Form) -> Any:
    """A value for a response format; without a schema a plan where the conversation asks for one, else the answer."""
    match response_format:
        case {"type": "json_schema", "json_schema": {"schema": dict() as schema}}:
            return _value("", schema, Spot(form, schema))
    asked = plain(f"{form.talk.instructions} {form.talk.question}").split()
    if "plan" in asked or {"ke", "hoach"} <= set(asked):
        return {
            "steps": [
                {"id": s.number, "task": s.task, "tool": s.tool, "arguments": s.arguments} for s in steps_of(form)
            ]
        }
    results = [unwrapped(call.data) for call in form.talk.answered]
    return {"answer": form.said, **({"data": results[0] if len(results) == 1 else results} if results else {})}


def asks_for_agent(response_format: Mapping[str, Any] | None) -> bool:
    """Whether the one thing that is asked for is the name of an agent: a routing request."""
    match response_format:
        case {"json_schema": {"schema": {"properties": dict() as properties}}}:
            return set(properties) == {"agent"}
    return False


@dataclass(frozen=True)
class Spot:
    """A place in a form that is being filled: `root` is the whole schema, `step` the step of the plan that is written."""

    form: Form
    root: Mapping[str, Any]
    step: Step | None = None
    depth: int = 0

    def inside(self, step: Step | None = None) -> "Spot":
        """The place one level down."""
        return Spot(self.form, self.root, step or self.step, self.depth + 1)


def _value(name: str, schema: Mapping[str, Any], at: Spot) -> Any:
    """A value for one schema."""
    schema = _resolved(schema, at.root)
    if at.depth > MAX_DEPTH:
        return None
    if "const" in schema:
        return schema["const"]
    if schema.get("enum"):
        return _option(name, schema["enum"], at)
    fillers = {
        "object": _object,
        "array": _array,
        "boolean": _flag,
        "integer": _number,
        "number": _number,
        "null": _nothing,
    }
    return fillers.get(type_of(schema), _string)(name, schema, at)


def _resolved(schema: Mapping[str, Any], root: Mapping[str, Any]) -> Mapping[str, Any]:
    """The schema behind `$ref` within the same document, and the first of several that is not null."""
    for _ in range(MAX_DEPTH):
        ref = schema.get("$ref")
        options = [one for one in schema.get("anyOf") or schema.get("oneOf") or () if one.get("type") != "null"]
        if isinstance(ref, str) and ref.startswith("#/"):
            found: Any = root
            for key in ref[2:].split("/"):
                found = found.get(key, {}) if isinstance(found, dict) else {}
            schema = found
        elif options:
            schema = options[0]
        else:
            break
    return schema


def _nothing(name: str, schema: Mapping[str, Any], at: Spot) -> None:
    return None


def _flag(name: str, schema: Mapping[str, Any], at: Spot) -> bool:
    known = at.form.talk.fields.get(plain(name))
    return known if isinstance(known, bool) else any(not failure(call.data) for call in at.form.talk.answered)


def _object(name: str, schema: Mapping[str, Any], at: Spot) -> dict[str, Any]:
    if at.step is not None and _is(name, _ARGUMENTS):
        return at.step.arguments
    properties = schema.get("properties")
    if not isinstance(properties, dict):
        return {}
    required = schema.get("required")
    required = list(properties) if required is None else required
    filled: dict[str, Any] = {}
    for key, inner in properties.items():
        value = _value(key, inner, at.inside())
        if key in required or value not in (None, "", [], {}):
            filled[key] = value
    return filled


def _array(name: str, schema: Mapping[str, Any], at: Spot) -> list[Any]:
    items = _resolved(schema.get("items") or {}, at.root)
    if _is(name, _WAITS):
        return []
    steps = steps_of(at.form) if at.step is None and _is(name, _STEPS) else []
    if type_of(items) == "object":
        found: list[Any] = [] if at.step is not None else _records(items, at.form)
        usable = [s for s in steps if s.tool is not None or not _needs_tool(items)]
        found = found or [_value("", items, at.inside(step)) for step in usable]
    elif _is(name, _TOOL):
        found = list(dict.fromkeys(call.name for _, call in at.form.plan.calls))
    elif steps:
        found = [step.task for step in steps]
    else:
        quotes = at.step is None and type_of(items) == "string"
        found = pick(at.form.talk.question, at.form.talk.at_hand) if quotes else []
    return found[: schema.get("maxItems", len(found))]


def _needs_tool(items: Mapping[str, Any]) -> bool:
    """Whether each step must name one of the tools, so that a step without one can't be written."""
    for key, inner in (items.get("properties") or {}).items():
        if _is(key, _TOOL) and isinstance(inner, dict) and inner.get("enum"):
            return not (None in inner["enum"] or _NONE & {str(one).casefold() for one in inner["enum"]})
    return False


def _records(items: Mapping[str, Any], form: Form) -> list[dict[str, Any]]:
    """The records of a result that have a field which the items ask for, with just these fields."""
    wanted = list(items.get("properties") or ())
    for call in form.talk.answered:
        data = unwrapped(call.data)
        for one in [data, *(data.values() if isinstance(data, dict) else ())]:
            if isinstance(one, list) and one and isinstance(one[0], dict) and (not wanted or set(wanted) & set(one[0])):
                records = [record for record in one if isinstance(record, dict)]
                return [{key: record.get(key) for key in wanted or record} for record in records]
    return []


def _option(name: str, options: Sequence[Any], at: Spot) -> Any:
    if at.step is not None and _is(name, _TOOL):
        if at.step.tool in options:
            return at.step.tool
        return next((one for one in options if one is None or str(one).casefold() in _NONE), options[0])
    chosen = choose_enum(options, at.form.talk.question)
    return options[0] if chosen is None else chosen


def _number(name: str, schema: Mapping[str, Any], at: Spot) -> int | float:
    if at.step is not None and _is(name, _NUMBER):
        return at.step.number
    known = at.form.talk.fields.get(plain(name))
    if isinstance(known, (int, float)) and fits_type(known, schema):
        return known
    return _asked(name, schema, at, schema.get("minimum", 0))


def _string(name: str, schema: Mapping[str, Any], at: Spot) -> str | None:
    if at.step is not None:
        return _of_step(name, schema, at.step)
    known = at.form.talk.fields.get(plain(name))
    if isinstance(known, (str, int, float)) and not isinstance(known, bool):
        return str(known)
    if _is(name, _TASK):
        return at.form.talk.question
    return at.form.said if _is(name, _SAID) or not name else _asked(name, schema, at, "")


def _of_step(name: str, schema: Mapping[str, Any], step: Step) -> str | None:
    if _is(name, _TOOL):
        return step.tool if step.tool is not None or "null" in str(schema.get("type")) else ""
    if _is(name, _NUMBER):
        return str(step.number)
    return step.task if _is(name, _TASK | _SAID) else ""


def _asked(name: str, schema: Mapping[str, Any], at: Spot, otherwise: Any) -> Any:
    """What the question says for a field, as for an argument of a tool."""
    filled = fill({"properties": {name: schema}, "required": [name]}, Sources(at.form.talk.question))[0]
    return filled.arguments.get(name, otherwise)


def _is(name: str, words: frozenset[str]) -> bool:
    return bool(set(plain(name).split()) & words)
