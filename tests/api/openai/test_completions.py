"""`/v1` as the official OpenAI package and LangChain use it, with real processes."""

import json
from typing import Any
from uuid import uuid4

import httpx
import openai
import pytest
from langchain_openai import ChatOpenAI
from openai import AsyncOpenAI

from tests.api.conftest import Running
from tests.counterparts.behaviours import text
from tests.waiting import wait_for

WEATHER = {
    "type": "function",
    "function": {"name": "get_weather", "parameters": {"type": "object", "properties": {"city": {"type": "string"}}}},
}


def client(running: Running, **options: Any) -> AsyncOpenAI:
    return AsyncOpenAI(base_url=f"{running.url}/v1", **{"api_key": running.tenant.key, "max_retries": 0, **options})


def ask(model: str, content: str = "hi", **more: Any) -> dict[str, Any]:
    return {"model": f"openai/{model}", "messages": [{"role": "user", "content": content}], **more}


async def test_a_completion_has_words_usage_and_a_finish(running: Running) -> None:
    async with client(running) as sdk:
        answer = await sdk.chat.completions.create(**ask("text-7", "How do you do?"))
    assert (text(7), "stop") == (answer.choices[0].message.content, answer.choices[0].finish_reason)
    assert answer.usage is not None
    assert (4, 7, 11) == (answer.usage.prompt_tokens, answer.usage.completion_tokens, answer.usage.total_tokens)
    assert answer.id.startswith("chatcmpl-")


async def test_an_answer_without_a_language_model_carries_a_notice_beside_openais_fields(running: Running) -> None:
    offline = {"model": "offline/extractive", "messages": [{"role": "user", "content": "hi"}]}
    async with client(running) as sdk:
        answer = await sdk.chat.completions.create(**offline)
        stream = await sdk.chat.completions.create(**offline, stream=True)
        chunks = [chunk async for chunk in stream]
        other = await sdk.chat.completions.create(**ask("text-7"))
    assert "no_language_model" == answer.model_extra["notice"]["code"]
    assert ["no_language_model"] == [chunk.model_extra["notice"]["code"] for chunk in chunks if chunk.model_extra]
    assert not other.model_extra
    assert "language model is connected" not in answer.choices[0].message.content


async def test_a_stream_begins_with_the_role_and_ends_with_usage(running: Running) -> None:
    async with client(running) as sdk:
        stream = await sdk.chat.completions.create(**ask("text-9"), stream=True, stream_options={"include_usage": True})
        chunks = [chunk async for chunk in stream]
    assert "assistant" == chunks[0].choices[0].delta.role
    assert text(9) == "".join(chunk.choices[0].delta.content or "" for chunk in chunks[:-1])
    assert "stop" == chunks[-2].choices[0].finish_reason
    assert [] == chunks[-1].choices
    assert chunks[-1].usage is not None
    assert 9 == chunks[-1].usage.completion_tokens
    assert 1 == len({chunk.id for chunk in chunks})


async def test_the_bytes_of_a_stream_are_openais(running: Running) -> None:
    answer = await running.http.post("/v1/chat/completions", json=ask("text-2", stream=True))
    frames = answer.text.split("\n\n")
    assert ["data: [DONE]", ""] == frames[-2:]
    first = json.loads(frames[0].removeprefix("data: "))
    assert {"id", "object", "created", "model", "system_fingerprint", "choices"} == set(first)
    assert {"index", "delta", "logprobs", "finish_reason"} == set(first["choices"][0])
    assert "text/event-stream; charset=utf-8" == answer.headers["content-type"]
    assert {"x-job-id", "x-request-id"} <= set(answer.headers)


async def test_a_cut_answer_says_that_it_was_cut(running: Running) -> None:
    async with client(running) as sdk:
        answer = await sdk.chat.completions.create(**ask("text-50", max_tokens=5))
    assert (text(5), "length") == (answer.choices[0].message.content, answer.choices[0].finish_reason)


async def test_options_and_messages_reach_the_model_as_they_were_sent(running: Running) -> None:
    said = str(uuid4())
    options = {
        "temperature": 0.3,
        "top_p": 0.5,
        "seed": 7,
        "stop": ["\n"],
        "presence_penalty": 0.1,
        "frequency_penalty": 0.2,
        "response_format": {"type": "json_object"},
        "tools": [WEATHER],
        "tool_choice": "auto",
    }
    picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64,aGk="}}
    call = {"id": "c1", "type": "function", "function": {"name": "get_weather", "arguments": "{}"}}
    messages = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": [{"type": "text", "text": said}, picture]},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c1", "content": "rain"},
    ]
    await running.http.post("/v1/chat/completions", json={"model": "openai/text-1", "messages": messages, **options})
    body = next(r.body for r in running.models.requests if said in json.dumps(r.body))
    assert options == {name: body.get(name) for name in options}
    assert ["system", "user", "assistant", "tool"] == [message["role"] for message in body["messages"]]
    assert picture == body["messages"][1]["content"][1]
    assert ("c1", "rain") == (body["messages"][3]["tool_call_id"], body["messages"][3]["content"])


async def test_a_tool_call_comes_back_whole_and_in_pieces(running: Running) -> None:
    wanted = ("get_weather", '{"city": "Hà Nội"}')
    async with client(running) as sdk:
        answer = await sdk.chat.completions.create(**ask("tool-call"), tools=[WEATHER])
        stream = await sdk.chat.completions.create(**ask("tool-call"), tools=[WEATHER], stream=True)
        deltas = [chunk.choices[0].delta async for chunk in stream]
    calls = answer.choices[0].message.tool_calls
    assert calls is not None
    assert "tool_calls" == answer.choices[0].finish_reason
    assert wanted == (calls[0].function.name, calls[0].function.arguments)
    pieces = [piece for delta in deltas for piece in delta.tool_calls or []]
    name = "".join(piece.function.name or "" for piece in pieces)
    assert wanted == (name, "".join(piece.function.arguments or "" for piece in pieces))


async def test_thoughts_are_kept_apart_from_the_answer(running: Running) -> None:
    whole = (await running.http.post("/v1/chat/completions", json=ask("reasoning"))).json()["choices"][0]["message"]
    assert (text(5), text(5)) == (whole["content"], whole["reasoning_content"])
    streamed = await running.http.post("/v1/chat/completions", json=ask("reasoning", stream=True))
    deltas = [json.loads(line[6:])["choices"][0]["delta"] for line in streamed.text.split("\n\n")[:-2]]
    assert text(5) == "".join(delta.get("reasoning_content", "") for delta in deltas)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("model", "error", "code"),
    [
        ("openai/nobody", openai.NotFoundError, "model_not_found"),
        ("nobody/x", openai.NotFoundError, "model_not_found"),
        ("agent/nobody", openai.NotFoundError, "model_not_found"),
        ("openai/refuse-400", openai.BadRequestError, "provider_refused"),
        ("openai/refuse-401", openai.InternalServerError, "provider_rejected_key"),
    ],
)
async def test_an_error_before_the_first_word_is_a_status(
    running: Running, model: str, error: type[openai.APIStatusError], code: str, stream: bool
) -> None:
    async with client(running) as sdk:
        with pytest.raises(error) as raised:
            await sdk.chat.completions.create(model=model, messages=[{"role": "user", "content": "hi"}], stream=stream)
    assert code == raised.value.code
    assert raised.value.response.headers["x-request-id"]


async def test_a_wrong_key_is_an_authentication_error(running: Running) -> None:
    async with client(running, api_key="hr_wrong") as sdk:
        with pytest.raises(openai.AuthenticationError) as raised:
            await sdk.models.list()
    assert "invalid_api_key" == raised.value.code


async def test_a_wrong_argument_is_named(running: Running) -> None:
    async with client(running) as sdk:
        with pytest.raises(openai.BadRequestError) as raised:
            await sdk.chat.completions.create(**ask("text-1"), n=17)
    assert "n" == raised.value.param


async def test_models_are_listed_and_found_by_ids_with_slashes(running: Running) -> None:
    async with client(running) as sdk:
        ids = [model.id async for model in sdk.models.list()]
        assert {"openai/text-100", "auto"} <= set(ids)
        assert "openai/text-100" == (await sdk.models.retrieve("openai/text-100")).id
        assert "openai/text-100" == (await sdk.models.retrieve("text-100")).id
        with pytest.raises(openai.NotFoundError):
            await sdk.models.retrieve("openai/nobody")


@pytest.mark.parametrize("stream", [False, True])
async def test_a_client_that_leaves_cancels_the_job_and_the_models_work(running: Running, stream: bool) -> None:
    said = str(uuid4())
    body = ask("text-2000-at-50", said, stream=stream)
    async with httpx.AsyncClient(base_url=running.url, headers=running.tenant.headers) as http:
        if stream:
            async with http.stream("POST", "/v1/chat/completions", json=body) as answer:
                await anext(answer.aiter_bytes())
        else:
            with pytest.raises(httpx.ReadTimeout):
                await http.post("/v1/chat/completions", json=body, timeout=0.5)

    def seen() -> bool:
        return any(said in json.dumps(r.body) and r.client_closed_ns for r in running.models.requests)

    await running.models.until(seen)

    async def is_cancelled() -> bool:
        jobs = (await running.http.get("/api/jobs", params={"limit": 1})).json()
        return jobs["items"][0]["state"] == "cancelled"

    await wait_for(is_cancelled, "the job is cancelled")


async def test_langchain_talks_to_it_streaming_and_not(running: Running) -> None:
    model = ChatOpenAI(base_url=f"{running.url}/v1", api_key=running.tenant.key, model="openai/text-6", max_retries=0)
    answer = await model.ainvoke("hi")
    assert text(6) == answer.content
    assert 6 == answer.usage_metadata["output_tokens"]
    assert text(6) == "".join([str(chunk.content) async for chunk in model.astream("hi")])


async def test_langchain_binds_tools(running: Running) -> None:
    model = ChatOpenAI(base_url=f"{running.url}/v1", api_key=running.tenant.key, model="openai/tool-call")
    answer = await model.bind_tools([WEATHER]).ainvoke("Weather in Hà Nội?")
    assert [("get_weather", {"city": "Hà Nội"})] == [(call["name"], call["args"]) for call in answer.tool_calls]
