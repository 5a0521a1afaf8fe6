"""Agents end to end: a question, the right agent, real HTTP calls with a token of the job, every step to be seen."""

import base64
import io
import json
from typing import Any
from uuid import uuid4

import aiohttp
import pytest
from PIL import Image, ImageDraw, ImageFont

from schema.postgres.connections import pool_for
from tests.conftest import TestTenant
from tests.counterparts.behaviours import text
from tests.journeys.agent_setup import DEBT, SHIPMENT, add_agent, add_tools, grant_tools, script
from tests.journeys.client import Client, assert_complete, event_types
from tests.secret import VAULT
from tests.system import ModelProcess, System
from workers.job_tokens import JobCaller, JobTokens, read_audience
from workers.signing_keys import SigningKeys

WORDS = 120
QUESTION = "What is the debt for customer MST 0104985841?"


@pytest.fixture
def agents(shared_url: str, tenant: TestTenant, erp_url: str) -> None:
    add_tools(shared_url, tenant, erp_url)
    add_agent(shared_url, tenant, "AgentDebt", **DEBT)
    add_agent(shared_url, tenant, "AgentShipment", **SHIPMENT)


async def test_a_question_finds_its_agent_which_asks_the_erp_with_a_token_of_the_job(
    client: Client, provider: ModelProcess, agents: None
) -> None:
    debt = {"calls": [["get_customer_debt", {"tax_code": "0104985841"}]]}
    await script(provider.url, "debt-model", debt, {"said": "They owe 125,750,000 VND."})
    async with await client.ask("debt-model", QUESTION, agent="auto") as stream:
        events = await stream.rest()
    assert "They owe 125,750,000 VND." == assert_complete(events)
    assert [
        "job.queued", "job.started", "agent.routed", "tool.started", "tool.finished", "message.delta",
        "message.completed", "usage.recorded", "job.succeeded",
    ] == event_types(events)  # fmt: skip
    told = {event.type: event.data for event in events}
    assert ("AgentDebt", "react") == (told["agent.routed"]["agent"], told["agent.routed"]["graph"])
    assert ("get_customer_debt", {"tax_code": "0104985841"}) == (
        told["tool.started"]["name"], told["tool.started"]["arguments"]
    )  # fmt: skip
    assert told["tool.finished"]["ok"], told["tool.finished"]
    assert "125750000" in told["tool.finished"]["output"].replace(",", "").replace(".", "")
    assert "AgentDebt" == told["message.completed"]["agent"]


async def test_offline_answers_from_the_erp_too(client: Client, agents: None) -> None:
    status, answer = await client.post(
        "/api/chat", {"message": QUESTION, "model": "offline/extractive", "agent": "auto"}
    )
    assert (200, "AgentDebt") == (status, answer["agent"]), answer
    assert "125750000" in answer["text"].replace(",", "").replace(".", "")
    assert "no_language_model" == answer["notice"]["code"]
    assert answer["notice"]["message"] not in answer["text"]
    trace = await client.get(f"/api/jobs/{answer['job_id']}/trace")
    job = await client.get(f"/api/jobs/{answer['job_id']}")
    export = await client.get(f"/api/sessions/{answer['session_id']}/export")
    assert answer["notice"] == trace["notice"] == job["result"]["notice"] == export["messages"][-1]["notice"]


async def test_a_language_models_answer_has_no_notice(client: Client, provider: ModelProcess, agents: None) -> None:
    await script(provider.url, "plain-model", {"said": "Hello!"})
    status, answer = await client.post(
        "/api/chat", {"message": "Hello!", "model": "openai/plain-model", "agent": "auto"}
    )
    assert (200, None) == (status, answer["notice"]), answer


async def test_two_questions_in_one_are_answered_one_after_the_other(
    client: Client, provider: ModelProcess, agents: None
) -> None:
    await script(
        provider.url, "two-model",
        {"calls": [["get_customer_debt", {"tax_code": "0104985841"}]]}, {"said": "They owe much."},
        {"calls": [["get_shipment", {"code": "VD1007"}]]}, {"said": "It is on its way."},
    )  # fmt: skip
    question = "What is the debt for customer MST 0104985841? And where is shipment VD1007?"
    async with await client.ask("two-model", question, agent="auto") as stream:
        events = await stream.rest()
    assert "They owe much.\n\nIt is on its way." == assert_complete(events)
    assert ["AgentDebt", "AgentShipment"] == [e.data["agent"] for e in events if e.type == "agent.routed"]
    assert ["get_customer_debt", "get_shipment"] == [e.data["name"] for e in events if e.type == "tool.started"]


async def test_small_talk_is_answered_by_the_model_alone(client: Client, provider: ModelProcess, agents: None) -> None:
    await script(provider.url, "small-model", {"said": "Hello!"})
    async with await client.ask("small-model", "Hello, how are you today?", agent="auto") as stream:
        events = await stream.rest()
    assert "Hello!" == assert_complete(events)
    assert ["chat"] == [event.data["graph"] for event in events if event.type == "agent.routed"]


async def test_a_plan_runs_its_steps_and_answers_from_them(
    client: Client, provider: ModelProcess, shared_url: str, tenant: TestTenant, agents: None
) -> None:
    add_agent(shared_url, tenant, "Planner", graph="plan_execute", tools=["get_customer_debt", "get_shipment"])
    steps = [
        {"id": "1", "task": "Look up the debt", "tool": "get_customer_debt", "arguments": {"tax_code": "0104985841"}},
        {"id": "2", "task": "Look up the shipment", "tool": "get_shipment", "arguments": {"code": "VD1007"}},
    ]
    plan, verdict = json.dumps({"steps": steps}), json.dumps({"enough": True})
    await script(provider.url, "plan-model", {"said": plan}, {"said": verdict}, {"said": "Both are known."})
    async with await client.ask("plan-model", "Compare them.", agent="Planner") as stream:
        events = await stream.rest()
    assert "Both are known." == assert_complete(events)
    assert [["Look up the debt", "Look up the shipment"]] == [
        event.data["steps"] for event in events if event.type == "plan.created"
    ]
    assert [True, True] == [event.data["ok"] for event in events if event.type == "tool.finished"]


async def test_a_tool_that_fails_is_told_to_the_model_and_the_job_goes_on(
    client: Client, provider: ModelProcess, agents: None
) -> None:
    wrong = {"calls": [["get_customer_debt", {"tax_code": "DROP TABLE"}], ["no_such_tool", {}]]}
    await script(provider.url, "wrong-model", wrong, {"said": "I could not find it."})
    async with await client.ask("wrong-model", QUESTION, agent="AgentDebt") as stream:
        events = await stream.rest()
    assert "I could not find it." == assert_complete(events)
    finished = {event.data["name"]: event.data for event in events if event.type == "tool.finished"}
    assert not finished["get_customer_debt"]["ok"]
    assert "tax_code" in finished["get_customer_debt"]["output"]
    assert "get_customer_debt" in finished["no_such_tool"]["output"]


async def test_an_agent_that_is_not_ours_is_unknown(client: Client, agents: None) -> None:
    status, problem = await client.post("/api/chat", {"message": "hi", "agent": "AgentSecret"})
    assert (400, "agent_unknown") == (status, problem["code"])
    assert "AgentDebt" in problem["detail"]


async def test_a_killed_worker_calls_no_tool_twice_and_the_stream_goes_on(
    system: System,
    client: Client,
    provider: ModelProcess,
    shared_url: str,
    tenant: TestTenant,
    erp_url: str,
    agents: None,
) -> None:
    marker, slow = f"Pay, please ({uuid4()}).", {"behaviour": f"text-{WORDS}-at-60"}
    reminder = {"calls": [["send_reminder", {"tax_code": "0104985841", "message": marker}]]}
    await script(provider.url, "kill-model", reminder, slow, slow, slow)
    async with await client.ask("kill-model", "Send a reminder to 0104985841.", agent="AgentDebt") as stream:
        await stream.until("message.delta", 5)
        system.kill("chat")
        system.start("chat")
        events = await stream.rest()
    assert text(WORDS) == assert_complete(events)
    restarted = next(event.seq for event in events if event.type == "job.restarted")
    for part in (events[:restarted], events[restarted:]):
        assert ["tool.started", "tool.finished"] == [e.type for e in part if e.type.startswith("tool.")]
    assert [1] == [sent["calls"] for sent in await reminders(shared_url, tenant, erp_url) if sent["message"] == marker]


async def reminders(shared_url: str, tenant: TestTenant, erp_url: str) -> list[dict[str, Any]]:
    """What the ERP has sent for a tenant, asked with a token as its tools have it: nobody's access token is good there."""
    said: dict[str, Any] = {"issuer": "http://localhost:8000", "role": "member", "rights": ()}
    caller = JobCaller(tenant_id=tenant.id, subject="ada", **said)
    pool = pool_for(shared_url, "headrace_app", max_size=1)
    await pool.open()
    try:
        token = await JobTokens(SigningKeys(pool, VAULT)).issue(caller, uuid4(), read_audience(erp_url))
    finally:
        await pool.close()
    async with (
        aiohttp.ClientSession(headers={"Authorization": f"Bearer {token}"}) as http,
        http.get(f"{erp_url}/reminders") as answer,
    ):
        return (await answer.json())["reminders"]


async def test_a_clients_own_tools_are_called_by_the_client(
    client: Client, provider: ModelProcess, agents: None
) -> None:
    await script(provider.url, "own-model", {"calls": [["open_door", {"door": 3}]]}, {"said": "It is open."})
    tool = {"type": "function", "function": {"name": "open_door", "parameters": {"type": "object"}}}
    body = {"model": "agent/AgentDebt", "messages": [{"role": "user", "content": "Open door 3."}], "tools": [tool]}
    status, answer = await client.post("/v1/chat/completions", {**body, "model": "openai/own-model"})
    assert (200, "tool_calls") == (status, answer["choices"][0]["finish_reason"])


async def test_a_form_that_is_wrong_is_mended_once(
    client: Client, provider: ModelProcess, shared_url: str, tenant: TestTenant, agents: None
) -> None:
    schema = {"type": "object", "properties": {"debt": {"type": "number"}}, "required": ["debt"]}
    form = {"output_format": "structured_json", "output_schema": schema, "renderer": {"type": "card"}}
    add_agent(shared_url, tenant, "Formed", **form)
    await script(provider.url, "form-model", {"said": "A lot!"}, {"said": '{"debt": 5}'})
    async with await client.ask("form-model", "How much?", agent="Formed") as stream:
        events = await stream.rest()
    assert '{"debt": 5}' == assert_complete(events)
    (completed,) = [event.data for event in events if event.type == "message.completed"]
    assert ({"debt": 5}, {"type": "card"}) == (completed["data"], completed["renderer"])
    assert ['{"debt": 5}'] == [event.data["text"] for event in events if event.type == "message.delta"]


async def test_what_was_read_cannot_make_a_tool_act_without_the_user(
    system: System,
    client: Client,
    provider: ModelProcess,
    shared_url: str,
    tenant: TestTenant,
    erp_url: str,
    agents: None,
) -> None:
    marker = f"Planted ({uuid4()})."
    look = {"calls": [["get_customer_debt", {"tax_code": "0104985841"}]]}
    act = {"calls": [["send_reminder", {"tax_code": "0104985841", "message": marker}]]}
    await script(provider.url, "planted-model", look, act, {"said": "I was not allowed to."})
    async with await client.ask("planted-model", QUESTION, agent="AgentDebt") as stream:
        events = await stream.rest()
    assert_complete(events)
    finished = [event.data for event in events if event.type == "tool.finished"]
    assert [True, False] == [one["ok"] for one in finished]
    assert "confirm send_reminder" in finished[1]["output"]
    assert marker not in [sent["message"] for sent in await reminders(shared_url, tenant, erp_url)]
    await script(provider.url, "planted-model", look, act, {"said": "Done."})
    async with await client.ask("planted-model", "Yes, confirm send_reminder", agent="AgentDebt") as stream:
        assert_complete(await stream.rest())
    assert marker in [sent["message"] for sent in await reminders(shared_url, tenant, erp_url)]


async def test_a_model_without_tools_calls_them_in_writing(
    client: Client, provider: ModelProcess, agents: None
) -> None:
    written = '```tool_call\n{"name": "get_customer_debt", "arguments": {"tax_code": "0104985841"}}\n```'
    await script(provider.url, "no-tools-1", {"said": written}, {"said": "They owe it."})
    async with await client.ask("no-tools-1", QUESTION, agent="AgentDebt") as stream:
        events = await stream.rest()
    assert [True] == [event.data["ok"] for event in events if event.type == "tool.finished"]


async def test_another_model_answers_when_the_first_does_not(
    client: Client, provider: ModelProcess, shared_url: str, tenant: TestTenant, agents: None
) -> None:
    add_agent(shared_url, tenant, "Twice", models=["openai/down-model", "openai/up-model"])
    await script(provider.url, "down-model", {"status": 500})
    await script(provider.url, "up-model", {"said": "Here I am."})
    status, answer = await client.post("/api/chat", {"message": "Are you there?", "agent": "Twice"})
    assert (200, "Here I am.", "openai/up-model") == (status, answer["text"], answer["model"])


async def test_every_step_can_be_read_afterwards(client: Client, provider: ModelProcess, agents: None) -> None:
    debt = {"calls": [["get_customer_debt", {"tax_code": "0104985841"}]], "said": "I look it up."}
    await script(provider.url, "trace-model", debt, {"said": "They owe much."})
    async with await client.ask("trace-model", QUESTION, agent="AgentDebt") as stream:
        await stream.rest()
    trace = await client.get(f"/api/jobs/{stream.job_id}/trace")
    assert ["agent", "text", "tool", "text"] == [step["kind"] for step in trace["steps"]]
    tool = trace["steps"][2]
    assert ("get_customer_debt", {"tax_code": "0104985841"}, True) == (tool["tool"], tool["arguments"], tool["ok"])
    assert "I look it up.\n\nThey owe much." == trace["text"]


async def test_a_picture_is_read_by_a_tool_for_a_model_that_cannot_see(
    client: Client, provider: ModelProcess, shared_url: str, tenant: TestTenant
) -> None:
    grant_tools(shared_url, tenant, "read_image")
    add_agent(shared_url, tenant, "AgentOCR", graph="react", tools=["read_image"])
    await script(
        provider.url, "blind-model", {"calls": [["read_image", {"file_id": "image_1"}]]}, {"said": "It is read."}
    )
    picture = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{written('TOTAL 125750')}"}}
    message = [{"type": "text", "text": "What is the total?"}, picture]
    async with await client.ask("blind-model", message, agent="AgentOCR") as stream:
        events = await stream.rest()
    (read,) = [event.data for event in events if event.type == "tool.finished"]
    assert read["ok"], read
    assert "125750" in read["output"].replace(" ", "")


def written(words: str) -> str:
    """A picture of words, as base64."""
    image = Image.new("RGB", (600, 120), "white")
    ImageDraw.Draw(image).text((30, 30), words, fill="black", font=ImageFont.load_default(48))
    file = io.BytesIO()
    image.save(file, "PNG")
    return base64.b64encode(file.getvalue()).decode()
