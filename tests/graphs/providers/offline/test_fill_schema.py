"""The offline model and `response_format`: plans of steps, checks and tables, filled by rules."""

import json
from typing import Any

import pytest

from graphs.providers.contract import Message, ModelRequest, ToolCallPart, ToolResultPart
from graphs.providers.offline.replies import reply

TAX = {
    "type": "object",
    "properties": {"tax_code": {"type": "string", "pattern": r"^\d{10}$"}},
    "required": ["tax_code"],
}
CODE = {
    "type": "object",
    "properties": {"code": {"type": "string", "description": "As SHP-0001"}},
    "required": ["code"],
}
PROMPT = f"""Make a plan. Tools:
- get_customer_debt: Outstanding debt of a customer {json.dumps(TAX)}
- track_shipment: Where a shipment is {json.dumps(CODE)}
"""
BOTH = "What is the debt for MST 0104985841 and where is shipment SHP-1029?"
STEP = {
    "id": {"type": "integer"},
    "task": {"type": "string"},
    "tool": {"type": ["string", "null"]},
    "arguments": {"type": "object"},
    "depends_on": {"type": "array", "items": {"type": "integer"}},
}


def form(properties: dict[str, Any], **more: Any) -> dict[str, Any]:
    schema = {"type": "object", "properties": properties, "required": list(properties), **more}
    return {"type": "json_schema", "json_schema": {"name": "form", "schema": schema}}


def fill(question: str, response_format: dict[str, Any], system: str = "", *more: Message, **fields: Any) -> Any:
    messages = (*((Message.of("system", system),) if system else ()), Message.of("user", question), *more)
    got = reply(ModelRequest(model="extractive", messages=messages, response_format=response_format, **fields))
    assert () == got.calls
    return json.loads(got.text)


def result(text: str) -> tuple[Message, Message]:
    return (
        Message("assistant", (ToolCallPart("c", "get_customer_debt", '{"tax_code":"0104985841"}'),)),
        Message("tool", (ToolResultPart("c", text),)),
    )


def steps(**inner: Any) -> dict[str, Any]:
    return form({"steps": {"type": "array", "items": {"type": "object", "properties": inner, "required": list(inner)}}})


def test_a_plan_has_a_step_for_each_part_with_its_tool_and_arguments():
    plan = fill(BOTH, steps(**STEP), PROMPT)

    assert [
        {
            "id": 1,
            "task": "What is the debt for MST 0104985841",
            "tool": "get_customer_debt",
            "arguments": {"tax_code": "0104985841"},
            "depends_on": [],
        },
        {
            "id": 2,
            "task": "where is shipment SHP-1029?",
            "tool": "track_shipment",
            "arguments": {"code": "SHP-1029"},
            "depends_on": [],
        },
    ] == plan["steps"]


def test_a_plan_of_one_lookup_ends_with_the_answer():
    plan = fill("What is the debt for MST 0104985841?", steps(**STEP), PROMPT)["steps"]

    assert [("get_customer_debt", 1), (None, 2)] == [(step["tool"], step["id"]) for step in plan]


def test_tools_may_be_offered_instead_of_written():
    tools = ({"type": "function", "function": {"name": "get_customer_debt", "description": "Debt", "parameters": TAX}},)
    asked = "What is the debt for MST 0104985841?"
    turns = (Message.of("user", asked),)

    offered = reply(ModelRequest(model="extractive", messages=turns, tools=tools, response_format=steps(**STEP)))

    assert ["get_customer_debt"] == [
        call.name for call in offered.calls
    ]  # with tools at hand it does, and plans nothing


@pytest.mark.parametrize(("options", "expected"), [(["get_customer_debt"], 1), (["get_customer_debt", "none"], 2)])
def test_a_step_that_must_name_a_tool_is_written_only_with_one(options: list[str], expected: int):
    plan = fill("What is the debt for MST 0104985841?", steps(task={"type": "string"}, tool={"enum": options}), PROMPT)

    assert expected == len(plan["steps"])
    assert options[-1] == plan["steps"][-1]["tool"]


def test_a_plan_may_be_a_list_of_words_and_behind_a_reference():
    words = form({"plan": {"type": "array", "items": {"type": "string"}}})
    step = {"type": "object", "properties": {"task": {"type": "string"}}, "required": ["task"]}
    referred = form({"plan": {"type": "array", "items": {"$ref": "#/$defs/Step"}}}, **{"$defs": {"Step": step}})

    tasks = fill(BOTH, words, PROMPT)["plan"]

    assert ["What is the debt for MST 0104985841", "where is shipment SHP-1029?"] == tasks
    assert tasks == [one["task"] for one in fill(BOTH, referred, PROMPT)["plan"]]


def test_json_without_a_schema_is_a_plan_where_one_was_asked_for():
    plan = fill(BOTH, {"type": "json_object"}, PROMPT)

    assert ["get_customer_debt", "track_shipment"] == [step["tool"] for step in plan["steps"]]
    assert 2 == len(fill("Lập kế hoạch tìm công nợ", {"type": "json_object"})["steps"])


def test_json_without_a_schema_is_else_the_answer_and_its_data():
    got = fill("What is the debt?", {"type": "json_object"}, "", *result('{"debt": 5}'))

    assert {"debt": 5} == got["data"]
    assert "- debt: 5" == got["answer"]


def test_a_check_is_passed_when_a_tool_has_answered():
    check = form({"complete": {"type": "boolean"}, "missing": {"type": "string"}})

    assert {"complete": True, "missing": ""} == fill("Debt?", check, "", *result('{"debt": 5}'))
    assert {"complete": False, "missing": ""} == fill("Debt?", check, "", *result('{"error": "away"}'))
    assert {"complete": False, "missing": ""} == fill("Debt?", check)


def test_fields_are_taken_from_results_by_name_and_type():
    wanted = form({"taxCode": {"type": "string"}, "debt": {"type": "number"}, "currency": {"enum": ["USD", "VND"]}})
    found = '{"data": {"tax_code": "0104985841", "debt": 125.5}}'

    assert {"taxCode": "0104985841", "debt": 125.5, "currency": "VND"} == fill(
        "Debt in VND?", wanted, "", *result(found)
    )


def test_rows_are_taken_from_the_records_that_have_such_fields():
    row = {"type": "object", "properties": {"no": {"type": "string"}, "amount": {"type": "number"}}}
    wanted = form({"rows": {"type": "array", "items": row}, "title": {"type": "string"}})
    found = '{"invoices": [{"no": "INV-1", "amount": 1, "due": "x"}, {"no": "INV-2", "amount": 2, "due": "y"}]}'

    got = fill("Which invoices?", wanted, "", *result(found))

    assert [{"no": "INV-1", "amount": 1}, {"no": "INV-2", "amount": 2}] == got["rows"]
    assert "Which invoices?" == got["title"]


def test_what_is_optional_and_empty_is_left_out():
    wanted = form({"answer": {"type": "string"}})
    wanted["json_schema"]["schema"]["properties"]["note_of_nothing"] = {"type": "array", "items": {"type": "integer"}}

    assert ["answer"] == list(fill("Debt?", wanted))


def test_a_form_that_goes_round_in_circles_ends():
    node = {"type": "object", "properties": {"next": {"$ref": "#/$defs/Node"}}, "required": ["next"]}

    fill("hello", form({"next": {"$ref": "#/$defs/Node"}}, **{"$defs": {"Node": node}}))


def test_a_form_that_asks_for_an_agent_alone_is_declined():
    wanted = form({"agent": {"enum": ["AgentDebt", "none"]}})

    question = reply(
        ModelRequest(model="extractive", messages=(Message.of("user", "debt?"),), response_format=wanted)
    ).text

    assert "Choosing an agent for this needs a language model; please name the agent." == question
