"""Invalid pipelines: each is refused with the path of the field that is wrong."""

from typing import Any

import pytest

from graphs.pipelines.definition import Definition
from graphs.pipelines.validation import check_definition, find_final_steps
from schema.errors import InputError

SCHEMA = {"type": "object", "properties": {"q": {}, "n": {}}, "required": ["q"], "additionalProperties": False}


def tool(**more: Any) -> dict[str, Any]:
    return {"kind": "tool", "tool": "find", "arguments": {"q": "{{input}}"}, **more}


def prompt(text: str = "hi", **more: Any) -> dict[str, Any]:
    return {"kind": "prompt", "prompt": text, **more}


def agent(**more: Any) -> dict[str, Any]:
    return {"kind": "agent", "agent": "Helper", **more}


def router(by: str = "{{input}}", **targets: str) -> dict[str, Any]:
    return {"kind": "router", "by": by, "cases": targets, "otherwise": next(iter(targets.values()))}


def parallel(**branches: list[str]) -> dict[str, Any]:
    return {"kind": "parallel", "branches": branches}


def check(start: str = "a", /, name: Any = "mine", **steps: Any) -> Definition:
    raw = {"name": name, "start": start, "steps": steps}
    return check_definition(
        raw, agents=["Helper"], tools={"find": SCHEMA, "any": None}, may_use_model=lambda model: model == "x/known"
    )


def rejection(start: str = "a", /, **steps: Any) -> InputError:
    with pytest.raises(InputError) as caught:
        check(start, **steps)
    assert caught.value.field
    return caught.value


def test_a_right_one_is_read_with_all_its_kinds() -> None:
    found = check(
        "ask",
        ask=prompt(next="way", model="x/known"),
        way=router("{{steps.ask}}", one="both", two="talk"),
        both={**parallel(left=["l"], right=["r1", "r2"]), "next": "talk"},
        l=tool(),
        r1=tool(arguments={"q": [{"deep": "{{steps.ask.field}}"}]}),
        r2=prompt("{{steps.r1.rows.0}}"),
        talk=agent(input="{{steps.both.left}} {{input}} {{ steps.both }}"),
    )
    assert {"talk"} == find_final_steps(found)
    assert ["ask", "way", "both", "l", "r1", "r2", "talk"] == list(found.steps)


INVALID_PIPELINES: list[tuple[str, str, dict[str, Any]]] = [
    ("start", "names the step 'zzz'", {"_start": "zzz", "a": tool()}),
    ("steps.a.next", "names the step 'b'", {"a": tool(next="b")}),
    ("steps.a.cases.x", "names the step 'b'", {"a": router(x="b")}),
    ("steps.a.branches.x[0]", "names the step 'b'", {"a": parallel(x=["b"], y=["c"]), "c": tool()}),
    ("steps.a.agent", "no agent 'Nobody'", {"a": agent(agent="Nobody")}),
    ("steps.a.tool", "no tool 'rm'", {"a": tool(tool="rm")}),
    ("steps.a.model", "no model 'x/unknown'", {"a": prompt(model="x/unknown")}),
    ("steps.a.arguments.q", "needs the argument q", {"a": tool(arguments={})}),
    ("steps.a.arguments.p", "has no argument 'p'", {"a": tool(arguments={"q": 1, "p": 2})}),
    ("steps.b", "No step leads to b", {"a": tool(), "b": tool()}),
    ("steps.b", "cycle, which would never end: a → b → a", {"a": tool(next="b"), "b": tool(next="a")}),
    ("steps.a", "cycle, which would never end: a → a", {"a": tool(next="a")}),
    ("steps.b", "a → b → a", {"a": router(x="b", y="c"), "b": tool(next="a"), "c": tool()}),
    ("steps.d", "c → d → c", {"a": parallel(x=["b"], y=["e"]) | {"next": "c"}, "b": tool(), "e": tool(),
                              "c": tool(next="d"), "d": tool(next="c")}),
    ("steps.B", "steps b and B differ only in letter case", {"_start": "b", "b": tool(), "B": tool()}),
    ("steps", "is not a valid step name", {"a b": tool(), "a": tool()}),
    ("steps", "is not a valid step name", {"a.b": tool(), "a": tool()}),
    ("steps", "1 to 50 steps", {f"a{i}": tool() for i in range(51)}),
    ("steps", "1 to 50 steps", {}),
    ("steps.a.kind", "with a kind", {"a": {"kind": "shell", "command": "rm"}}),
    ("steps.a", "must be an object", {"a": "rm -rf"}),
    ("steps.a.tool", "missing required", {"a": {"kind": "tool"}}),
    ("steps.a.command", "unknown field", {"a": tool(command="rm")}),
    ("steps.a.arguments", "xpected `object`", {"a": tool(arguments=[1])}),
    ("steps.a.prompt", "is invalid", {"a": prompt("x" * 20_001)}),
    ("steps.a.prompt", "unknown placeholder {{user}}", {"a": prompt("{{user}}")}),
    ("steps.a.prompt", "unknown placeholder", {"a": prompt("{{steps.b.__class__.  }}")}),
    ("steps.a.prompt", "unclosed or nested", {"a": prompt("{{input}")}),
    ("steps.a.prompt", "unclosed or nested", {"a": prompt("{{ {{input}} }}")}),
    ("steps.a.prompt", "more than 100 placeholders", {"a": prompt("{{input}}" * 101)}),
    ("steps.a.arguments.q[0].x", "{{inptu}}", {"a": tool(arguments={"q": [{"x": "{{inptu}}"}]})}),
    ("steps.a.arguments.q", "placeholder in a key", {"a": tool(arguments={"q": {"{{input}}": 1}})}),
    ("steps.a.input", "step b, which doesn't exist", {"a": agent(input="{{steps.b}}")}),
    ("steps.a.input", "never runs before", {"a": agent(input="{{steps.b}}", next="b"), "b": tool()}),
    ("steps.a.input", "never runs before", {"a": agent(input="{{steps.a}}")}),
    ("steps.b.prompt", "a router, which has none", {"a": router(x="b"), "b": prompt("{{steps.a}}")}),
    ("steps.c.prompt", "never runs before", {"a": parallel(x=["b"], y=["c"]), "b": tool(), "c": prompt("{{steps.b}}")}),
    ("steps.b.prompt", "never runs before", {"a": parallel(x=["b"], y=["c"]), "c": tool(), "b": prompt("{{steps.a}}")}),
    ("steps.d.prompt", "refers to the branch 'z'", {"a": parallel(x=["b"], y=["c"]) | {"next": "d"}, "b": tool(), "c": tool(),
                                               "d": prompt("{{steps.a.z}}")}),
    ("steps.a.branches", "2 to 10 branches", {"a": parallel(x=["b"]), "b": tool()}),
    ("steps.a.branches.y", "at least one step", {"a": parallel(x=["b"], y=[]), "b": tool()}),
    ("steps.a.branches.y[0]", "is in two branches", {"a": parallel(x=["b"], y=["b"]), "b": tool()}),
    ("steps.a.branches.y[0]", "router or parallel", {"a": parallel(x=["b"], y=["c"]), "b": tool(), "c": router(x="b")}),
    ("steps.a.branches.y[0]", "router or parallel", {"a": parallel(x=["b"], y=["a"]), "b": tool()}),
    ("steps.b.next", "leave its next out", {"a": parallel(x=["b"], y=["c"]), "b": tool(next="c"), "c": tool()}),
    ("start", "leads into the branch", {"_start": "b", "a": parallel(x=["b"], y=["c"]), "b": tool(), "c": tool()}),
    ("steps.a.cases", "1 to 50 cases", {"a": {"kind": "router", "by": "", "cases": {}, "otherwise": "b"}, "b": tool()}),
    ("steps.a.cases", "is invalid", {"a": {"kind": "router", "by": "", "cases": {"": "b"}, "otherwise": "b"}}),
]  # fmt: skip


@pytest.mark.parametrize(
    ("field", "expected", "steps"), INVALID_PIPELINES, ids=lambda case: case if isinstance(case, str) else ""
)
def test_a_wrong_one_is_refused_with_its_place(field: str, expected: str, steps: dict[str, Any]) -> None:
    steps = dict(steps)
    error = rejection(steps.pop("_start", "a"), **steps)
    assert field == error.field, error.message
    assert expected in error.message


@pytest.mark.parametrize("name", ["", "1st", "a b", "chat", "Auto", "x" * 65, 7, None, "../x", "a\n"])
def test_names_that_are_taken_or_none_are_refused(name: Any) -> None:
    with pytest.raises(InputError) as caught:
        check(name=name, a=tool())
    assert "name" == caught.value.field


def test_a_name_that_looks_like_an_id_is_refused() -> None:
    with pytest.raises(InputError, match="like an id"):
        check(name="a" * 32, a=tool())


def test_masses_are_refused_before_they_are_read() -> None:
    deep: Any = "x"
    for _ in range(5000):
        deep = [deep]
    assert "steps" == rejection(a=tool(arguments={"q": deep})).field
    assert "256 KB" in rejection(**{f"a{i}": prompt("x" * 19_000) for i in range(20)}).message


def test_fifty_steps_and_a_long_chain_are_right() -> None:
    steps = {f"s{i}": tool(next=f"s{i + 1}" if i < 49 else None) for i in range(50)}
    assert {"s49"} == find_final_steps(check("s0", **steps))
