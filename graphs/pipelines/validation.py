"""Whether a pipeline is right; what is wrong is said with the place where it stands.

In this order: shape and size, names, where steps lead, branches, circles, steps that nothing leads to, agents, tools and
models, and what texts name. A step may name the outputs of steps that can run before it; one that was passed by is empty.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any
from uuid import UUID

from graphs.pipelines.definition import (
    MAX_STEPS,
    NAME,
    AgentStep,
    Definition,
    ParallelStep,
    PromptStep,
    RouterStep,
    ToolStep,
    read_definition,
)
from graphs.pipelines.templates import Place, places_in
from graphs.pipelines.topology import END, START, Topology, branch_steps, join_of, topology_of
from schema.errors import InputError

BUILTIN_NAMES = ("chat", "react", "plan_execute", "supervisor", "auto")
AUTO = "auto"
MAX_BRANCHES = 10
MAX_CASES = 50
SHOWN = 20


def check_definition(
    raw: Mapping[str, Any],
    *,
    agents: Collection[str],
    tools: Mapping[str, Mapping[str, Any] | None],
    may_use_model: Callable[[str], bool] = lambda _: True,
) -> Definition:
    """Return the definition, if it is right. `agents` are those that may be called, `tools` too, with the JSON Schema of their
    arguments where it is known. Raises InputError whose field names the place."""
    definition = read_definition(raw)
    _check_name(definition.name)
    for field, target in _targets(definition):
        if target not in definition.steps:
            known = ", ".join(list(definition.steps)[:SHOWN])
            raise InputError(
                f"{field} names the step {target[:64]!r}, which is not there. There are: {known}.", field=field
            )
    _check_branches(definition)
    topology = topology_of(definition)
    _refuse_circles(topology)
    _refuse_unreachable(definition, topology)
    for name, step in definition.steps.items():
        _check_uses(name, step, agents, tools, may_use_model)
    before = _before(topology)
    for name, step in definition.steps.items():
        _check_places(definition, name, step, before[name])
    return definition


def _check_name(name: str) -> None:
    if not NAME.fullmatch(name):
        raise InputError("name must be a letter, then up to 63 of a-z 0-9 _ -.", field="name")
    if name.casefold() in BUILTIN_NAMES:
        raise InputError(f"{name} is the name of a built-in pipeline; choose another.", field="name")
    try:
        UUID(name)
    except ValueError:
        return
    raise InputError("name must not look like an id.", field="name")


def _targets(definition: Definition) -> list[tuple[str, str]]:
    """Return every step that is named by another, with the field that names it."""
    found = [("start", definition.start)]
    for name, step in definition.steps.items():
        match step:
            case RouterStep():
                if not 1 <= len(step.cases) <= MAX_CASES:
                    raise InputError(f"A router has 1 to {MAX_CASES} cases.", field=f"steps.{name}.cases")
                found += [(f"steps.{name}.cases.{case}", target) for case, target in step.cases.items()]
                found.append((f"steps.{name}.otherwise", step.otherwise))
            case ParallelStep():
                for branch, steps in step.branches.items():
                    place = f"steps.{name}.branches.{branch}"
                    found += [(f"{place}[{i}]", inner) for i, inner in enumerate(steps)]
        if getattr(step, "next", None) is not None:
            found.append((f"steps.{name}.next", step.next))  # type: ignore[union-attr]
    return found


def _check_branches(definition: Definition) -> None:
    seen: dict[str, str] = {}
    for name, step in definition.steps.items():
        if not isinstance(step, ParallelStep):
            continue
        if not 2 <= len(step.branches) <= MAX_BRANCHES:
            raise InputError(f"A parallel step has 2 to {MAX_BRANCHES} branches.", field=f"steps.{name}.branches")
        for branch, steps in step.branches.items():
            place = f"steps.{name}.branches.{branch}"
            if not 1 <= len(steps) <= MAX_STEPS:
                raise InputError(f"{place} must be a list of at least one step.", field=place)
            for i, inner in enumerate(steps):
                _check_branch_step(definition, inner, f"{place}[{i}]", seen)
    for field, target in _targets(definition):
        if target in seen and seen[target] != field:
            said = f"{field} leads to {target}, which stands in the branch {seen[target]}; lead to the parallel step."
            raise InputError(said, field=field)


def _check_branch_step(definition: Definition, inner: str, place: str, seen: dict[str, str]) -> None:
    step = definition.steps[inner]
    if isinstance(step, RouterStep | ParallelStep):
        raise InputError(f"{place} is a router or parallel step; branches hold agents, tools and prompts.", field=place)
    if step.next is not None:
        said = f"{inner} stands in a branch, whose order says what comes next; leave its next out."
        raise InputError(said, field=f"steps.{inner}.next")
    if inner in seen:
        raise InputError(f"{inner} stands in two branches, {seen[inner]} and {place}.", field=place)
    seen[inner] = place


def _refuse_circles(topology: Topology) -> None:
    """Depth first, without recursion: `trail` is the way from the start to where we are."""
    onward, done = topology.onward(), set[str]()
    for root in onward:
        trail, waiting = list[str](), [(root, False)]
        while waiting:
            place, left = waiting.pop()
            if left:
                trail.pop()
                done.add(place)
            elif place in trail:
                circle = [name.removesuffix(".join") for name in trail[trail.index(place) :]]
                said = f"The steps go in a circle, which never ends: {' → '.join([*circle, circle[0]])}."
                raise InputError(said, field=f"steps.{circle[-1]}")
            elif place not in done:
                trail.append(place)
                waiting += [(place, True), *((target, False) for target in onward[place])]


def _refuse_unreachable(definition: Definition, topology: Topology) -> None:
    onward, reached, waiting = topology.onward(), set[str](), [START]
    while waiting:
        place = waiting.pop()
        if place not in reached:
            reached.add(place)
            waiting += onward[place]
    for name in definition.steps:
        if name not in reached:
            raise InputError(f"No step leads to {name}; lead to it, or leave it out.", field=f"steps.{name}")


def _check_uses(
    name: str,
    step: Any,
    agents: Collection[str],
    tools: Mapping[str, Mapping[str, Any] | None],
    may_use_model: Callable[[str], bool],
) -> None:
    match step:
        case AgentStep(agent=agent) if agent != AUTO and agent not in agents:
            raise InputError(_unknown("agent", agent, [AUTO, *agents]), field=f"steps.{name}.agent")
        case ToolStep(tool=tool):
            if tool not in tools:
                raise InputError(_unknown("tool", tool, tools), field=f"steps.{name}.tool")
            _check_arguments(step, tools[tool] or {}, f"steps.{name}.arguments")
        case PromptStep(model=str(model)) if "/" not in model or not may_use_model(model):
            said = f"There is no model {model[:80]!r} that this tenant may use; write it as provider/name."
            raise InputError(said, field=f"steps.{name}.model")


def _unknown(what: str, name: str, known: Collection[str]) -> str:
    shown = ", ".join(sorted(known)[:SHOWN]) or "none"
    return f"There is no {what} {name[:80]!r} that this tenant may use. There are: {shown}."


def _check_arguments(step: ToolStep, schema: Mapping[str, Any], field: str) -> None:
    """By name only; values are checked when the tool is called, for most are filled in then."""
    properties, required = schema.get("properties"), schema.get("required")
    if isinstance(required, Sequence):
        for name in required:
            if name not in step.arguments:
                raise InputError(f"The tool {step.tool} needs the argument {name}.", field=f"{field}.{name}")
    if isinstance(properties, Mapping) and schema.get("additionalProperties") is False:
        for name in step.arguments:
            if name not in properties:
                said = f"The tool {step.tool} has no argument {name[:64]!r}. It has: {', '.join(properties)}."
                raise InputError(said, field=f"{field}.{name[:64]}")


def _before(topology: Topology) -> dict[str, set[str]]:
    """Return for each place all from which a way leads to it."""
    backward: dict[str, list[str]] = {node.id: [] for node in topology.nodes}
    for edge in topology.edges:
        backward[edge.target].append(edge.source)
    before: dict[str, set[str]] = {}
    for node, sources in backward.items():
        found, waiting = set[str](), list(sources)
        while waiting:
            place = waiting.pop()
            if place not in found:
                found.add(place)
                waiting += backward[place]
        before[node] = found
    return before


def _check_places(definition: Definition, name: str, step: Any, before: set[str]) -> None:
    for part in ("input", "prompt", "by", "arguments"):
        for place, field in places_in(getattr(step, part, None), f"steps.{name}.{part}"):
            if place.step is not None:
                _check_place(definition, place, field, before)


def _check_place(definition: Definition, place: Place, field: str, before: set[str]) -> None:
    named = definition.steps.get(place.step or "")
    if named is None:
        raise InputError(f"{field} names the output of the step {place.step}, which is not there.", field=field)
    if isinstance(named, RouterStep):
        raise InputError(f"{field} names the output of {place.step}, a router, which has none.", field=field)
    whole = join_of(place.step or "") if isinstance(named, ParallelStep) else place.step
    if whole not in before:
        raise InputError(f"{field} names the output of {place.step}, which never runs before this step.", field=field)
    if isinstance(named, ParallelStep) and place.path and place.path[0] not in named.branches:
        known = ", ".join(named.branches)
        raise InputError(f"{field} names the branch {place.path[0]!r} of {place.step}. It has: {known}.", field=field)


def last_steps(definition: Definition) -> set[str]:
    """Return the steps whose output is the pipeline's answer: those after which it ends."""
    inside = branch_steps(definition)
    edges = topology_of(definition).edges
    return {edge.source.removesuffix(".join") for edge in edges if edge.target == END} - inside.keys()
