"""Validates pipelines; errors name the field that is wrong.

Checked in this order: structure and size, names, targets, branches, cycles, unreachable steps, agents, tools and models, and
placeholders. A step may refer to outputs of steps that can run before it; the output of a skipped step is empty.
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
from graphs.pipelines.templates import Placeholder, placeholders_in
from graphs.pipelines.topology import END, START, Topology, branch_steps, build_topology, join_node
from schema.errors import InputError

BUILTIN_NAMES = ("chat", "react", "plan_execute", "supervisor", "auto")
AUTO = "auto"
MAX_BRANCHES = 10
MAX_CASES = 50
MAX_LISTED = 20


def check_definition(
    raw: Mapping[str, Any],
    *,
    agents: Collection[str],
    tools: Mapping[str, Mapping[str, Any] | None],
    may_use_model: Callable[[str], bool] = lambda _: True,
) -> Definition:
    """Return the definition if it is valid. `agents` and `tools` are those that may be called, `tools` with the JSON Schema
    of their arguments if it is known. Raises InputError with the path of the field."""
    definition = read_definition(raw)
    _check_name(definition.name)
    for field, target in _targets(definition):
        if target not in definition.steps:
            known = ", ".join(list(definition.steps)[:MAX_LISTED])
            raise InputError(
                f"{field} names the step {target[:64]!r}, which doesn't exist. Steps: {known}.", field=field
            )
    _check_branches(definition)
    topology = build_topology(definition)
    _check_cycles(topology)
    _check_reachable(definition, topology)
    for name, step in definition.steps.items():
        _check_references(name, step, agents, tools, may_use_model)
    predecessors = _predecessors(topology)
    for name, step in definition.steps.items():
        _check_placeholders(definition, name, step, predecessors[name])
    return definition


def _check_name(name: str) -> None:
    if not NAME.fullmatch(name):
        raise InputError("name must be a letter followed by up to 63 of a-z 0-9 _ -.", field="name")
    if name.casefold() in BUILTIN_NAMES:
        raise InputError(f"{name} is the name of a built-in pipeline; choose another.", field="name")
    try:
        UUID(name)
    except ValueError:
        return
    raise InputError("name must not look like an id.", field="name")


def _targets(definition: Definition) -> list[tuple[str, str]]:
    """Return every target of a step, with the field that names it."""
    found = [("start", definition.start)]
    for name, step in definition.steps.items():
        match step:
            case RouterStep():
                if not 1 <= len(step.cases) <= MAX_CASES:
                    raise InputError(f"A router must have 1 to {MAX_CASES} cases.", field=f"steps.{name}.cases")
                found += [(f"steps.{name}.cases.{case}", target) for case, target in step.cases.items()]
                found.append((f"steps.{name}.otherwise", step.otherwise))
            case ParallelStep():
                for branch, steps in step.branches.items():
                    path = f"steps.{name}.branches.{branch}"
                    found += [(f"{path}[{i}]", inner) for i, inner in enumerate(steps)]
        if (following := getattr(step, "next", None)) is not None:
            found.append((f"steps.{name}.next", following))
    return found


def _check_branches(definition: Definition) -> None:
    seen: dict[str, str] = {}
    for name, step in definition.steps.items():
        if not isinstance(step, ParallelStep):
            continue
        if not 2 <= len(step.branches) <= MAX_BRANCHES:
            raise InputError(f"A parallel step must have 2 to {MAX_BRANCHES} branches.", field=f"steps.{name}.branches")
        for branch, steps in step.branches.items():
            path = f"steps.{name}.branches.{branch}"
            if not 1 <= len(steps) <= MAX_STEPS:
                raise InputError(f"{path} must be a list of at least one step.", field=path)
            for i, inner in enumerate(steps):
                _check_branch_step(definition, inner, f"{path}[{i}]", seen)
    for field, target in _targets(definition):
        if target in seen and seen[target] != field:
            message = f"{field} leads into the branch {seen[target]}, to {target}; lead to the parallel step instead."
            raise InputError(message, field=field)


def _check_branch_step(definition: Definition, inner: str, path: str, seen: dict[str, str]) -> None:
    step = definition.steps[inner]
    if isinstance(step, RouterStep | ParallelStep):
        raise InputError(
            f"{path} is a router or parallel step; branches may contain only agents, tools and prompts.", field=path
        )
    if step.next is not None:
        message = f"{inner} is in a branch, whose order says what comes next; leave its next out."
        raise InputError(message, field=f"steps.{inner}.next")
    if inner in seen:
        raise InputError(
            f"{inner} is in two branches, {seen[inner]} and {path}; a step may be in one only.", field=path
        )
    seen[inner] = path


def _check_cycles(topology: Topology) -> None:
    """Depth-first search without recursion: `path` leads from the root to the current node."""
    successors, done = topology.successors(), set[str]()
    for root in successors:
        path, stack = list[str](), [(root, False)]
        while stack:
            node, leaving = stack.pop()
            if leaving:
                path.pop()
                done.add(node)
            elif node in path:
                cycle = [name.removesuffix(".join") for name in path[path.index(node) :]]
                message = f"The steps form a cycle, which would never end: {' → '.join([*cycle, cycle[0]])}."
                raise InputError(message, field=f"steps.{cycle[-1]}")
            elif node not in done:
                path.append(node)
                stack += [(node, True), *((target, False) for target in successors[node])]


def _check_reachable(definition: Definition, topology: Topology) -> None:
    successors, reached, stack = topology.successors(), set[str](), [START]
    while stack:
        node = stack.pop()
        if node not in reached:
            reached.add(node)
            stack += successors[node]
    for name in definition.steps:
        if name not in reached:
            raise InputError(f"No step leads to {name}; add a step that does, or remove it.", field=f"steps.{name}")


def _check_references(
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
            message = f"There is no model {model[:80]!r} that this tenant may use; write it as provider/name."
            raise InputError(message, field=f"steps.{name}.model")


def _unknown(what: str, name: str, known: Collection[str]) -> str:
    listed = ", ".join(sorted(known)[:MAX_LISTED]) or "none"
    return f"There is no {what} {name[:80]!r} that this tenant may use. There are: {listed}."


def _check_arguments(step: ToolStep, schema: Mapping[str, Any], field: str) -> None:
    """Checks names only; values are checked when the tool is called, since most are filled in then."""
    properties, required = schema.get("properties"), schema.get("required")
    if isinstance(required, Sequence):
        for name in required:
            if name not in step.arguments:
                raise InputError(f"The tool {step.tool} needs the argument {name}.", field=f"{field}.{name}")
    if isinstance(properties, Mapping) and schema.get("additionalProperties") is False:
        for name in step.arguments:
            if name not in properties:
                message = f"The tool {step.tool} has no argument {name[:64]!r}. It has: {', '.join(properties)}."
                raise InputError(message, field=f"{field}.{name[:64]}")


def _predecessors(topology: Topology) -> dict[str, set[str]]:
    """Return for each node all nodes from which it can be reached."""
    backward: dict[str, list[str]] = {node.id: [] for node in topology.nodes}
    for edge in topology.edges:
        backward[edge.target].append(edge.source)
    predecessors: dict[str, set[str]] = {}
    for node, sources in backward.items():
        found, stack = set[str](), list(sources)
        while stack:
            predecessor = stack.pop()
            if predecessor not in found:
                found.add(predecessor)
                stack += backward[predecessor]
        predecessors[node] = found
    return predecessors


def _check_placeholders(definition: Definition, name: str, step: Any, predecessors: set[str]) -> None:
    for template_field in ("input", "prompt", "by", "arguments"):
        for placeholder, field in placeholders_in(
            getattr(step, template_field, None), f"steps.{name}.{template_field}"
        ):
            if placeholder.step is not None:
                _check_placeholder(definition, placeholder, field, predecessors)


def _check_placeholder(definition: Definition, placeholder: Placeholder, field: str, predecessors: set[str]) -> None:
    named = definition.steps.get(placeholder.step or "")
    if named is None:
        raise InputError(
            f"{field} refers to the output of the step {placeholder.step}, which doesn't exist.", field=field
        )
    if isinstance(named, RouterStep):
        raise InputError(f"{field} refers to the output of {placeholder.step}, a router, which has none.", field=field)
    output_step = join_node(placeholder.step or "") if isinstance(named, ParallelStep) else placeholder.step
    if output_step not in predecessors:
        raise InputError(
            f"{field} refers to the output of {placeholder.step}, which never runs before this step.", field=field
        )
    if isinstance(named, ParallelStep) and placeholder.path and placeholder.path[0] not in named.branches:
        known = ", ".join(named.branches)
        raise InputError(
            f"{field} refers to the branch {placeholder.path[0]!r} of {placeholder.step}. Its branches: {known}.",
            field=field,
        )


def find_final_steps(definition: Definition) -> set[str]:
    """Return the steps whose output is the pipeline's answer: those that lead to the end."""
    inside = branch_steps(definition)
    edges = build_topology(definition).edges
    return {edge.source.removesuffix(".join") for edge in edges if edge.target == END} - inside.keys()
