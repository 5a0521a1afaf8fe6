"""The offline model and tools: what it calls, with which arguments, and what it says of the results."""

import json

import pytest

from graphs.providers.contract import (
    Finished,
    Message,
    ModelRequest,
    TextDelta,
    ToolCallDelta,
    ToolCallPart,
    ToolResultPart,
)
from graphs.providers.offline.provider import Offline
from graphs.providers.offline.replies import reply
from graphs.routing.clarify import build_prompt
from graphs.routing.contract import Candidate, Route, Scored
from tests.graphs.model_requests import collect, text_of


def tool(name: str, description: str, required: dict | None = None, **optional: dict) -> dict:
    schema = {"type": "object", "properties": {**(required or {}), **optional}, "required": list(required or {})}
    return {"type": "function", "function": {"name": name, "description": description, "parameters": schema}}


TEXT = {"type": "string"}
TAX = {"type": "string", "pattern": r"^\d{10}(-\d{3})?$", "description": "Tax code (MST) of the customer, 10 digits"}
OPERATIONS = {"type": "string", "enum": ["evaluate", "simplify", "solve", "differentiate"]}
DEBT = tool("get_customer_debt", "Outstanding debt of a customer.", {"tax_code": TAX})
PAYMENTS = tool(
    "list_payments", "Payments of a customer.", {"tax_code": TAX}, months={"type": "integer", "maximum": 24}
)
SHIPMENT = tool("track_shipment", "Where a shipment is.", {"code": {**TEXT, "description": "Its number, as SHP-0001"}})
INVOICES = tool(
    "list_invoices",
    "Invoices by status.",
    None,
    status={"enum": ["open", "overdue", "paid"]},
    limit={"type": "integer"},
)
CUSTOMER = tool("find_customer", "A customer by name.", {"name": TEXT})
WEATHER = tool(
    "weather", "The weather at a place.", {"place": TEXT}, days={"type": "integer", "minimum": 1, "maximum": 7}
)
TIMES = tool("world_time", "Date and time in places.", {"places": {"type": "array", "items": TEXT}}, time_is_in=TEXT)
MATHS = tool("mathematics", "Exact mathematics.", {"operation": OPERATIONS, "expression": TEXT}, variable=TEXT)
DOCUMENTS = tool(
    "search_documents", "Search the organisation's documents.", {"query": {**TEXT, "description": "The question"}}
)
WEB = tool("web_search", "Search the web for news.", {"query": TEXT})
WIKIPEDIA = tool("wikipedia", "Look something up in Wikipedia.", {"query": TEXT})
REMEMBER = tool("remember", "Keep one fact about the user.", {"fact": TEXT})
RECALL = tool("recall", "Find what was remembered about the user.", {"query": TEXT})
PYTHON = tool("python", "Run a Python program.", {"code": {**TEXT, "description": "The program"}})
EXPORT = tool(
    "export_report",
    "Export the report.",
    {"since": {**TEXT, "format": "date"}, "email": TEXT},
    detailed={"type": "boolean"},
)
TOOLS = (
    DEBT,
    PAYMENTS,
    SHIPMENT,
    INVOICES,
    CUSTOMER,
    WEATHER,
    TIMES,
    MATHS,
    DOCUMENTS,
    WEB,
    WIKIPEDIA,
    REMEMBER,
    RECALL,
    PYTHON,
)


def request(question: str, tools: tuple = TOOLS, *more: Message, **fields) -> ModelRequest:
    return ModelRequest(model="extractive", messages=(Message.of("user", question), *more), tools=tools, **fields)


def calls_for(question: str, tools: tuple = TOOLS, *more: Message, **fields) -> list[tuple[str, dict]]:
    return [(call.name, call.arguments) for call in reply(request(question, tools, *more, **fields)).calls]


def answer_to(question: str, *results: tuple[dict, dict, str], **fields) -> str:
    """What it says after these calls and their results."""
    parts = tuple(ToolCallPart(f"c{i}", t["function"]["name"], json.dumps(a)) for i, (t, a, _) in enumerate(results))
    told = tuple(Message("tool", (ToolResultPart(f"c{i}", text),)) for i, (_, _, text) in enumerate(results))
    got = reply(request(question, TOOLS, Message("assistant", parts), *told, **fields))
    assert () == got.calls
    return got.text


@pytest.mark.parametrize(
    ("question", "expected"),
    [
        ("What is the debt for customer MST 0104985841?", [("get_customer_debt", {"tax_code": "0104985841"})]),
        ("Công nợ của khách hàng MST 0104985841-001 là bao nhiêu?", [("get_customer_debt", {"tax_code": "0104985841-001"})]),
        ("cong no mst 0104985841", [("get_customer_debt", {"tax_code": "0104985841"})]),
        ("Payments of 0104985841 in the last 6 months", [("list_payments", {"tax_code": "0104985841", "months": 6})]),
        ("Where is SHP-1029?", [("track_shipment", {"code": "SHP-1029"})]),
        ("Lô hàng SHP-1029 đang ở đâu?", [("track_shipment", {"code": "SHP-1029"})]),
        ("List the paid invoices, top 5", [("list_invoices", {"status": "paid", "limit": 5})]),
        ('Find customer "Sữa Việt"', [("find_customer", {"name": "Sữa Việt"})]),
        ("What is the weather in Hanoi?", [("weather", {"place": "Hanoi"})]),
        ("thời tiết ở Hà Nội hôm nay thế nào?", [("weather", {"place": "Hà Nội"})]),
        ("weather in new york today", [("weather", {"place": "new york"})]),
        ("The weather in Ho Chi Minh City for 3 days", [("weather", {"place": "Ho Chi Minh City", "days": 3})]),
        ("Weather in Hanoi and Da Nang?", [("weather", {"place": "Hanoi"}), ("weather", {"place": "Da Nang"})]),
        ("What time is it in Tokyo and Paris?", [("world_time", {"places": ["Tokyo", "Paris"]})]),
        ("What is 17 times 23?", [("mathematics", {"operation": "evaluate", "expression": "17 * 23"})]),
        ("What is 12% of 1,350?", [("mathematics", {"operation": "evaluate", "expression": "12/100*1350"})]),
        ("Tính 15 cộng 27", [("mathematics", {"operation": "evaluate", "expression": "15 + 27"})]),
        ("giải phương trình 2x + 3 = 7", [("mathematics", {"operation": "solve", "expression": "2*x + 3 = 7"})]),
        ("Differentiate sin(x)*x", [("mathematics", {"operation": "differentiate", "expression": "sin(x)*x"})]),
        ("What does the contract say about rain?", [("search_documents", {"query": "What does the contract say about rain?"})]),
        ("Hợp đồng nói gì về thanh toán?", [("search_documents", {"query": "Hợp đồng nói gì về thanh toán?"})]),
        ("How many days of leave do I get?", [("search_documents", {"query": "How many days of leave do I get?"})]),
        ("Search the web for the price of copper", [("web_search", {"query": "the price of copper"})]),
        ("Who was Ada Lovelace?", [("wikipedia", {"query": "Ada Lovelace"})]),
        ("Remember that my colour is green", [("remember", {"fact": "my colour is green"})]),
        ("What do you remember about my colour?", [("recall", {"query": "What do you remember about my colour"})]),
        ("Run this in Python:\n```python\nprint(1)\n```", [("python", {"code": "print(1)"})]),
    ],
)  # fmt: skip
def test_a_question_finds_its_tool_and_its_arguments(question: str, expected: list):
    assert expected == calls_for(question)


@pytest.mark.parametrize(
    "question",
    [
        "hello",
        "Thanks!",
        "xin chào",
        "How are you?",
        "Write a poem about rivers",
        "we are open 24/7",
        "",
        "🙂",
        "on 2026-01-05",
    ],
)
def test_what_fits_no_tool_calls_none(question: str):
    assert [] == calls_for(question)


def test_several_parts_are_called_together():
    assert [
        ("get_customer_debt", {"tax_code": "0104985841"}),
        ("track_shipment", {"code": "SHP-1029"}),
        ("mathematics", {"operation": "evaluate", "expression": "3*7"}),
    ] == calls_for("What is the debt for MST 0104985841 and where is shipment SHP-1029? Calculate 3*7.")


def test_two_codes_are_two_calls_of_the_tool_that_the_first_was_for():
    assert [("get_customer_debt", {"tax_code": code}) for code in ("0104985841", "0312345678")] == calls_for(
        "Debt of MST 0104985841 and MST 0312345678"
    )


def test_dates_addresses_and_flags_are_read_by_their_format_and_name():
    question = "Export the detailed report since 1/3/2026 to an@example.com"

    assert [("export_report", {"since": "2026-03-01", "email": "an@example.com", "detailed": True})] == calls_for(
        question, (EXPORT,)
    )


def test_only_one_call_goes_out_where_several_were_not_asked_for():
    assert 1 == len(calls_for("Weather in Hanoi and Da Nang?", parallel_tool_calls=False))


def test_a_missing_argument_is_asked_for_in_the_questions_language():
    english, vietnamese = reply(request("Show the debt")), reply(request("Xem công nợ giúp tôi"))

    assert () == english.calls == vietnamese.calls
    assert english.text.endswith(
        "To use get_customer_debt, please tell me the tax code (Tax code (MST) of the customer, 10 digits)."
    )
    assert "xin cho tôi biết: tax code" in vietnamese.text


def test_a_code_may_stand_in_an_earlier_message():
    turns = (
        Message.of("user", "I am from MST 0104985841"),
        Message.of("assistant", "Hello."),
        Message.of("user", "Show the debt"),
    )

    got = reply(ModelRequest(model="extractive", messages=turns, tools=TOOLS))

    assert [{"tax_code": "0104985841"}] == [call.arguments for call in got.calls]


def test_what_is_missing_is_taken_from_a_result_by_its_name():
    question = "Find customer Vinamilk. Then show the debt."
    first = calls_for(question)
    steps = (
        Message("assistant", (ToolCallPart("c1", "find_customer", '{"name":"Vinamilk"}'),)),
        Message("tool", (ToolResultPart("c1", '{"data": {"name": "Vinamilk", "taxCode": "0300588569"}}'),)),
    )

    assert [("find_customer", {"name": "Vinamilk"})] == first
    assert [("get_customer_debt", {"tax_code": "0300588569"})] == calls_for(question, TOOLS, *steps)


def test_a_record_is_answered_as_a_list_and_its_records_as_a_table():
    found = {
        "debt": 125000000,
        "overdue": True,
        "invoices": [{"no": "INV-1", "amount": 100}, {"no": "INV-2", "amount": None}],
    }

    question = answer_to("What is the debt for MST 0104985841?", (DEBT, {"tax_code": "0104985841"}, json.dumps(found)))

    assert question == (
        "- debt: 125000000\n- overdue: true\n\n"
        "invoices:\n\n| no | amount |\n| --- | --- |\n| INV-1 | 100 |\n| INV-2 |  |"
    )


def test_fields_that_the_question_names_come_first():
    found = {"tax_code": "0104985841", "customer": "Vinamilk", "overdue": False, "debt": 5}

    question = answer_to(
        "What is the debt of customer 0104985841?", (DEBT, {"tax_code": "0104985841"}, json.dumps(found))
    )

    assert ["debt", "customer", "tax_code", "overdue"] == [line[2:].partition(":")[0] for line in question.split("\n")]


def test_of_several_results_each_stands_under_its_tool():
    question = answer_to(
        "Weather in Hanoi and Da Nang?", (WEATHER, {"place": "Hanoi"}, "rain"), (WEATHER, {"place": "Da Nang"}, "sun")
    )

    assert "From weather (place: Hanoi):\n\nrain\n\nFrom weather (place: Da Nang):\n\nsun" == question


def test_marks_around_a_result_are_not_quoted():
    question = answer_to(
        "debt of 0104985841?", (DEBT, {"tax_code": "0104985841"}, '<tool_result tool="x">\n{"debt": 5}\n</tool_result>')
    )

    assert question == "- debt: 5"


@pytest.mark.parametrize(
    "found",
    [
        "[1] handbook.pdf, page 3\nEvery employee has 24 days of leave.\n\n[2] menu.pdf\nLunch is at noon.",
        json.dumps(
            {
                "passages": [
                    {"number": 1, "text": "Every employee has 24 days of leave."},
                    {"number": 2, "text": "Lunch is at noon."},
                ]
            }
        ),
    ],
)
def test_passages_are_quoted_with_their_sources(found: str):
    asked = "How many days of leave do I get?"

    question = answer_to(asked, (DOCUMENTS, {"query": asked}, found))

    assert ["> Every employee has 24 days of leave. [1]"] == [
        line for line in question.split("\n") if line.startswith(">")
    ]


def test_passages_of_a_prompt_are_cited_too():
    turns = (
        Message.of("system", "[7] The pump takes 12 litres a minute."),
        Message.of("user", "What does the pump take?"),
    )

    assert reply(ModelRequest(model="extractive", messages=turns)).text.endswith(
        "> The pump takes 12 litres a minute. [7]"
    )


@pytest.mark.parametrize(
    "found", ['{"error": {"message": "no such customer"}}', "Error: no such customer", '{"error": "no such customer"}']
)
def test_a_tool_that_failed_is_said_to_have_failed(found: str):
    question = answer_to("debt of 0104985841?", (DEBT, {"tax_code": "0104985841"}, found))

    assert question.endswith("get_customer_debt (tax_code: 0104985841) failed: no such customer")


def test_nothing_is_called_twice_for_one_question():
    assert "rain" == answer_to("Weather in Hanoi?", (WEATHER, {"place": "Hanoi"}, "rain"))
    assert "rain" == answer_to("Weather in Hanoi?", (WEATHER, {"place": "Hanoi"}, "rain"), tool_choice="required")


def test_the_next_question_may_call_the_same_again():
    steps = (
        Message("assistant", (ToolCallPart("c1", "weather", '{"place":"Hanoi"}'),)),
        Message("tool", (ToolResultPart("c1", "rain"),)),
        Message.of("assistant", "Rain."),
        Message.of("user", "And now, what is the weather in Hanoi?"),
    )

    assert [("weather", {"place": "Hanoi"})] == calls_for("Weather in Hanoi?", TOOLS, *steps)


def test_what_is_missing_is_asked_for_after_what_could_be_done():
    question = answer_to("Show the debt. What is the weather in Hanoi?", (WEATHER, {"place": "Hanoi"}, "rain"))

    assert question.index("rain") < question.index("tell me the tax code")


def test_the_choice_of_tools_is_honoured():
    named = {"type": "function", "function": {"name": "list_invoices"}}

    assert [] == calls_for("What is the weather in Hanoi?", tool_choice="none")
    assert [("list_invoices", {})] == calls_for("What is the weather in Hanoi?", tool_choice=named)
    assert [("web_search", {"query": "hello"})] == calls_for("hello", (WEB,), tool_choice="required")


def test_a_request_to_choose_an_agent_is_declined_in_words():
    agents = [Candidate("AgentDebt", "Debts of customers"), Candidate("AgentShipment", "Shipments")]
    unsure = Route(None, 0.5, "en", (), "", best=tuple(Scored(agent.name, 0.5) for agent in agents))
    prompt = build_prompt("debt?", unsure, agents)

    question = reply(ModelRequest(model="extractive", messages=prompt)).text

    assert "Choosing an agent for this needs a language model; please name the agent." == question


async def test_calls_stream_without_the_notice_and_answers_with_it():
    asked = request("What is the weather in Hanoi and what is 2 + 3?")
    deltas = await collect(Offline(0), asked)
    again = await collect(Offline(0), asked)

    calls = [delta for delta in deltas if isinstance(delta, ToolCallDelta)]
    assert ["weather", "mathematics"] == [call.name for call in calls]
    assert [0, 1] == [call.index for call in calls]
    assert 2 == len({call.id for call in calls})
    assert "" == text_of(deltas)
    assert isinstance(deltas[-1], Finished)
    assert "tool_calls" == deltas[-1].reason
    assert deltas == again
    assert any(isinstance(delta, TextDelta) for delta in await collect(Offline(0), request("hello")))


def test_a_tool_whose_arguments_are_there_goes_before_one_whose_are_missing():
    asked = "What does the contract say about late payment?"

    assert [("search_documents", {"query": asked})] == calls_for(asked)


def test_a_bare_code_belongs_to_the_tool_of_the_part_before():
    assert [("list_payments", {"tax_code": code}) for code in ("0104985841", "0312345678")] == calls_for(
        "Payments of MST 0104985841 and MST 0312345678"
    )


def test_a_number_out_of_its_range_is_left_out():
    assert [("weather", {"place": "Hanoi"})] == calls_for("Weather in Hanoi for 30 days")


def test_what_was_forced_is_done_once_even_if_its_result_would_fill_more():
    count = tool("count_things", "Counts.", {"number": {"type": "integer"}})
    steps = (
        Message("assistant", (ToolCallPart("c1", "count_things", "{}"),)),
        Message("tool", (ToolResultPart("c1", '{"number": 5}'),)),
    )

    assert [("count_things", {})] == calls_for("hello", (count,), tool_choice="required")
    assert [] == calls_for("hello", (count,), *steps, tool_choice="required")
