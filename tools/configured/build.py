"""Makes a tool from a row that has passed `check_definition`. The tool holds no connection and can be cached until the row
changes.
"""

from collections.abc import Mapping

from tools.configured.definition import ToolDefinition
from tools.configured.kinds import KINDS
from tools.contract import FunctionTool, Tool, ToolSpec

NO_SECRETS: Mapping[str, str] = {}


def build_tool(definition: ToolDefinition, *, secrets: Mapping[str, str] = NO_SECRETS) -> Tool:
    """Return the tool that a row describes. `secrets` fill `{{secret:NAME}}` in its headers on each call."""
    kind = KINDS[definition.kind]
    spec = ToolSpec(
        name=definition.name,
        description=definition.description,
        parameters=kind.parameters(definition),
        side_effects=kind.side_effects if definition.side_effects is None else definition.side_effects,
        untrusted=True,
        finds_passages=kind.finds_passages,
        kind=definition.kind,
        timeout_s=definition.timeout_s,
        max_bytes=definition.max_bytes,
    )
    return FunctionTool(spec, kind.build(definition, secrets))
