"""What a vendor's answer has besides text comes back at `/v1` as it came, and what must go back goes to that vendor alone."""

import json
from typing import Any
from uuid import uuid4

import pytest
from openai import AsyncOpenAI

from tests.api.conftest import Running
from tests.counterparts.raw_server import RawAnswer, raw_chunks, raw_json
from tests.workers.jobs import change

LOGPROBS = [{"token": "No", "logprob": -0.1, "bytes": [78, 111], "top_logprobs": []}]
DETAILS = [
    {"type": "reasoning.text", "text": "Let me ", "index": 0, "format": "f"},
    {"type": "reasoning.text", "text": "think.", "index": 0, "format": "f", "signature": "c2ln"},
]
JOINED = [{"type": "reasoning.text", "text": "Let me think.", "index": 0, "format": "f", "signature": "c2ln"}]
USAGE = {
    "prompt_tokens": 20,
    "completion_tokens": 9,
    "total_tokens": 29,
    "prompt_tokens_details": {"cached_tokens": 16, "cache_write_tokens": 3},
    "completion_tokens_details": {"reasoning_tokens": 5},
}


def chunk(delta: dict[str, Any], *, index: int = 0, reason: str | None = None, **choice: Any) -> dict[str, Any]:
    choices = [{"index": index, "delta": delta, "finish_reason": reason, **choice}]
    head = {"model": "whole-2026-11-01", "system_fingerprint": "fp_7", "service_tier": "flex"}
    return {**head, "choices": choices}


def usage(counts: Any) -> dict[str, Any]:
    return {"model": "whole-2026-11-01", "choices": [], "usage": counts}


REFUSAL = raw_chunks(
    chunk({"reasoning_details": DETAILS[:1]}),
    chunk({"reasoning_details": DETAILS[1:]}),
    chunk({"refusal": "No"}, logprobs={"content": None, "refusal": LOGPROBS}),
    chunk({"refusal": ", I won't."}),
    chunk({}, reason="stop"),
    usage(USAGE),
)
TWO = raw_chunks(
    chunk({"content": "One"}),
    chunk({"content": "Uno"}, index=1, logprobs={"content": LOGPROBS}),
    chunk({"content": " two", "role": "assistant"}),
    chunk({"content": " dos"}, index=1),
    chunk({}, reason="stop"),
    chunk({}, index=1, reason="stop"),
    usage(USAGE),
)


def answers(running: Running, answer: RawAnswer) -> str:
    """Let the model server answer so once more, under a name of its own; return it as a client names it."""
    model = f"whole{uuid4().hex[:8]}"
    running.models.answer_with(lambda body: answer, model=model)
    return f"openai/{model}"


def sdk(running: Running) -> AsyncOpenAI:
    return AsyncOpenAI(base_url=f"{running.url}/v1", api_key=running.tenant.key, max_retries=0)


def asking(model: str, **more: Any) -> dict[str, Any]:
    return {"model": model, "messages": [{"role": "user", "content": "hi"}], **more}


async def test_a_refusal_counts_and_the_vendors_names_come_back(running: Running) -> None:
    async with sdk(running) as client:
        whole = await client.chat.completions.create(**asking(answers(running, REFUSAL), logprobs=True))
    message = whole.choices[0].message
    assert (None, "No, I won't.") == (message.content, message.refusal)
    assert ("openai/whole-2026-11-01", "fp_7", "flex") == (whole.model, whole.system_fingerprint, whole.service_tier)
    assert LOGPROBS == whole.choices[0].model_dump()["logprobs"]["refusal"]
    assert USAGE == whole.usage.model_dump(exclude_none=True)
    assert (JOINED, "openai") == (message.model_extra["reasoning_details"], message.model_extra["headrace_vendor"])


async def test_a_stream_has_the_same_as_the_packages_accumulator_reads_it(running: Running) -> None:
    wanted = asking(answers(running, REFUSAL), logprobs=True, stream_options={"include_usage": True})
    async with sdk(running) as client, client.chat.completions.stream(**wanted) as stream:
        whole = await stream.get_final_completion()
    message = whole.choices[0].message
    assert "No, I won't." == message.refusal
    assert "fp_7" == whole.system_fingerprint
    assert LOGPROBS == whole.choices[0].model_dump()["logprobs"]["refusal"]
    assert USAGE == whole.usage.model_dump(exclude_none=True)
    assert (JOINED, "openai") == (message.model_extra["reasoning_details"], message.model_extra["headrace_vendor"])


COST = {"X-Headrace-Cost-USD": "0.0000995"}
"""1 token at 2 $ a million, 16 from the cache at 0.5 $, 3 into it at 2.5 $; 4 at 8 $, and 5 of reasoning at 10 $."""


def priced(running: Running, *answers_: RawAnswer) -> str:
    """Let the model server answer so, in turn, as a model with a price for each sort of tokens."""
    model, turns = f"priced{uuid4().hex[:8]}", iter(answers_)
    running.models.answer_with(lambda body: next(turns), model=model)
    sql = """INSERT INTO models (name, input_usd, output_usd, cached_input_usd, cache_write_usd, reasoning_usd)
      VALUES (%s, 2, 8, 0.5, 2.5, 10)"""
    change(running.system.env["HEADRACE_DATABASE_URL"], sql, f"openai/{model}")
    return f"openai/{model}"


async def test_the_packages_see_what_an_answer_costs(running: Running) -> None:
    model = priced(running, REFUSAL, REFUSAL, REFUSAL)
    async with sdk(running) as client:
        raw = await client.chat.completions.with_raw_response.create(**asking(model))
        assert COST == {name: raw.headers[name] for name in COST}
        assert 0.0000995 == raw.parse().usage.model_extra["cost_usd"]
        streaming = asking(model, stream=True, stream_options={"include_usage": True})
        chunks = [chunk async for chunk in await client.chat.completions.create(**streaming)]
        assert [0.0000995] == [one.usage.model_extra["cost_usd"] for one in chunks if one.usage]
        response = await client.responses.with_raw_response.create(model=model, input="hi")
        assert COST == {name: response.headers[name] for name in COST}
        assert 0.0000995 == response.parse().usage.model_extra["cost_usd"]


async def test_a_native_answer_its_job_and_anthropics_api_tell_the_same_cost(running: Running) -> None:
    model = priced(running, REFUSAL, REFUSAL)
    answer = (await running.http.post("/api/chat", json={"message": "hi", "model": model})).json()
    assert 0.0000995 == answer["usage"]["cost_usd"]
    job = (await running.http.get(f"/api/jobs/{answer['job_id']}")).json()
    assert 0.0000995 == job["result"]["usage"]["cost_usd"]
    wanted = {"model": model, "max_tokens": 100, "messages": [{"role": "user", "content": "hi"}]}
    message = await running.http.post("/v1/messages", json=wanted)
    assert COST == {name: message.headers[name] for name in COST}
    assert 0.0000995 == message.json()["usage"]["cost_usd"]


async def test_the_cost_of_a_model_without_a_price_is_unknown(running: Running) -> None:
    model = answers(running, REFUSAL)
    answer = await running.http.post("/v1/chat/completions", json=asking(model))
    assert (None, False) == (answer.json()["usage"]["cost_usd"], "X-Headrace-Cost-USD" in answer.headers)


@pytest.mark.parametrize(("vendor", "returned"), [("openai", JOINED), ("openrouter", None)])
async def test_what_is_the_vendors_goes_back_to_it_alone(running: Running, vendor: str, returned: Any) -> None:
    said = str(uuid4())
    answer = {"role": "assistant", "content": "a", "reasoning_details": JOINED, "headrace_vendor": vendor}
    messages = [{"role": "user", "content": "hi"}, answer, {"role": "user", "content": said}]
    await running.http.post("/v1/chat/completions", json={"model": "openai/text-1", "messages": messages})
    body = next(record.body for record in running.models.records if said in json.dumps(record.body))
    assert returned == body["messages"][1].get("reasoning_details")
    assert "headrace_vendor" not in body["messages"][1]


async def test_the_stored_answer_of_a_session_keeps_it_too(running: Running) -> None:
    signed = raw_chunks(chunk({"reasoning_details": JOINED, "content": "Yes."}), chunk({}, reason="stop"), usage(USAGE))
    model = answers(running, signed)
    first = (await running.http.post("/api/chat", json={"message": "hi", "model": model})).json()
    assert ("Yes.", 16, "whole-2026-11-01") == (first["text"], first["usage"]["cached_tokens"], first["resolved_model"])
    again = {"message": "and?", "model": model, "session_id": first["session_id"]}
    await running.http.post("/api/chat", json=again)
    asked = running.models.records[-1].body
    assert JOINED == asked["messages"][1]["reasoning_details"]


async def test_choices_come_back_by_their_index_and_usage_once(running: Running) -> None:
    wanted = asking(answers(running, TWO), n=2, logprobs=True)
    async with sdk(running) as client:
        whole = await client.chat.completions.create(**wanted)
        async with client.chat.completions.stream(**wanted, stream_options={"include_usage": True}) as stream:
            streamed = await stream.get_final_completion()
    for answer in (whole, streamed):
        assert ["One two", "Uno dos"] == [choice.message.content for choice in answer.choices]
        assert ["stop", "stop"] == [choice.finish_reason for choice in answer.choices]
        assert [0, 1] == [choice.index for choice in answer.choices]
        assert LOGPROBS == answer.choices[1].model_dump()["logprobs"]["content"]
        assert 29 == answer.usage.total_tokens


@pytest.mark.parametrize("model", ["offline/extractive", "agent/chat"])
async def test_several_choices_are_refused_where_they_cant_be_had(running: Running, model: str) -> None:
    refused = await running.http.post("/v1/chat/completions", json=asking(model, n=2))
    if model == "agent/chat":  # the model alone, which has them
        assert 200 == refused.status_code
        return
    assert (400, "n") == (refused.status_code, refused.json()["error"]["param"])
    assert "offline gives one choice" in refused.json()["error"]["message"]


@pytest.mark.parametrize("stream", [False, True])
async def test_the_vendors_code_parameter_and_sentence_arrive(running: Running, stream: bool) -> None:
    said = {"message": "Unknown voice.", "type": "invalid_request_error", "param": "voice.name", "code": "bad_voice"}
    model = answers(running, raw_json(400, {"error": said}))
    refused = await running.http.post("/v1/chat/completions", json=asking(model, stream=stream))
    error = refused.json()["error"]
    assert (400, "bad_voice", "voice.name") == (refused.status_code, error["code"], error["param"])
    assert "Unknown voice." in error["message"]


async def test_a_client_that_waits_is_told_what_the_vendor_asks_for_at_once(running: Running) -> None:
    """Not after the wait, and four more tries: seven seconds are more than a client is kept waiting."""
    busy = {"error": {"message": "Slow down.", "type": "requests", "param": None, "code": "rate_limit_exceeded"}}
    model = answers(running, raw_json(429, busy, {"retry-after": "7"}))
    refused = await running.http.post("/v1/chat/completions", json=asking(model))
    assert (429, "7") == (refused.status_code, refused.headers["retry-after"])
    assert "x-should-retry" not in refused.headers
    assert 1 == len([record for record in running.models.records if f"openai/{record.model}" == model])


async def test_quick_retries_help_a_client_that_waits(running: Running) -> None:
    answer = await running.http.post("/v1/chat/completions", json=asking("openai/overloaded-1"))
    assert 200 == answer.status_code


async def test_a_late_system_message_keeps_its_place_and_half_a_surrogate_pair_is_named(running: Running) -> None:
    said = str(uuid4())
    roles = ["user", "system", "user"]
    messages = [{"role": role, "content": said} for role in roles]
    await running.http.post("/v1/chat/completions", json={"model": "openai/text-1", "messages": messages})
    body = next(record.body for record in running.models.records if said in json.dumps(record.body))
    assert roles == [message["role"] for message in body["messages"]]
    for field in (b'"top_x":"\\ud83d"', b'"user":"a\\udc00b"', b'"messages":[{"role":"user","content":"\\ud83d!"}]'):
        broken = b'{"model":"openai/text-1","messages":[{"role":"user","content":"x"}],' + field + b"}"
        refused = await running.http.post(
            "/v1/chat/completions", content=broken, headers={"content-type": "application/json"}
        )
        assert 400 == refused.status_code
        assert "surrogate" in refused.json()["error"]["message"]


async def test_tool_choice_that_names_no_tool_is_refused(running: Running) -> None:
    tool = {"type": "function", "function": {"name": "get_weather"}}
    for choice in (
        {"type": "function", "function": {"name": "other"}},
        {"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": [{"function": {"name": "other"}}]}},
        {"type": "nonsense"},
    ):
        wanted = asking("openai/text-1", tools=[tool], tool_choice=choice)
        refused = await running.http.post("/v1/chat/completions", json=wanted)
        assert (400, "tool_choice") == (refused.status_code, refused.json()["error"]["param"])


async def test_the_limit_of_tokens_keeps_the_name_that_the_client_used(running: Running) -> None:
    for name in ("max_tokens", "max_completion_tokens"):
        said = str(uuid4())
        wanted = {**asking("openai/text-9", **{name: 3}), "messages": [{"role": "developer", "content": said}]}
        await running.http.post("/v1/chat/completions", json=wanted)
        body = next(record.body for record in running.models.records if said in json.dumps(record.body))
        assert [name] == [one for one in ("max_tokens", "max_completion_tokens") if one in body]
        assert "developer" == body["messages"][0]["role"]


async def test_what_has_no_effect_is_named(running: Running) -> None:
    options = {"include_usage": True, "include_obfuscation": True, "continuous": True}
    streamed = asking("openai/text-1", stream=True, stream_options=options)
    named = await running.http.post("/v1/chat/completions", json=streamed)
    assert "stream_options.include_obfuscation, stream_options.continuous" == named.headers["x-headrace-ignored"]
    offline = asking("offline/extractive", seed=1, top_k=2, logprobs=True, max_tokens=5)
    ignored = (await running.http.post("/v1/chat/completions", json=offline)).headers["x-headrace-ignored"]
    assert "logprobs, seed, top_k" == ignored


async def test_models_say_what_they_can_do(running: Running) -> None:
    found = (await running.http.get("/v1/models", params={"capability": "all"})).json()["data"]
    can = {model["id"]: model["capabilities"] for model in found}
    assert (["embeddings"], ["chat"]) == (can["minilm/all-MiniLM-L6-v2"], can["auto"])
    assert "chat" in can["openai/text-100"]
    listed = (await running.http.get("/v1/models")).json()["data"]
    assert all("chat" in model["capabilities"] for model in listed)
