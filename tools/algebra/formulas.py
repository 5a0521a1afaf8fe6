"""Builds SymPy expressions node by node from an allowlist. SymPy's own parser calls `eval`, so it is not used.

Sizes are checked before computing: 9**9**9 and factorial(10**9) are refused at once, not after five seconds.
"""

import ast
import math
from collections.abc import Callable
from typing import Any

import sympy

from tools.algebra.notation import to_python_syntax
from tools.errors import ToolBadArguments, ToolTooLarge

MAX_BITS = 1 << 16
"""The maximum size of an integer: about 20,000 digits."""

MAX_DEPTH = 60

FUNCTIONS: dict[str, Callable[..., Any]] = {
    **{name: getattr(sympy, name) for name in "sin cos tan cot sec csc asin acos atan atan2 sinh cosh tanh".split()},  # noqa: SIM905
    **{name: getattr(sympy, name) for name in "asinh acosh atanh exp log sqrt cbrt sign re im arg gamma".split()},  # noqa: SIM905
    **{name: getattr(sympy, name) for name in "erf zeta gcd lcm binomial factorial floor ceiling Min Max".split()},  # noqa: SIM905
    "abs": sympy.Abs,
    "Abs": sympy.Abs,
    "min": sympy.Min,
    "max": sympy.Max,
    "conjugate": sympy.conjugate,
    "isprime": lambda n: sympy.sympify(sympy.isprime(n)),
}
CONSTANTS = {"pi": sympy.pi, "E": sympy.E, "e": sympy.E, "I": sympy.I, "i": sympy.I, "oo": sympy.oo, "inf": sympy.oo}
NAMES = frozenset(FUNCTIONS)
COMPARISONS = {
    ast.Eq: sympy.Eq, ast.NotEq: sympy.Ne, ast.Lt: sympy.Lt, ast.LtE: sympy.Le, ast.Gt: sympy.Gt, ast.GtE: sympy.Ge,
}  # fmt: skip


def read_formula(text: str) -> Any:
    """Return a formula, an equation (`a = b`) or a matrix (`[[1, 2], [3, 4]]`). Raises ToolBadArguments and ToolTooLarge."""
    written = to_python_syntax(text, NAMES)
    try:
        tree = ast.parse(_to_equality(written), mode="eval")
    except (SyntaxError, ValueError, MemoryError, RecursionError):
        raise formula_error(f"{text[:100]!r} can't be read as a formula") from None
    return _convert(tree.body, 0)


def formula_error(why: str) -> ToolBadArguments:
    return ToolBadArguments(f"{why}. Write it like x**2 - 4 = 0 or sin(x)/x.", field="expression")


def _to_equality(written: str) -> str:
    left, equals, right = written.partition(" = ")
    return f"({left}) == ({right})" if equals else written


def _convert(node: ast.expr, depth: int) -> Any:
    if depth > MAX_DEPTH:
        raise ToolTooLarge("The formula is nested too deeply; split it up.")
    if isinstance(node, ast.Constant | ast.Name):
        return _number(node.value) if isinstance(node, ast.Constant) else _name(node.id)
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub | ast.UAdd):
        value = _convert(node.operand, depth + 1)
        return -value if isinstance(node.op, ast.USub) else value
    if isinstance(node, ast.BinOp):
        return _apply_operator(node.op, _convert(node.left, depth + 1), _convert(node.right, depth + 1))
    if isinstance(node, ast.Compare) and len(node.ops) == 1 and type(node.ops[0]) in COMPARISONS:
        return COMPARISONS[type(node.ops[0])](_convert(node.left, depth + 1), _convert(node.comparators[0], depth + 1))
    if isinstance(node, ast.Call | ast.List):
        return (
            _apply_function(node, depth)
            if isinstance(node, ast.Call)
            else _matrix([_convert(n, depth + 1) for n in node.elts])
        )
    raise formula_error(f"{type(node).__name__} is not allowed in a formula")


def _number(value: Any) -> Any:
    """Convert exactly: 0.1 is a tenth. Refuses `True` and strings."""
    if type(value) not in (int, float):
        raise formula_error(f"{str(value)[:30]!r} is not a number")
    return sympy.Integer(value) if isinstance(value, int) else sympy.Rational(str(value))


def _name(name: str) -> Any:
    if name in CONSTANTS:
        return CONSTANTS[name]
    if name in FUNCTIONS:
        raise formula_error(f"{name} needs its argument in brackets")
    if len(name) > 30 or name.startswith("_"):
        raise formula_error(f"{name[:30]!r} is not a valid variable name")
    return sympy.Symbol(name)


def _apply_operator(operator: ast.operator, left: Any, right: Any) -> Any:
    try:
        if isinstance(operator, ast.Pow):
            return _checked_power(left, right)
        if isinstance(operator, ast.Add):
            return left + right
        if isinstance(operator, ast.Sub):
            return left - right
        if isinstance(operator, ast.Mult):
            return left * right
        if isinstance(operator, ast.Div):
            return left * right.inv() if isinstance(right, sympy.MatrixBase) else left / right
        if isinstance(operator, ast.Mod):
            return sympy.Mod(left, right)
    except (TypeError, ValueError, AttributeError) as error:
        raise formula_error(f"This can't be computed ({str(error)[:100]})") from None
    raise formula_error(f"{type(operator).__name__} is not an allowed operation")


def _checked_power(base: Any, exponent: Any) -> Any:
    if isinstance(base, sympy.Rational) and isinstance(exponent, sympy.Rational):
        size = max(abs(int(base.p)), int(base.q), 2)
        if abs(float(exponent)) * math.log2(size) > MAX_BITS:
            raise ToolTooLarge("A power in the formula has more than 20,000 digits; use a smaller exponent.")
    return base**exponent


def _apply_function(node: ast.Call, depth: int) -> Any:
    if not isinstance(node.func, ast.Name) or node.func.id not in FUNCTIONS or node.keywords:
        raise formula_error(
            f"{ast.unparse(node.func)[:30]} is not a known function; use sin, log, sqrt, factorial and the like"
        )
    name, values = node.func.id, [_convert(each, depth + 1) for each in node.args]
    limit = {"factorial": 5_000, "binomial": 20_000, "gamma": 5_000, "zeta": 5_000, "isprime": 10**60}.get(name)
    if limit and any(value.is_number and not abs(value) <= limit for value in values):
        raise ToolTooLarge(f"{name} supports arguments up to {limit:,}.")
    try:
        return FUNCTIONS[name](*values)
    except (TypeError, ValueError, AttributeError) as error:
        raise formula_error(f"{name} can't take this ({str(error)[:100]})") from None


def _matrix(rows: list[Any]) -> Any:
    """Build a matrix: a list of numbers is a column, a list of lists a matrix by rows (the inner lists are columns already)."""
    if len(rows) > 50 or not rows:
        raise ToolTooLarge("A matrix may have 1 to 50 rows.")
    if all(isinstance(row, sympy.MatrixBase) for row in rows):
        if len({row.shape for row in rows}) > 1 or rows[0].shape[1] != 1:
            raise formula_error("The rows of a matrix have different lengths")
        return sympy.Matrix([list(row) for row in rows])
    if any(isinstance(row, sympy.MatrixBase) for row in rows):
        raise formula_error("A matrix is a list of lists")
    return sympy.Matrix(rows)
