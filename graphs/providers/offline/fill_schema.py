"""Fills the JSON Schema of a `response_format` from the conversation (plans, checks, tables): rules 17 to 19 of
`provider.py`."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from graphs.providers.offline.conversation import Conversation
from graphs.providers.offline.fill_arguments import (
    Sources,
    choose_enum,
    fill_arguments,
    fits_type,
    normalise_name,
    schema_type,
)
from graphs.providers.offline.phrases import fixed_phrase
from graphs.providers.offline.results import failure_reason, unwrap
from graphs.providers.offline.texts import pick_sentences, word_set
from graphs.providers.offline.tool_choice import Plan, Tool

MAX_DEPTH = 8
_TOOL_NAMES = word_set("tool tools function agent action")
_TASK_NAMES = word_set("task description goal step title question instruction query objective subtask what purpose")
_ARGUMENTS_NAMES = word_set("arguments args input inputs parameters params")
_NUMBER_NAMES = word_set("id step index number order n")
_DEPENDENCY_NAMES = word_set("depends dependencies after requires needs")
_ANSWER_NAMES = word_set(
    "answer text summary response message content reply notes note explanation conclusion markdown"
)
_STEPS_NAMES = word_set("steps plan tasks subtasks actions")
_NO_TOOL_VALUES = word_set("none answer finish respond final null")


@dataclass(frozen=True)
class FillContext:
    """What a schema is filled from. `answer` is the answer in words."""

    conversation: Conversation
    plan: Plan
    tools: Sequence[Tool]
    answer: str


@dataclass(frozen=True)
class Step:
    """A step of a plan. `tool` is None if the step is to answer."""

    number: int
    task: str
    tool: str | None
    arguments: dict[str, Any]


def plan_steps(context: FillContext) -> list[Step]:
    """Return a step for each call, or else for each part of the question; a single one is followed by a step to answer."""
    steps = [Step(i, part, call.name, call.arguments) for i, (part, call) in enumerate(context.plan.calls, 1)]
    if not steps:
        steps = [
            Step(i, part, None, {})
            for i, part in enumerate(context.conversation.parts or (context.conversation.question,), 1)
        ]
    if len(steps) == 1:
        steps.append(Step(2, fixed_phrase("done", context.conversation.question), None, {}))
    return steps


def fill_response_format(response_format: Mapping[str, Any], context: FillContext) -> Any:
    """Return a value for a response format; without a schema, a plan if the conversation asks for one, else the answer."""
    match response_format:
        case {"type": "json_schema", "json_schema": {"schema": dict() as schema}}:
            return _value("", schema, SchemaPosition(context, schema))
    request_words = normalise_name(f"{context.conversation.instructions} {context.conversation.question}").split()
    if "plan" in request_words or {"ke", "hoach"} <= set(request_words):
        return {
            "steps": [
                {"id": s.number, "task": s.task, "tool": s.tool, "arguments": s.arguments} for s in plan_steps(context)
            ]
        }
    results = [unwrap(call.data) for call in context.conversation.answered]
    return {"answer": context.answer, **({"data": results[0] if len(results) == 1 else results} if results else {})}


def asks_for_agent(response_format: Mapping[str, Any] | None) -> bool:
    """Whether the only property is `agent`: a routing request."""
    match response_format:
        case {"json_schema": {"schema": {"properties": dict() as properties}}}:
            return set(properties) == {"agent"}
    return False


@dataclass(frozen=True)
class SchemaPosition:
    """A position in the schema that is being filled: `root` is the whole schema, `step` the current step of a plan."""

    context: FillContext
    root: Mapping[str, Any]
    step: Step | None = None
    depth: int = 0

    def inside(self, step: Step | None = None) -> "SchemaPosition":
        """Return the position one level down."""
        return SchemaPosition(self.context, self.root, step or self.step, self.depth + 1)


def _value(name: str, schema: Mapping[str, Any], position: SchemaPosition) -> Any:
    """Return a value for a schema."""
    schema = _resolved(schema, position.root)
    if position.depth > MAX_DEPTH:
        return None
    if "const" in schema:
        return schema["const"]
    if schema.get("enum"):
        return _enum_value(name, schema["enum"], position)
    fillers = {
        "object": _object,
        "array": _array,
        "boolean": _boolean,
        "integer": _number,
        "number": _number,
        "null": _null,
    }
    return fillers.get(schema_type(schema), _string)(name, schema, position)


def _resolved(schema: Mapping[str, Any], root: Mapping[str, Any]) -> Mapping[str, Any]:
    """Resolve `$ref` within the document, and choose the first of several schemas that is not null."""
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


def _null(name: str, schema: Mapping[str, Any], position: SchemaPosition) -> None:
    return None


def _boolean(name: str, schema: Mapping[str, Any], position: SchemaPosition) -> bool:
    known = position.context.conversation.fields.get(normalise_name(name))
    return (
        known
        if isinstance(known, bool)
        else any(not failure_reason(call.data) for call in position.context.conversation.answered)
    )


def _object(name: str, schema: Mapping[str, Any], position: SchemaPosition) -> dict[str, Any]:
    if position.step is not None and _matches(name, _ARGUMENTS_NAMES):
        return position.step.arguments
    properties = schema.get("properties")
    if not isinstance(properties, dict):
        return {}
    required = schema.get("required")
    required = list(properties) if required is None else required
    filled: dict[str, Any] = {}
    for key, inner in properties.items():
        value = _value(key, inner, position.inside())
        if key in required or value not in (None, "", [], {}):
            filled[key] = value
    return filled


def _array(name: str, schema: Mapping[str, Any], position: SchemaPosition) -> list[Any]:
    items = _resolved(schema.get("items") or {}, position.root)
    if _matches(name, _DEPENDENCY_NAMES):
        return []
    steps = plan_steps(position.context) if position.step is None and _matches(name, _STEPS_NAMES) else []
    if schema_type(items) == "object":
        found: list[Any] = [] if position.step is not None else _records(items, position.context)
        usable = [s for s in steps if s.tool is not None or not _needs_tool(items)]
        found = found or [_value("", items, position.inside(step)) for step in usable]
    elif _matches(name, _TOOL_NAMES):
        found = list(dict.fromkeys(call.name for _, call in position.context.plan.calls))
    elif steps:
        found = [step.task for step in steps]
    else:
        quotes = position.step is None and schema_type(items) == "string"
        found = (
            pick_sentences(position.context.conversation.question, position.context.conversation.quotable)
            if quotes
            else []
        )
    return found[: schema.get("maxItems", len(found))]


def _needs_tool(items: Mapping[str, Any]) -> bool:
    """Whether every step must name a tool, so that a step without one can't be expressed."""
    for key, inner in (items.get("properties") or {}).items():
        if _matches(key, _TOOL_NAMES) and isinstance(inner, dict) and inner.get("enum"):
            return not (None in inner["enum"] or _NO_TOOL_VALUES & {str(one).casefold() for one in inner["enum"]})
    return False


def _records(items: Mapping[str, Any], context: FillContext) -> list[dict[str, Any]]:
    """Return a result's records that have any of the items' fields, reduced to these fields."""
    fields = list(items.get("properties") or ())
    for call in context.conversation.answered:
        data = unwrap(call.data)
        for one in [data, *(data.values() if isinstance(data, dict) else ())]:
            if isinstance(one, list) and one and isinstance(one[0], dict) and (not fields or set(fields) & set(one[0])):
                records = [record for record in one if isinstance(record, dict)]
                return [{key: record.get(key) for key in fields or record} for record in records]
    return []


def _enum_value(name: str, options: Sequence[Any], position: SchemaPosition) -> Any:
    if position.step is not None and _matches(name, _TOOL_NAMES):
        if position.step.tool in options:
            return position.step.tool
        return next((one for one in options if one is None or str(one).casefold() in _NO_TOOL_VALUES), options[0])
    chosen = choose_enum(options, position.context.conversation.question)
    return options[0] if chosen is None else chosen


def _number(name: str, schema: Mapping[str, Any], position: SchemaPosition) -> int | float:
    if position.step is not None and _matches(name, _NUMBER_NAMES):
        return position.step.number
    known = position.context.conversation.fields.get(normalise_name(name))
    if isinstance(known, (int, float)) and fits_type(known, schema):
        return known
    return _from_question(name, schema, position, schema.get("minimum", 0))


def _string(name: str, schema: Mapping[str, Any], position: SchemaPosition) -> str | None:
    if position.step is not None:
        return _step_text(name, schema, position.step)
    known = position.context.conversation.fields.get(normalise_name(name))
    if isinstance(known, (str, int, float)) and not isinstance(known, bool):
        return str(known)
    if _matches(name, _TASK_NAMES):
        return position.context.conversation.question
    return (
        position.context.answer
        if _matches(name, _ANSWER_NAMES) or not name
        else _from_question(name, schema, position, "")
    )


def _step_text(name: str, schema: Mapping[str, Any], step: Step) -> str | None:
    if _matches(name, _TOOL_NAMES):
        return step.tool if step.tool is not None or "null" in str(schema.get("type")) else ""
    if _matches(name, _NUMBER_NAMES):
        return str(step.number)
    return step.task if _matches(name, _TASK_NAMES | _ANSWER_NAMES) else ""


def _from_question(name: str, schema: Mapping[str, Any], position: SchemaPosition, default: Any) -> Any:
    """Return the question's value for a field, found as for a tool's argument."""
    filled = fill_arguments(
        {"properties": {name: schema}, "required": [name]}, Sources(position.context.conversation.question)
    )[0]
    return filled.arguments.get(name, default)


def _matches(name: str, words: frozenset[str]) -> bool:
    return bool(set(normalise_name(name).split()) & words)
