"""What `POST /api/chat` may say of how its answer is made, with real processes and a model server that records its requests."""

import asyncio
from typing import Any

import httpx
import pytest

from tests.api.conftest import Running
from tests.counterparts.behaviours import text

WEATHER: dict[str, Any] = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "parameters": {"type": "object", "properties": {"zone": {"type": "string"}, "at": {"type": "string"}}},
    },
}


async def chat(running: Running, **body: Any) -> dict[str, Any]:
    answer = await running.http.post("/api/chat", json={"message": "hi", "model": "openai/text-3"} | body)
    assert 200 == answer.status_code, answer.text
    return answer.json()


def asked(running: Running) -> dict[str, Any]:
    """Return the last request that reached the model server."""
    return running.models.requests[-1].body


async def test_what_a_chat_says_of_its_answer_reaches_the_model(running: Running) -> None:
    schema = {"type": "object", "properties": {"why": {"type": "string"}, "answer": {"type": "string"}}}
    response_format = {"type": "json_schema", "json_schema": {"name": "a", "schema": schema}}
    await chat(running, temperature=0.25, max_tokens=9, system="Be brief.", response_format=response_format)
    body = asked(running)
    assert (0.25, response_format) == (body["temperature"], body["response_format"])
    assert ["why", "answer"] == list(body["response_format"]["json_schema"]["schema"]["properties"])
    assert 9 in (body.get("max_tokens"), body.get("max_completion_tokens"))
    assert [("system", "Be brief."), ("user", "hi")] == [(m["role"], m["content"]) for m in body["messages"]]


async def test_a_system_prompt_holds_for_its_message_only(running: Running) -> None:
    first = await chat(running, system="Be brief.")
    await chat(running, message="again", session_id=first["session_id"])
    assert ["hi", text(3), "again"] == [message["content"] for message in asked(running)["messages"]]


async def test_the_tools_of_a_client_are_called_and_answered(running: Running) -> None:
    called = await chat(running, model="openai/tool-call", tools=[WEATHER], tool_choice="auto")
    assert "tool_calls" == called["finish_reason"]
    assert [WEATHER] == asked(running)["tools"]
    results = [{"tool_call_id": call["id"], "text": f"{i} degrees"} for i, call in enumerate(called["tool_calls"])]
    body = {"session_id": called["session_id"], "tools": [WEATHER], "tool_results": results, "message": None}
    assert text(3) == (await chat(running, **body))["text"]
    shown = asked(running)["messages"]
    assert ["user", "assistant", "tool"] == [message["role"] for message in shown]
    assert [call["id"] for call in called["tool_calls"]] == [call["id"] for call in shown[1]["tool_calls"]]
    assert ["0 degrees"] == [message["content"] for message in shown[2:]]


async def test_results_that_come_twice_at_once_are_taken_once(running: Running) -> None:
    called = await chat(running, model="openai/tool-call", tools=[WEATHER])
    results = [{"tool_call_id": call["id"], "text": "7 degrees"} for call in called["tool_calls"]]
    body = {"model": "openai/text-3", "session_id": called["session_id"], "tools": [WEATHER], "tool_results": results}
    answers = await asyncio.gather(*(running.http.post("/api/chat", json=body) for _ in range(3)))
    assert [200, 400, 400] == sorted(answer.status_code for answer in answers)
    await chat(running, message="and now?", session_id=called["session_id"])
    assert ["user", "assistant", "tool", "assistant", "user"] == [one["role"] for one in asked(running)["messages"]]


async def test_a_message_in_place_of_results_leaves_the_open_calls_out(running: Running) -> None:
    called = await chat(running, model="openai/tool-call", tools=[WEATHER])
    await chat(running, message="never mind", session_id=called["session_id"])
    shown = asked(running)["messages"]
    assert "never mind" == shown[-1]["content"]
    assert not any(message.get("tool_calls") or message["role"] == "tool" for message in shown)


async def test_the_output_format_of_a_chat_is_checked_without_an_agent(running: Running) -> None:
    answer = await chat(running, model="openai/text-3", output_format="structured_json")
    assert (None, None) == (answer["agent"], answer["data"])
    assert "JSON" in str(asked(running)["messages"])
    assert "output_format_missed" == answer["notice"]["code"]
    assert "structured_json" in answer["notice"]["message"]


async def test_metadata_comes_back_with_the_job_and_in_lists(running: Running) -> None:
    wanted = {"ticket": "T-7", "người": "Lan"}
    job_id = (await chat(running, metadata=wanted))["job_id"]
    assert wanted == (await running.http.get(f"/api/jobs/{job_id}")).json()["metadata"]
    page = (await running.http.get("/api/jobs")).json()["items"]
    assert wanted == next(job["metadata"] for job in page if job["id"] == job_id)


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/responses"])
async def test_metadata_of_openais_api_comes_back_with_the_job(running: Running, path: str) -> None:
    said = {"messages": [{"role": "user", "content": "hi"}]} if "chat" in path else {"input": "hi"}
    sent = {"model": "openai/text-1", "metadata": {"ticket": "T-7"}, **said}
    answer = await running.http.post(path, json=sent)
    job = (await running.http.get(f"/api/jobs/{answer.headers['x-job-id']}")).json()
    assert {"ticket": "T-7"} == job["metadata"]


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "message"),
        ({"message": "hi", "tool_results": [{"tool_call_id": "c", "text": "1"}]}, "message"),
        ({"tool_results": [{"tool_call_id": "c", "text": "1"}]}, "session_id"),
        ({"message": "hi", "tools": [{"type": "web_search"}]}, "tools[0]"),
        ({"message": "hi", "tool_choice": "required"}, "tool_choice"),
        ({"message": "hi", "response_format": {"type": "xml"}}, "response_format.type"),
        ({"message": "hi", "temperature": 3}, "temperature"),
        ({"message": "hi", "metadata": {"k" * 65: "v"}}, "metadata"),
        ({"message": "hi", "output_format": "poem"}, "output_format"),
    ],
)
async def test_what_no_answer_can_be_made_with_is_named(
    api: httpx.AsyncClient, body: dict[str, Any], field: str
) -> None:
    refused = await api.post("/api/chat", json=body)
    assert (400, field) == (refused.status_code, refused.json()["errors"][0]["field"]), refused.text


async def test_results_that_nobody_waits_for_are_refused(running: Running) -> None:
    first = await chat(running)
    body = {"session_id": first["session_id"], "tool_results": [{"tool_call_id": "c", "text": "1"}]}
    refused = await running.http.post("/api/chat", json=body)
    assert (400, "tool_results") == (refused.status_code, refused.json()["errors"][0]["field"])
