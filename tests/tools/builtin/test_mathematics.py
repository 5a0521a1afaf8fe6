"""Exact mathematics in a child process, and formulas that never end."""

import asyncio
from typing import Any

import pytest

from tests.tools.hostile.formulas import ENDLESS, REFUSED
from tests.tools.tool_contexts import call, failure
from tools.algebra.notation import to_python_syntax
from tools.algebra.operations import OPERATIONS, run
from tools.builtin import mathematics
from tools.errors import ToolFailed
from tools.run_sandboxed import run_sandboxed


def test_the_tool_offers_what_the_child_can_do() -> None:
    assert sorted(OPERATIONS) == sorted(mathematics.OPERATIONS)


@pytest.mark.parametrize(
    ("question", "result"),
    [
        ({"operation": "evaluate", "expression": "2/3 + 0.1"}, "23/30"),
        ({"operation": "evaluate", "expression": "0.1 + 0.2 - 0.3"}, "0"),
        ({"operation": "evaluate", "expression": "12.5% 3"}, "1/2"),
        ({"operation": "evaluate", "expression": "2**100"}, "1267650600228229401496703205376"),
        ({"operation": "solve", "expression": "x² = 4"}, "[-2, 2]"),
        ({"operation": "solve", "expression": "x + y = 3; x - y = 1"}, "[{x: 2, y: 1}]"),
        ({"operation": "solve", "expression": "x**2 - 1 > 0"}, "Union(Interval.open(-oo, -1), Interval.open(1, oo))"),
        ({"operation": "differentiate", "expression": "x·sin(x)"}, "x*cos(x) + sin(x)"),
        ({"operation": "differentiate", "expression": "t^5", "order": 2}, "20*t**3"),
        ({"operation": "integrate", "expression": "2x"}, "x**2"),
        ({"operation": "integrate", "expression": "exp(-x^2)", "lower": "-oo", "upper": "oo"}, "sqrt(pi)"),
        ({"operation": "limit", "expression": "sin(x)/x", "point": "0"}, "1"),
        ({"operation": "limit", "expression": "1/x", "point": "0", "direction": "+"}, "oo"),
        ({"operation": "series", "expression": "exp(x)", "order": 3}, "1 + x + x**2/2 + O(x**3)"),
        ({"operation": "factor", "expression": "x^2 - 1"}, "(x - 1)*(x + 1)"),
        ({"operation": "factor", "expression": "360"}, "{2: 3, 3: 2, 5: 1}"),
        ({"operation": "determinant", "expression": "[[1,2],[3,4]]"}, "-2"),
        ({"operation": "eigenvalues", "expression": "[[2,0],[0,3]]"}, "{2: 1, 3: 1}"),
        ({"operation": "rank", "expression": "[[1,2],[2,4]]"}, "1"),
        ({"operation": "evaluate", "expression": "[[1,2],[3,4]] * [[0,1],[1,0]]"}, "[[2, 1], [4, 3]]"),
    ],
)
def test_mathematics_is_exact(question: dict[str, Any], result: str) -> None:
    assert result == run(question)["result"]


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("2x", "2 * x"),
        ("2(x+1)(x-1)", "2 * ( x + 1 ) * ( x - 1 )"),
        ("√2", "sqrt ( 2 )"),
        ("ln(x)", "log ( x )"),
        ("x y", "x * y"),
        ("2πr", "2 * pi * r"),
    ],
)
def test_formulas_are_read_as_people_write_them(written: str, read: str) -> None:
    assert read == to_python_syntax(written, frozenset({"sqrt", "log"}))


@pytest.mark.parametrize(
    ("question", "field"),
    [
        ({"operation": "solve", "expression": "a*b = 1"}, "variable"),
        ({"operation": "integrate", "expression": "x", "lower": "0"}, "upper"),
        ({"operation": "limit", "expression": "x"}, "point"),
        ({"operation": "evaluate", "expression": "sin"}, "expression"),
        ({"operation": "evaluate", "expression": "sine(x)"}, "expression"),
        ({"operation": "determinant", "expression": "x"}, "expression"),
    ],
)
def test_what_is_missing_is_named(question: dict[str, Any], field: str) -> None:
    with pytest.raises(ToolFailed) as caught:
        run(question)
    assert ("tool_bad_arguments", field) == (caught.value.code, caught.value.field)


async def test_an_answer_comes_from_a_child_with_its_decimal() -> None:
    result = await call(mathematics.build(), operation="evaluate", expression="sqrt(2)/3")
    assert ("sqrt(2)/3\n≈ 0.471404520791032", r"\frac{\sqrt{2}}{3}") == (result.text, result.data["latex"])


async def test_hostile_formulas_are_refused_before_anything_is_computed() -> None:
    outcomes = await run_sandboxed("tests.tools.hostile.formulas:refuse_all", {}, time_s=10)
    computed = [
        (case, outcome)
        for case, outcome in zip(REFUSED, outcomes, strict=True)
        if outcome not in {"tool_bad_arguments", "tool_too_large"}
    ]
    assert [] == computed


async def test_formulas_that_never_end_are_ended() -> None:
    errors = await asyncio.gather(
        *(failure(mathematics.build(1), operation=how, expression=formula) for how, formula in ENDLESS)
    )
    assert [] == [error.message for error in errors if error.code not in {"tool_timeout", "tool_too_large"}]


async def test_an_operation_that_does_not_exist_lists_those_that_do() -> None:
    error = await failure(mathematics.build(), operation="hack", expression="1")
    assert "operation" == error.field
