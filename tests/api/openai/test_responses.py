"""`/v1/responses` as the official OpenAI package uses it, with real processes: create, stream, parse, and what came of it."""

import json
from typing import Any
from uuid import UUID, uuid4

import openai
import pytest
from openai import AsyncOpenAI
from pydantic import BaseModel

from tests.api.conftest import Running
from tests.counterparts.behaviours import Turn, text
from tests.workers.jobs import job_row

WEATHER: Any = {
    "type": "function",
    "name": "get_weather",
    "description": "The weather.",
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
    "strict": False,
}


MARK: Any = {"prompt_cache_breakpoint": {"mode": "explicit"}}


class Verdict(BaseModel):
    """A structured answer."""

    reason: str
    approved: bool


def client(running: Running, **options: Any) -> AsyncOpenAI:
    return AsyncOpenAI(base_url=f"{running.url}/v1", **{"api_key": running.tenant.key, "max_retries": 0, **options})


def sent(running: Running, said: str) -> dict[str, Any]:
    """What the model was sent of the last request whose prompt holds `said`."""
    return next(r.body for r in reversed(running.models.requests) if said in json.dumps(r.body, ensure_ascii=False))


async def test_a_response_has_text_usage_and_an_id(running: Running) -> None:
    async with client(running) as sdk:
        response = await sdk.responses.create(model="openai/text-7", input="How do you do?", metadata={"a": "b"})
    assert (text(7), "completed", {"a": "b"}) == (response.output_text, response.status, response.metadata)
    assert response.usage is not None
    assert (4, 7, 11) == (response.usage.input_tokens, response.usage.output_tokens, response.usage.total_tokens)
    assert response.id.startswith("resp_")
    assert f"msg_{response.id[5:]}_0" == response.output[0].id


async def test_a_stream_is_accumulated_by_the_sdk(running: Running) -> None:
    async with client(running) as sdk, sdk.responses.stream(model="openai/reasoning", input="Why?") as stream:
        events = [event async for event in stream]
        final = await stream.get_final_response()
    assert list(range(len(events))) == [event.sequence_number for event in events]
    kinds = list(dict.fromkeys(event.type for event in events))
    assert [
        *("response.created", "response.in_progress", "response.output_item.added"),
        *("response.reasoning_summary_part.added", "response.reasoning_summary_text.delta"),
        *("response.reasoning_summary_text.done", "response.reasoning_summary_part.done", "response.output_item.done"),
        *("response.content_part.added", "response.output_text.delta", "response.output_text.done"),
        *("response.content_part.done", "response.completed"),
    ] == kinds
    assert text(5) == final.output_text
    assert ["reasoning", "message"] == [item.type for item in final.output]


async def test_function_calls_go_out_come_back_and_are_answered(running: Running) -> None:
    said = str(uuid4())
    async with client(running) as sdk:
        async with sdk.responses.stream(model="openai/tool-call", input=said, tools=[WEATHER]) as stream:
            first = await (await stream.until_done()).get_final_response()
        (call,) = first.output
        assert ("function_call", "get_weather", '{"city": "Hà Nội"}') == (call.type, call.name, call.arguments)
        output: Any = {"type": "function_call_output", "call_id": call.call_id, "output": "rain"}
        second = await sdk.responses.create(model="openai/text-4", previous_response_id=first.id, input=[output])
    assert text(4) == second.output_text
    offered = sent(running, said)
    roles = [(message["role"], message.get("tool_call_id")) for message in offered["messages"]]
    assert [("user", None), ("assistant", None), ("tool", call.call_id)] == roles
    assert "rain" == offered["messages"][-1]["content"]


async def test_instructions_are_for_one_response_and_the_conversation_goes_on(running: Running) -> None:
    said = str(uuid4())
    async with client(running) as sdk:
        first = await sdk.responses.create(model="openai/text-3", input=said, instructions="Be brief.")
        second = await sdk.responses.create(
            model="openai/text-3", input="And?", previous_response_id=first.id, instructions="Be long."
        )
        items = await sdk.responses.input_items.list(second.id, order="asc")
    messages = [(m["role"], m["content"]) for m in sent(running, said)["messages"]]
    assert [("system", "Be long."), ("user", said), ("assistant", text(3)), ("user", "And?")] == messages
    assert [said, text(3), "And?"] == [item.content[0].text for item in items.data]


async def test_a_conversation_that_is_too_long_is_cut_only_where_that_was_asked_for(
    running: Running, database_url: str
) -> None:
    async with client(running) as sdk:
        asked = [
            (await sdk.responses.create(model="openai/text-1", input="hi", **more)).id
            for more in ({"truncation": "auto"}, {"truncation": "disabled"}, {})
        ]
    payloads = [job_row(database_url, UUID(response_id.removeprefix("resp_")))["payload"] for response_id in asked]
    assert ["auto", None, None] == [payload.get("truncation") for payload in payloads]


async def test_a_reference_to_an_item_stands_for_it(running: Running) -> None:
    said = str(uuid4())
    async with client(running) as sdk:
        first = await sdk.responses.create(model="openai/text-3", input="hi")
        history: Any = [
            {"role": "user", "content": "hi"},
            {"type": "item_reference", "id": first.output[0].id},
            {"role": "user", "content": said},
        ]
        await sdk.responses.create(model="openai/text-3", input=history)
        with pytest.raises(openai.NotFoundError) as caught:
            await sdk.responses.create(model="openai/text-3", input=[{"type": "item_reference", "id": "msg_1"}])
    assert ("user", "assistant", "user") == tuple(m["role"] for m in sent(running, said)["messages"])
    assert text(3) == sent(running, said)["messages"][1]["content"]
    assert ("input", "Item with id 'msg_1' not found.") == (caught.value.param, caught.value.body["message"])


async def test_an_answer_is_parsed_by_a_schema_whose_keys_keep_their_order(running: Running) -> None:
    running.models.script(Turn('{"reason": "wet", "approved": true}'), model="responses-parse")
    said = str(uuid4())
    async with client(running) as sdk:
        response = await sdk.responses.parse(model="openai/responses-parse", input=said, text_format=Verdict)
    assert Verdict(reason="wet", approved=True) == response.output_parsed
    schema = sent(running, said)["response_format"]["json_schema"]["schema"]
    assert ["reason", "approved"] == list(schema["properties"])


async def test_options_reach_the_model_and_what_changes_nothing_is_named(running: Running) -> None:
    said = str(uuid4())
    body = {
        "model": "openai/text-1",
        "input": [
            {"role": "developer", "content": [{"type": "input_text", "text": said, "odd": 1}]},
            {"role": "assistant", "content": "I look.", "phase": "commentary", "nobody": "reads"},
            {"role": "user", "content": [{"type": "input_text", "text": "?", **MARK}]},
        ],
        **{"temperature": 0.3, "top_p": 0.5, "max_output_tokens": 9, "parallel_tool_calls": False, "user": "u1"},
        **{
            "reasoning": {"effort": "low", "context": "auto"},
            "text": {"verbosity": "low", "tone": 1},
            "client_metadata": {"x": 1},
            "max_tool_calls": 3,
        },
        "tools": [
            {"type": "namespace", "name": "shell", "description": "A shell.", "tools": [WEATHER]},
            {"type": "web_search", "external_web_access": False},
        ],
        "tool_choice": {"type": "function", "name": "get_weather", "namespace": "shell"},
        "include": ["reasoning.encrypted_content", "message.output_text.logprobs"],
    }
    answer = await running.http.post("/v1/responses", json=body)
    assert 200 == answer.status_code, answer.text
    assert (
        "client_metadata, max_tool_calls, include: message.output_text.logprobs, text.tone, reasoning.context, "
        "input.content.odd, input.nobody, tools[0].description, tools[1] (web_search), input.phase"
        == (answer.headers["x-headrace-ignored"])
    )
    model = sent(running, said)
    wanted = {"temperature": 0.3, "top_p": 0.5, "user": "u1", "reasoning_effort": "low", "verbosity": "low"}
    assert wanted == {name: model.get(name) for name in wanted}
    assert {"type": "function", "function": {"name": "shell__get_weather"}} == model["tool_choice"]
    assert [{"type": "text", "text": "?", **MARK}] == model["messages"][2]["content"]
    assert "I look." == model["messages"][1]["content"]
    echoed = answer.json()
    assert body["tools"] == echoed["tools"]
    assert {"format": {"type": "text"}, "verbosity": "low", "tone": 1} == echoed["text"]


async def test_calls_of_a_namespace_come_back_with_it(running: Running) -> None:
    namespace: Any = {"type": "namespace", "name": "maps", "description": "Maps.", "tools": [WEATHER]}
    async with client(running) as sdk:
        response = await sdk.responses.create(model="openai/tool-call", input="hi", tools=[namespace])
    (call,) = response.output
    assert ("get_weather", "maps") == (call.name, call.namespace)


@pytest.mark.parametrize("stream", [False, True])
async def test_what_nobody_has_is_refused_with_its_status(running: Running, stream: bool) -> None:
    async with client(running) as sdk:
        with pytest.raises(openai.NotFoundError) as caught:
            await sdk.responses.create(model="agent/nobody", input="hi", stream=stream)
        assert ("model_not_found", "model") == (caught.value.code, caught.value.param)
        with pytest.raises(openai.NotFoundError) as caught:
            await sdk.responses.create(model="openai/text-1", input="hi", previous_response_id="resp_1", stream=stream)
        assert "previous_response_id" == caught.value.param


async def test_a_refusal_of_the_model_is_a_status_or_part_of_a_stream(running: Running) -> None:
    async with client(running) as sdk:
        with pytest.raises(openai.BadRequestError):
            await sdk.responses.create(model="openai/refuse-400", input="hi")
        events = [
            event async for event in await sdk.responses.create(model="openai/refuse-400", input="hi", stream=True)
        ]
    assert ["response.created", "response.in_progress", "response.failed"] == [event.type for event in events]
    assert "invalid_prompt" == events[-1].response.error.code


async def test_a_cut_answer_is_incomplete(running: Running) -> None:
    async with client(running) as sdk:
        response = await sdk.responses.create(model="openai/text-50", input="hi", max_output_tokens=5)
    assert ("incomplete", text(5)) == (response.status, response.output_text)
    assert response.incomplete_details is not None
    assert "max_output_tokens" == response.incomplete_details.reason


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"input": []}, "input"),
        ({"input": [{"type": "function_call_output", "call_id": "c", "output": "x"}]}, "input[0].call_id"),
        ({"input": [{"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"}]}, "input"),
        ({"input": [{"type": "teleport"}]}, "input[0]"),
        (
            {"input": [{"role": "user", "content": [{"type": "input_file", "file_id": 1}]}]},
            "input[0].content[0].file_id",
        ),
        ({"input": [{"role": "wizard", "content": "hi"}]}, "input[0].role"),
        ({"tools": [{"type": "code_interpreter"}]}, "tools[0]"),
        ({"tools": [{"type": "mcp", "server_label": "x"}]}, "tools[0]"),
        ({"tools": [{"type": "function", "name": "a b"}]}, "tools[0].name"),
        ({"tools": [WEATHER, WEATHER]}, "tools[1].name"),
        ({"tool_choice": "required"}, "tool_choice"),
        ({"tool_choice": {"type": "function", "name": "f"}}, "tool_choice"),
        ({"text": {"format": {"type": "json_schema"}}}, "text.format"),
        ({"prompt": {"id": "p"}}, "prompt"),
        ({"temperature": "hot"}, "temperature"),
        ({"background": True, "store": False}, "store"),
    ],
)
async def test_a_wrong_request_names_its_field(running: Running, body: dict[str, Any], param: str) -> None:
    answer = await running.http.post("/v1/responses", json={"model": "openai/text-1", "input": "hi"} | body)
    assert (400, param) == (answer.status_code, answer.json()["error"]["param"]), answer.text


@pytest.mark.parametrize(
    ("body", "param"),
    [
        (
            {"input": [{"role": "user", "content": [{"type": "input_file", "file_id": "f"}]}]},
            "input[0].content[0].file_id",
        ),
        ({"conversation": "conv_1"}, "conversation"),
    ],
)
async def test_what_a_request_names_and_is_not_there_is_404(running: Running, body: dict[str, Any], param: str) -> None:
    answer = await running.http.post("/v1/responses", json={"model": "openai/text-1", "input": "hi"} | body)
    assert (404, param) == (answer.status_code, answer.json()["error"]["param"]), answer.text


async def test_the_tokens_of_an_input_are_counted_without_a_model(running: Running) -> None:
    async with client(running) as sdk:
        count = await sdk.responses.input_tokens.count(model="openai/text-1", input="How do you do?")
    assert count.input_tokens > 0


async def test_images_go_to_the_model_and_those_of_an_output_follow_it(running: Running) -> None:
    said, picture = str(uuid4()), "data:image/png;base64,aGk="
    image = {"type": "input_image", "image_url": picture, "detail": "low"}
    output = [{"type": "input_text", "text": "seen"}, image]
    call = {"type": "function_call", "call_id": "c1", "name": "look", "arguments": "{}"}
    items = [
        {"role": "user", "content": [{"type": "input_text", "text": said}, image]},
        call,
        {"type": "function_call_output", "call_id": "c1", "output": output},
    ]
    answer = await running.http.post("/v1/responses", json={"model": "openai/text-1", "input": items})
    assert 200 == answer.status_code, answer.text
    messages = sent(running, said)["messages"]
    told = {"type": "image_url", "image_url": {"url": picture, "detail": "low"}}
    assert ["user", "assistant", "tool", "user"] == [message["role"] for message in messages]
    assert (told, "seen", [told]) == (messages[0]["content"][1], messages[2]["content"], messages[3]["content"])
