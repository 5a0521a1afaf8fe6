"""`/v1/messages` as Anthropic's SDK uses it, with real processes."""

import json
from typing import Any
from uuid import UUID, uuid4

import anthropic
import pytest

from schema.job_kinds import INTERACTIVE
from tests.api.anthropic.conftest import Talking
from tests.counterparts.behaviours import Turn, calls, says, text
from tests.waiting import wait_for
from tests.workers.jobs import job_row

WEATHER: Any = {
    "name": "get_weather",
    "description": "The weather.",
    "input_schema": {"type": "object", "properties": {"zone": {"type": "string"}, "city": {"type": "string"}}},
}
HI: Any = [{"role": "user", "content": "hi there"}]


def ask(model: str, messages: Any = HI, **more: Any) -> dict[str, Any]:
    return {"model": model, "messages": messages, "max_tokens": 3000, **more}


async def test_any_model_answers_with_words_usage_and_a_reason(talking: Talking) -> None:
    async with talking.sdk() as sdk:
        whole = await sdk.messages.create(**ask("openai/text-7", system="be brief"))
        cut = await sdk.messages.create(**{**ask("openai/text-7"), "max_tokens": 3})
        default = await sdk.messages.create(**ask("auto"))
    assert (text(7), "end_turn", "openai/text-7") == (whole.content[0].text, whole.stop_reason, whole.model)
    assert (4, 7) == (whole.usage.input_tokens, whole.usage.output_tokens)
    assert whole.id.startswith("msg_")
    assert (text(3), "max_tokens") == (cut.content[0].text, cut.stop_reason)
    assert text(5) == default.content[0].text


async def test_a_stream_is_put_together_by_the_sdk(talking: Talking) -> None:
    async with talking.sdk() as sdk, sdk.messages.stream(**ask("openai/text-50")) as stream:
        pieces = [piece async for piece in stream.text_stream]
        final = await stream.get_final_message()
    assert text(50) == "".join(pieces) == final.content[0].text
    assert ("end_turn", 2, 50) == (final.stop_reason, final.usage.input_tokens, final.usage.output_tokens)


async def test_the_bytes_of_a_stream_are_anthropics(talking: Talking) -> None:
    answer = await talking.http.post("/v1/messages?beta=true", json=ask("openai/text-2", stream=True))
    frames = [frame.split("\n") for frame in answer.text.split("\n\n")[:-1]]
    assert all(name == f"event: {json.loads(data[6:])['type']}" for name, data in frames)
    names = [name.removeprefix("event: ") for name, _ in frames if name != "event: ping"]
    deltas = [name for name in names if name == "content_block_delta"]
    assert [
        *("message_start", "content_block_start", *deltas, "content_block_stop", "message_delta", "message_stop")
    ] == names
    assert {"request-id", "x-job-id", "x-request-id"} <= set(answer.headers)


@anthropic.beta_async_tool
async def get_weather(city: str) -> str:
    """Return the weather of a city.

    Args:
        city: The city.
    """
    return f"rain in {city}"


async def test_the_sdks_runner_of_tools_goes_on_without_a_thread_of_ours(talking: Talking) -> None:
    order: Any = [{"role": "user", "content": 'CALL get_weather {"city": "Hanoi"}'}]
    async with talking.sdk() as sdk:
        runner = sdk.beta.messages.tool_runner(**ask("openai/obedient", order), tools=[get_weather])
        final = await runner.until_done()
        with pytest.raises(anthropic.BadRequestError) as refused:
            await sdk.messages.create(**ask("openai/text-5"), extra_body={"thread": {"type": "create"}})
    assert ["DONE"] == [block.text for block in final.content if block.type == "text"]
    assert "thread_unsupported_request" in str(refused.value.body)


@pytest.mark.parametrize("streams", [True, False])
async def test_its_client_waits_and_hears_of_failures_within_seconds(
    talking: Talking, database_url: str, streams: bool
) -> None:
    answer = await talking.http.post("/v1/messages", json=ask("openai/text-2", stream=streams))
    assert job_row(database_url, UUID(answer.headers["x-job-id"]))["payload"][INTERACTIVE]


@pytest.mark.parametrize("streams", [True, False])
async def test_thoughts_of_other_makers_models_are_signed_and_go_back_to_them_while_tools_run(
    talking: Talking, streams: bool
) -> None:
    model = f"thinker-{uuid4().hex}"
    talking.openai.script(Turn("", (("get_weather", {"zone": "b"}),), thought="hm"), says("Rain."), model=model)
    async with talking.sdk() as sdk:
        first = await message_of(sdk, streams, **ask(f"openai/{model}", tools=[WEATHER]))
        results: Any = [
            {"type": "tool_result", "tool_use_id": first.content[1].id, "content": "rain", "is_error": True}
        ]
        after = [*HI, {"role": "assistant", "content": first.content}, {"role": "user", "content": results}]
        second = await message_of(sdk, streams, **ask(f"openai/{model}", after, tools=[WEATHER]))
    assert [("thinking", "hm")] == [(b.type, b.thinking) for b in first.content if b.type == "thinking"]
    assert first.content[0].signature
    assert ("tool_use", {"zone": "b"}) == (first.stop_reason, first.content[1].input)
    assert "Rain." == second.content[0].text
    sent = next(r.body for r in reversed(talking.openai.records) if r.model == model)["messages"]
    assert ["user", "assistant", "tool"] == [message["role"] for message in sent]
    assert ("hm", "Error: rain") == (sent[1]["reasoning_content"], sent[2]["content"])
    assert sent[1]["tool_calls"][0]["id"] == sent[2]["tool_call_id"]


async def message_of(sdk: anthropic.AsyncAnthropic, streams: bool, **request: Any) -> Any:
    if not streams:
        return await sdk.messages.create(**request)
    async with sdk.messages.stream(**request) as stream:
        return await stream.get_final_message()


@pytest.mark.parametrize("streams", [True, False])
async def test_anthropics_own_thoughts_go_through_and_back_with_their_signatures(
    talking: Talking, streams: bool
) -> None:
    model = f"claude-{uuid4().hex}"  # the server behind refuses a thought whose signature is wrong, or that is missing
    turn = Turn(
        "I look.", (("get_weather", {"zone": "b", "city": "Hà Nội"}), ("get_weather", {})), thought="which way is it"
    )
    talking.anthropic.script(turn, says("Rain."), model=model)
    thinking: Any = {"type": "enabled", "budget_tokens": 1024}
    async with talking.sdk() as sdk:
        request = ask(f"anthropic/{model}", tools=[WEATHER], thinking=thinking)
        first = await message_of(sdk, streams, **request)
        results: Any = [
            {
                "type": "tool_result",
                "tool_use_id": block.id,
                "content": [{"type": "text", "text": "rain"}],
                "is_error": True,
            }
            for block in first.content
            if block.type == "tool_use"
        ]
        after = [*HI, {"role": "assistant", "content": first.content}, {"role": "user", "content": results}]
        second = await message_of(sdk, streams, **{**request, "messages": after})
    assert ["thinking", "text", "tool_use", "tool_use"] == [block.type for block in first.content]
    assert "which way is it" == first.content[0].thinking
    assert [{"zone": "b", "city": "Hà Nội"}, {}] == [block.input for block in first.content[2:]]
    assert 4 == first.usage.output_tokens_details.thinking_tokens
    assert "Rain." == second.content[0].text
    sent = next(r.body for r in reversed(talking.anthropic.records) if r.model == model)["messages"]
    assert ["thinking", "text", "tool_use", "tool_use"] == [block["type"] for block in sent[1]["content"]]
    assert first.content[0].signature == sent[1]["content"][0]["signature"]
    assert [True, True] == [block["is_error"] for block in sent[2]["content"]]


async def test_anthropics_signatures_never_reach_another_maker(talking: Talking) -> None:
    said = uuid4().hex
    thought = {"type": "thinking", "thinking": "secret", "signature": "c2lnbmVk"}
    answer = [thought, {"type": "redacted_thinking", "data": "aGlkZGVu"}, {"type": "text", "text": "Hello."}]
    turns = [{"role": "user", "content": said}, {"role": "assistant", "content": answer}, *HI]
    async with talking.sdk() as sdk:
        await sdk.messages.create(**ask("openai/text-1", turns))
    sent = next(json.dumps(r.body) for r in talking.openai.records if said in json.dumps(r.body))
    assert "Hello." in sent
    assert not any(word in sent for word in ("secret", "c2lnbmVk", "aGlkZGVu", "headrace_vendor"))


async def test_counts_of_the_cache_come_back_and_marks_go_through(talking: Talking) -> None:
    mark: Any = {"cache_control": {"type": "ephemeral", "ttl": "1h"}}
    system: Any = [{"type": "text", "text": f"{uuid4().hex} be very brief", **mark}]
    async with talking.sdk() as sdk:
        usages = [
            (await sdk.messages.create(**ask("anthropic/text-2", system=system))).usage,
            (await message_of(sdk, True, **ask("anthropic/text-2", system=system))).usage,
        ]
    counted = [(u.input_tokens, u.cache_creation_input_tokens, u.cache_read_input_tokens) for u in usages]
    assert [(2, 4, 0), (2, 0, 4)] == counted
    assert mark["cache_control"] == talking.anthropic.records[-1].body["system"][0]["cache_control"]


async def test_what_anthropics_tools_and_blocks_have_besides_arrives_or_is_named(talking: Talking) -> None:
    model, mark = f"claude-sonnet-4-5-{uuid4().hex}", {"cache_control": {"type": "ephemeral", "ttl": "1h"}}
    tool = {**WEATHER, "input_examples": [{"city": "y"}], "eager_input_streaming": True, **mark}
    cited = {"type": "text", "text": "a", "citations": [{"type": "char_location"}]}
    call = {"type": "tool_use", "id": "c1", "name": "get_weather", "input": {}, "caller": None, **mark}
    result = {"type": "tool_result", "tool_use_id": "c1", "content": [cited], "toolset": 1}
    said = [{"type": "text", "text": "I look.", **mark}, call]
    turns = [("user", "look"), ("assistant", said), ("user", [result])]
    sent = ask(f"anthropic/{model}", [{"role": r, "content": c} for r, c in turns], tools=[tool])
    answer = await talking.http.post("/v1/messages", json=sent)
    other = await talking.http.post("/v1/messages", json={**sent, "model": "openai/text-1", "odd\u00e9\n": 1})

    body = next(r.body for r in talking.anthropic.records if r.model == model)
    assert tool == body["tools"][0]
    assert [mark["cache_control"]] * 2 == [block["cache_control"] for block in body["messages"][1]["content"]]
    named = ["messages.content.toolset", "messages.content.content.citations"]
    assert sorted(named) == sorted(answer.headers["x-headrace-ignored"].split(", "))
    named += ["odd??", "tools.eager_input_streaming", "tools.input_examples"]
    assert sorted(named) == sorted(other.headers["x-headrace-ignored"].split(", "))


async def test_what_claude_code_sends_is_taken(talking: Talking) -> None:
    model = f"claude-opus-5-{uuid4().hex}"
    body = ask(
        f"anthropic/{model}",
        [
            {"role": "user", "content": [{"type": "text", "text": "hi", "cache_control": {"type": "ephemeral"}}]},
            {"role": "system", "content": "Today is a day."},
        ],
        stream=True,
        system=[{"type": "text", "text": f"block {n}", "cache_control": {"type": "ephemeral"}} for n in range(3)],
        tools=[{**WEATHER, "name": f"tool_{n}"} for n in range(24)],
        thinking={"type": "adaptive"},
        output_config={"effort": "high"},
        metadata={"user_id": "u" * 150},
        context_management={"edits": [{"type": "clear_thinking_20251015"}]},
    )
    headers = {
        "anthropic-version": "2023-06-01",
        "anthropic-beta": "claude-code-20250219,context-management-2025-06-27",
    }
    assert (await talking.http.head("/")).status_code == 200
    answers = [await talking.http.post("/v1/messages?beta=true", json=body, headers=headers)]
    answers.append(await talking.http.post("/v1/messages", json={**body, "model": "openai/text-3"}, headers=headers))
    assert [200, 200] == [answer.status_code for answer in answers], answers[0].text
    assert all("message_stop" in answer.text for answer in answers)
    sent = next(r for r in talking.anthropic.records if r.model == model)
    assert ["user", "system"] == [turn["role"] for turn in sent.body["messages"]]
    assert (24, {"edits": [{"type": "clear_thinking_20251015"}]}) == (
        len(sent.body["tools"]),
        sent.body["context_management"],
    )
    assert "context-management-2025-06-27" in sent.headers["anthropic-beta"]
    assert "x-headrace-ignored" not in answers[0].headers
    assert "context_management, output_config, thinking" == answers[1].headers["x-headrace-ignored"]
    for answer in answers:
        job = (await talking.http.get(f"/api/jobs/{answer.headers['x-job-id']}")).json()
        assert {"user_id": "u" * 150} == job["metadata"]


async def test_a_user_id_that_is_no_short_text_is_refused(talking: Talking) -> None:
    for user_id in ("u" * 513, 7):
        answer = await talking.http.post("/v1/messages", json=ask("openai/text-1", metadata={"user_id": user_id}))
        assert (400, True) == (answer.status_code, "metadata.user_id" in answer.text)


async def test_a_bare_name_of_a_claude_model_is_anthropics(talking: Talking) -> None:
    async with talking.sdk() as sdk:
        answer = await sdk.messages.create(**ask("claude-sonnet-5"))
    assert "anthropic/claude-sonnet-5" == answer.model


async def test_both_ways_to_send_a_key_are_taken_and_a_wrong_one_is_refused(talking: Talking) -> None:
    for headers in ({"x-api-key": talking.tenant.key}, {"authorization": f"Bearer {talking.tenant.key}"}):
        answer = await talking.http.post("/v1/messages", json=ask("openai/text-1"), headers=headers)
        assert 200 == answer.status_code
    async with talking.sdk(api_key="hr_wrong") as sdk:
        with pytest.raises(anthropic.AuthenticationError) as refused:
            await sdk.messages.create(**ask("openai/text-1"))
    assert "authentication_error" == refused.value.type


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("model", "error", "kind", "code"),
    [
        ("openai/nobody", anthropic.NotFoundError, "not_found_error", "model_unknown"),
        ("agent/nobody", anthropic.NotFoundError, "not_found_error", "agent_unknown"),
        ("anthropic/refuse-400", anthropic.BadRequestError, "invalid_request_error", "provider_refused"),
        ("openai/refuse-401", anthropic.InternalServerError, "api_error", "provider_rejected_key"),
    ],
)
async def test_an_error_before_the_first_word_is_a_status(
    talking: Talking, model: str, error: type[anthropic.APIStatusError], kind: str, code: str, stream: bool
) -> None:
    async with talking.sdk() as sdk:
        with pytest.raises(error) as raised:
            await message_of(sdk, stream, **ask(model))
    assert (kind, code) == (raised.value.type, raised.value.error_code)
    assert raised.value.request_id


async def test_an_error_in_the_stream_is_an_event(talking: Talking) -> None:
    async with talking.sdk() as sdk:
        with pytest.raises(anthropic.APIStatusError, match="error"):
            await message_of(sdk, True, **ask("openai/garbage-after-40"))


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"max_tokens": None}, "max_tokens"),
        ({"messages": []}, "messages"),
        ({"messages": [{"role": "user", "content": []}], "system": "be brief"}, "no content"),
        ({"messages": [{"role": "system", "content": "be brief"}]}, "no content"),
        ({"messages": [{"role": "tool", "content": "x"}]}, "messages[0].role"),
        ({"messages": [{"role": "user", "content": [{"type": "server_tool_use"}]}]}, "messages[0].content[0].type"),
        ({"messages": [{"role": "assistant", "content": [{"type": "image", "source": {"type": "url"}}]}]}, "image"),
        ({"messages": [{"role": "user", "content": [{"type": "image", "source": {"type": "file"}}]}]}, "source"),
        ({"tools": [{"type": "web_search_20250305", "name": "web_search"}]}, "tools[0]"),
        ({"tools": [{"name": "x"}]}, "tools[0]"),
        ({"tool_choice": {"type": "any"}}, "tool_choice"),
        ({"output_config": {"format": {"type": "xml"}}}, "output_config.format"),
        ({"mcp_servers": [{"url": "https://x"}]}, "mcp_servers"),
    ],
)
async def test_a_request_that_can_t_be_honoured_is_told_what_is_wrong(
    talking: Talking, change: dict[str, Any], says: str
) -> None:
    answer = await talking.http.post("/v1/messages", json={**ask("openai/text-1"), **change})
    body = answer.json()
    assert (400, "error", "invalid_request_error") == (answer.status_code, body["type"], body["error"]["type"])
    assert says in body["error"]["message"]
    assert body["request_id"] == answer.headers["request-id"] == answer.headers["x-request-id"]


async def test_other_errors_of_its_clients_have_its_shape_too(talking: Talking) -> None:
    headers = {"anthropic-version": "2023-06-01"}
    answers = [
        await talking.http.get("/v1/messages"),
        await talking.http.post("/v1/messages/batches", json={}),
        await talking.http.get("/v1/nothing", headers=headers),
        await talking.http.post("/v1/messages", content=b"{", headers={"content-type": "application/json"}),
        await talking.http.post("/v1/messages", content=b"x", headers={"content-type": "text/plain"}),
    ]
    assert [405, 400, 404, 400, 415] == [answer.status_code for answer in answers]
    assert {"error"} == {answer.json()["type"] for answer in answers}


async def test_a_client_that_leaves_cancels_its_job(talking: Talking) -> None:
    said = uuid4().hex
    async with talking.sdk() as sdk:
        stream = await sdk.messages.create(
            **ask("openai/text-5000-at-50", [{"role": "user", "content": said}]), stream=True
        )
        async for event in stream:
            if event.type == "content_block_delta":
                break
        await stream.close()
    record = next(r for r in talking.openai.records if said in json.dumps(r.body))
    await wait_for(lambda: record.client_closed_ns > 0, "the model's connection is closed")
    assert record.tokens_sent < 5000


async def test_the_same_key_gives_the_same_message(talking: Talking) -> None:
    headers, body = {"Idempotency-Key": uuid4().hex}, ask("openai/text-3")
    first, second = [(await talking.http.post("/v1/messages", json=body, headers=headers)).json() for _ in range(2)]
    other = await talking.http.post("/v1/messages", json={**body, "max_tokens": 5}, headers=headers)
    assert first == second
    assert (422, "idempotency_key_reused") == (other.status_code, other.json()["error"]["details"]["error_code"])


async def test_schemas_keep_the_order_of_their_keys_and_options_arrive(talking: Talking) -> None:
    said = uuid4().hex
    wanted = {"type": "json_schema", "schema": {"type": "object", "properties": {"why": {}, "a": {}}}}
    options: Any = {
        "tools": [WEATHER],
        "tool_choice": {"type": "tool", "name": "get_weather", "disable_parallel_tool_use": True},
        "stop_sequences": ["END"],
        "temperature": 0.3,
        "top_k": 5,
        "output_config": {"format": wanted},
    }
    await talking.http.post("/v1/messages", json=ask("openai/text-1", [{"role": "user", "content": said}], **options))
    body = next(r.body for r in talking.openai.records if said in json.dumps(r.body))
    assert ["zone", "city"] == list(body["tools"][0]["function"]["parameters"]["properties"])
    assert ["why", "a"] == list(body["response_format"]["json_schema"]["schema"]["properties"])
    assert {"type": "function", "function": {"name": "get_weather"}} == body["tool_choice"]
    assert (False, ["END"], 0.3, 5) == tuple(body[n] for n in ("parallel_tool_calls", "stop", "temperature", "top_k"))


async def test_images_reach_the_model_also_from_results(talking: Talking) -> None:
    said = uuid4().hex
    source = {"type": "base64", "media_type": "image/png", "data": "aGk="}
    image = {"type": "image", "source": source}
    turns = [
        {"role": "user", "content": [{"type": "text", "text": said}, image]},
        {"role": "assistant", "content": [{"type": "tool_use", "id": "t1", "name": "get_weather", "input": {}}]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t1", "content": [image]}]},
    ]
    for model in ("openai/text-1", "anthropic/text-1"):
        assert (await talking.http.post("/v1/messages", json=ask(model, turns, tools=[WEATHER]))).status_code == 200
    openai = next(r.body for r in talking.openai.records if said in json.dumps(r.body))["messages"]
    native = next(r.body for r in talking.anthropic.records if said in json.dumps(r.body))["messages"]
    assert ["user", "assistant", "tool", "user"] == [message["role"] for message in openai]
    assert "data:image/png;base64,aGk=" == openai[3]["content"][0]["image_url"]["url"]
    assert (source, ["tool_result", "image"]) == (
        native[0]["content"][1]["source"],
        [b["type"] for b in native[2]["content"]],
    )


async def test_tokens_are_counted_by_anthropic_for_its_models_and_estimated_for_others(talking: Talking) -> None:
    async with talking.sdk() as sdk:
        counted = await sdk.messages.count_tokens(model="anthropic/text-1", messages=HI, system="be brief")
        estimated = await sdk.messages.count_tokens(model="openai/text-1", messages=HI, tools=[WEATHER])
        with pytest.raises(anthropic.NotFoundError):
            await sdk.messages.count_tokens(model="agent/nobody", messages=HI)
    assert 4 == counted.input_tokens
    assert 20 < estimated.input_tokens < 200


async def test_models_are_listed_in_its_shape_page_by_page(talking: Talking) -> None:
    async with talking.sdk() as sdk:
        models = [model.id async for model in sdk.models.list(limit=2)]
        one = await sdk.models.retrieve("auto")
    plain = [model["id"] for model in (await talking.http.get("/v1/models")).json()["data"]]
    assert plain == models
    assert len(models) > 5
    assert ("auto", "model") == (one.id, one.type)


async def test_scripts_of_calls_stream_as_json_that_grows(talking: Talking) -> None:
    model = f"caller-{uuid4().hex}"
    talking.openai.script(calls(("get_weather", {"city": "Hà Nội"}), ("get_weather", {"city": "b"})), model=model)
    async with talking.sdk() as sdk, sdk.messages.stream(**ask(f"openai/{model}", tools=[WEATHER])) as stream:
        events = [event async for event in stream]
        final = await stream.get_final_message()
    assert [{"city": "Hà Nội"}, {"city": "b"}] == [block.input for block in final.content]
    assert 4 == len([event for event in events if event.type == "input_json"])
    assert 2 == len({block.id for block in final.content})
