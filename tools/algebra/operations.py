"""The operations on formulas. Each takes the parsed formulas and the request, and returns a SymPy object."""

from collections.abc import Callable
from typing import Any

import sympy

from tools.algebra.formulas import formula_error, read_formula
from tools.errors import ToolBadArguments

MAX_DIGITS = 4_000
Request = dict[str, Any]


def run(request: Request, attachment: bytes = b"") -> dict[str, Any]:
    """Return `result` (text), `latex`, and `decimal` if the result is a number other than an integer."""
    formulas = [read_formula(part) for part in str(request["expression"]).split(";") if part.strip()]
    if not formulas:
        raise formula_error("There is no formula")
    result = OPERATIONS[request["operation"]](formulas, request)
    found = {"result": _format_result(result), "latex": _to_latex(result)}
    if isinstance(result, sympy.Expr) and result.is_number and not result.is_Integer and result.is_finite:
        found["decimal"] = str(sympy.N(result, 15))
    return found


def _format_result(result: Any) -> str:
    if isinstance(result, sympy.Integer) and abs(int(result)) >= 10**MAX_DIGITS:
        return f"an integer of {len(_digits(int(result))):,} digits, starting with {_digits(int(result))[:50]}"
    return sympy.sstr(result.tolist() if isinstance(result, sympy.MatrixBase) else result)


def _digits(number: int) -> str:
    import sys

    sys.set_int_max_str_digits(50_000)  # formulas.py limits results to half of that
    return str(abs(number))


def _to_latex(result: Any) -> str:
    return "" if isinstance(result, sympy.Integer) and result.p.bit_length() > 10_000 else sympy.latex(result)


def _single_formula(formulas: list[Any]) -> Any:
    if len(formulas) > 1:
        raise formula_error("This operation takes one formula")
    return formulas[0]


def _variable(formula: Any, request: Request) -> Any:
    """The variable named in the request, or the only one in the formula, or x."""
    name = str(request.get("variable") or "").strip()
    free = sorted(getattr(formula, "free_symbols", set()), key=str)
    if name:
        if not name.isidentifier() or len(name) > 30:
            raise ToolBadArguments(f"{name[:30]!r} is not a valid variable name.", field="variable")
        return sympy.Symbol(name)
    if len(free) == 1 or sympy.Symbol("x") in free:
        return free[0] if len(free) == 1 else sympy.Symbol("x")
    if not free:
        return sympy.Symbol("x")
    raise ToolBadArguments(f"Name the variable: {', '.join(map(str, free))}.", field="variable")


def _optional_formula(request: Request, name: str) -> Any:
    return read_formula(str(request[name])) if request.get(name) not in (None, "") else None


def _evaluate(formulas: list[Any], request: Request) -> Any:
    formula = _single_formula(formulas)
    return formula.doit() if hasattr(formula, "doit") else formula


def _solve(formulas: list[Any], request: Request) -> Any:
    """One equation for one variable, or a system for all of its variables."""
    if len(formulas) == 1:
        formula = formulas[0]
        if isinstance(formula, sympy.MatrixBase):
            raise formula_error("An equation is needed")
        variable = _variable(formula, request)
        if isinstance(formula, sympy.core.relational.Relational) and not isinstance(formula, sympy.Eq):
            return sympy.solve_univariate_inequality(formula, variable, relational=False)
        return sympy.solve(formula, variable)
    names = [sympy.Symbol(name.strip()) for name in str(request.get("variable") or "").split(",") if name.strip()]
    return sympy.solve(formulas, *names, dict=True)


def _differentiate(formulas: list[Any], request: Request) -> Any:
    formula = _single_formula(formulas)
    return sympy.diff(formula, _variable(formula, request), int(request.get("order") or 1))


def _integrate(formulas: list[Any], request: Request) -> Any:
    formula = _single_formula(formulas)
    variable = _variable(formula, request)
    lower, upper = _optional_formula(request, "lower"), _optional_formula(request, "upper")
    if (lower is None) != (upper is None):
        raise ToolBadArguments("Give both ends of the integral, or none.", field="upper" if upper is None else "lower")
    return sympy.integrate(formula, variable if lower is None else (variable, lower, upper))


def _limit(formulas: list[Any], request: Request) -> Any:
    formula, point = _single_formula(formulas), _optional_formula(request, "point")
    if point is None:
        raise ToolBadArguments("Give the point that the variable approaches, such as 0 or oo.", field="point")
    return sympy.limit(formula, _variable(formula, request), point, str(request.get("direction") or "+-"))


def _series(formulas: list[Any], request: Request) -> Any:
    formula, point = _single_formula(formulas), _optional_formula(request, "point")
    return sympy.series(
        formula, _variable(formula, request), 0 if point is None else point, int(request.get("order") or 6)
    )


def _matrix_operation(function: Callable[[Any], Any]) -> Callable[[list[Any], Request], Any]:
    def operation(formulas: list[Any], request: Request) -> Any:
        matrix = _single_formula(formulas)
        if not isinstance(matrix, sympy.MatrixBase):
            raise formula_error("A matrix is needed, such as [[1, 2], [3, 4]]")
        return function(matrix)

    return operation


OPERATIONS: dict[str, Callable[[list[Any], Request], Any]] = {
    "evaluate": _evaluate,
    "simplify": lambda formulas, request: sympy.simplify(_single_formula(formulas)),
    "expand": lambda formulas, request: sympy.expand(_single_formula(formulas)),
    "factor": lambda formulas, request: _factor(_single_formula(formulas)),
    "solve": _solve,
    "differentiate": _differentiate,
    "integrate": _integrate,
    "limit": _limit,
    "series": _series,
    "determinant": _matrix_operation(lambda matrix: matrix.det()),
    "inverse": _matrix_operation(lambda matrix: matrix.inv()),
    "eigenvalues": _matrix_operation(lambda matrix: matrix.eigenvals()),
    "rank": _matrix_operation(lambda matrix: sympy.Integer(matrix.rank())),
    "transpose": _matrix_operation(lambda matrix: matrix.T),
}


def _factor(formula: Any) -> Any:
    """Factor an integer into primes, an expression into factors."""
    return sympy.factorint(formula) if isinstance(formula, sympy.Integer) else sympy.factor(formula)
