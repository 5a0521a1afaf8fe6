"""`mathematics`: exact algebra and calculus by SymPy, in a child process with limits for time and memory."""

from functools import partial
from typing import Any

from tools.contract import FunctionTool, Tool, ToolContext, ToolResult, ToolSpec
from tools.errors import ToolTimeout
from tools.run_sandboxed import STARTUP_TIMEOUT_S, run_sandboxed

TIME_S = 8
OPERATIONS = (
    *("evaluate", "simplify", "expand", "factor", "solve", "differentiate", "integrate", "limit", "series"),
    *("determinant", "inverse", "eigenvalues", "rank", "transpose"),
)
"""The names in `tools/algebra/operations.py`; a test compares them, since importing SymPy here would be slow."""

SPEC = ToolSpec(
    name="mathematics",
    description=(
        "Exact mathematics: evaluate, simplify, solve equations and systems (separated by ;), derivatives, integrals, "
        "limits, series, matrices such as [[1,2],[3,4]]. Write formulas like 2*x**2 - sqrt(3)*sin(x) or x^2 = 4. Use it "
        "for every calculation that is not trivial."
    ),
    parameters={
        "type": "object",
        "properties": {
            "operation": {"type": "string", "enum": list(OPERATIONS)},
            "expression": {"type": "string", "description": "The formula, equation or matrix", "minLength": 1},
            "variable": {"type": "string", "description": "For solve and calculus; x if left out", "maxLength": 200},
            "lower": {"type": "string", "description": "Lower end of an integral", "maxLength": 200},
            "upper": {"type": "string", "description": "Upper end of an integral", "maxLength": 200},
            "point": {
                "type": "string",
                "description": "Where a limit or a series is taken: 0, oo, pi",
                "maxLength": 200,
            },
            "direction": {"type": "string", "enum": ["+", "-", "+-"], "description": "From which side"},
            "order": {"type": "integer", "minimum": 1, "maximum": 10, "description": "Of a derivative or a series"},
        },
        "required": ["operation", "expression"],
        "additionalProperties": False,
    },
    timeout_s=TIME_S + STARTUP_TIMEOUT_S + 2.0,
)


async def compute(time_s: int, arguments: dict[str, Any], context: ToolContext) -> ToolResult:
    """Raises ToolBadArguments, ToolTooLarge and ToolTimeout."""
    try:
        found = await run_sandboxed("tools.algebra.operations:run", arguments, time_s=time_s)
    except ToolTimeout:
        raise ToolTimeout(
            f"This could not be computed within {time_s} seconds; it may have no closed form. Ask for less."
        ) from None
    lines = [found["result"]] + ([f"≈ {found['decimal']}"] if "decimal" in found else [])
    return ToolResult("\n".join(lines), found, renderer="formula")


def build(time_s: int = TIME_S) -> Tool:
    return FunctionTool(SPEC, partial(compute, time_s))
