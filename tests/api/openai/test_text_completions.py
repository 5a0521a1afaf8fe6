"""`/v1/completions` as the official OpenAI package uses it: by vendors that go on with texts, and by those that only chat."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import httpx
import openai
import pytest
from openai import AsyncOpenAI

from tests.api.documented_errors import require_documented
from tests.conftest import TestTenant, make_tenant
from tests.counterparts.behaviours import text
from tests.counterparts.ollama_server import OllamaServer
from tests.counterparts.openai.server import OpenAIServer
from tests.journeys.agent_setup import add_agent
from tests.system import System
from tests.waiting import PATIENCE_S, eventually

CHATS = "prompt (sent as a message of the user)"


@dataclass(frozen=True)
class Writing:
    """A running headrace: `openai/…` goes on with texts, `groq/…` only chats, `ollama/…` fills gaps."""

    system: System
    openai: OpenAIServer
    ollama: OllamaServer
    tenant: TestTenant
    http: httpx.AsyncClient

    def sdk(self) -> AsyncOpenAI:
        return AsyncOpenAI(base_url=f"{self.system.url}/v1", api_key=self.tenant.key, max_retries=0)

    async def complete(self, **body: Any) -> tuple[Any, str]:
        """What the SDK makes of a completion, and what was named as ignored."""
        async with self.sdk() as sdk:
            answer = await sdk.completions.with_raw_response.create(**body)
            return answer.parse(), answer.headers.get("x-headrace-ignored", "")


@pytest.fixture(scope="module")
async def writing(
    database_url: str, redis_url: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Writing]:
    tenant = make_tenant(database_url)
    add_agent(database_url, tenant, "Clerk")
    async with OpenAIServer() as models, OllamaServer() as ollama:
        settings = {
            "HEADRACE_DEFAULT_MODEL": "openai/text-5",
            "GROQ_API_KEY": "gsk-key",
            "GROQ_BASE_URL": models.base_url,
            "OLLAMA_HOST": ollama.url,
        }
        folder = tmp_path_factory.mktemp("system")
        system = System(database_url, redis_url, folder=folder, model_url=models.base_url, settings=settings)
        hooks = {"response": [require_documented]}
        async with (
            system,
            httpx.AsyncClient(
                base_url=system.url, headers=tenant.headers, timeout=PATIENCE_S, event_hooks=hooks
            ) as http,
        ):
            yield Writing(system, models, ollama, tenant, http)


async def test_a_vendor_that_goes_on_with_texts_gets_the_prompt_as_it_is(writing: Writing) -> None:
    prompt = f"def add(a, b): # {uuid4()}"
    done, ignored = await writing.complete(model="openai/text-7", prompt=prompt, max_tokens=5, seed=3)
    assert (text(5), "length", "text_completion") == (done.choices[0].text, done.choices[0].finish_reason, done.object)
    assert (len(prompt.split()), 5) == (done.usage.prompt_tokens, done.usage.completion_tokens)
    assert ("openai/text-7", True, "") == (done.model, done.id.startswith("cmpl-"), ignored)
    sent = next(r for r in reversed(writing.openai.requests) if r.path.endswith("/completions"))
    assert ("/v1/completions", prompt, 5, 3) == (sent.path, *(sent.body[k] for k in ("prompt", "max_tokens", "seed")))
    job = (await writing.http.get(f"/api/jobs/{_job_id(done.id)}")).json()
    assert ("chat", "succeeded", None) == (job["kind"], job["state"], job["agent"])


def _job_id(completion_id: str) -> str:
    return completion_id.removeprefix("cmpl-")


@pytest.mark.parametrize("model", ["openai/text-3", "groq/text-3", "ollama/text-3"])
@pytest.mark.parametrize("echo", [False, True])
async def test_prompts_are_answered_in_their_order_streamed_and_not(writing: Writing, model: str, echo: bool) -> None:
    prompts = ["One", "Two", "Three"]
    body: dict[str, Any] = {"model": model, "prompt": prompts, "echo": echo}
    whole, ignored = await writing.complete(**body)
    wanted = [(prompt if echo else "") + text(3) for prompt in prompts]
    assert wanted == [choice.text for choice in whole.choices]
    assert [0, 1, 2] == [choice.index for choice in whole.choices]
    assert 9 == whole.usage.completion_tokens
    assert (CHATS if model.startswith("groq") else "") == ignored
    told = dict.fromkeys(range(3), "")
    reasons: dict[int, str] = {}
    async with writing.sdk() as sdk:
        stream = await sdk.completions.create(**body, stream=True, stream_options={"include_usage": True})
        chunks = [chunk async for chunk in stream]
        for chunk in chunks:
            for choice in chunk.choices:
                told[choice.index] += choice.text
                reasons |= {choice.index: choice.finish_reason} if choice.finish_reason else {}
    assert wanted == list(told.values())
    assert {0: "stop", 1: "stop", 2: "stop"} == reasons
    assert 9 == chunks[-1].usage.completion_tokens


@pytest.mark.parametrize("stream", [False, True])
async def test_logprobs_come_back_in_their_older_shape(writing: Writing, stream: bool) -> None:
    body: dict[str, Any] = {"model": "openai/text-2", "prompt": ["A", "B"], "logprobs": 2, "echo": True}
    if stream:
        told: dict[int, Any] = {0: [], 1: []}
        async with writing.sdk() as sdk:
            async for chunk in await sdk.completions.create(**body, stream=True):
                for choice in chunk.choices:
                    told[choice.index] += [choice.logprobs] if choice.logprobs else []
        tokens = [[token for one in told[i] for token in one.tokens] for i in (0, 1)]
        offsets = [[offset for one in told[i] for offset in one.text_offset] for i in (0, 1)]
    else:
        done, _ = await writing.complete(**body)
        found = [choice.logprobs for choice in done.choices]
        tokens, offsets = [one.tokens for one in found], [one.text_offset for one in found]
        assert {"A": -0.5, " other": -1.5} == found[0].top_logprobs[0]
        assert [-0.5] * 3 == found[1].token_logprobs
    assert [["A", "water", " flows"], ["B", "water", " flows"]] == tokens
    assert [[0, 1, 6]] * 2 == offsets


async def test_tokens_reach_those_who_know_them_and_are_refused_elsewhere(writing: Writing) -> None:
    done, _ = await writing.complete(model="openai/text-1", prompt=[72, 105], echo=True)
    assert "Hi" + text(1) == done.choices[0].text
    for model in ("groq/text-1", "ollama/text-1"):
        with pytest.raises(openai.BadRequestError, match="takes texts, no tokens") as refused:
            await writing.complete(model=model, prompt=[[72, 105]])
        assert "prompt" == refused.value.param


async def test_a_gap_is_filled_by_those_who_can(writing: Writing) -> None:
    for model in ("openai/text-1", "ollama/text-1"):
        done, _ = await writing.complete(model=model, prompt="a", suffix="z")
        assert text(1) + " [a|z]" == done.choices[0].text
    sent = writing.ollama.requests[-1]
    assert ("/api/generate", "a", "z") == (sent.path, sent.body["prompt"], sent.body["suffix"])
    for model in ("groq/text-1", "agent/Clerk"):
        with pytest.raises(openai.BadRequestError, match="can't fill a gap") as refused:
            await writing.complete(model=model, prompt="a", suffix="z")
        assert "suffix" == refused.value.param


async def test_ollama_is_told_its_own_parameters(writing: Writing) -> None:
    own = {"raw": True, "num_ctx": 64, "keep_alive": "5m"}
    body: dict[str, Any] = {"model": "ollama/text-9", "prompt": "a", "max_tokens": 2, "seed": 3, "user": "u"}
    done, ignored = await writing.complete(**body, logprobs=1, extra_body=own)
    sent = writing.ollama.requests[-1].body
    assert (True, "5m") == (sent["raw"], sent["keep_alive"])
    assert {"num_ctx": 64, "num_predict": 2, "seed": 3} == sent["options"]
    assert (text(2), "length", "logprobs, user") == (done.choices[0].text, done.choices[0].finish_reason, ignored)


async def test_for_a_chat_the_parameters_become_what_chats_have(writing: Writing) -> None:
    body: dict[str, Any] = {"model": "groq/text-9", "prompt": "What?", "logprobs": 30, "best_of": 2, "max_tokens": 2}
    done, ignored = await writing.complete(**body)
    sent = writing.openai.records[-1].body
    assert [{"role": "user", "content": "What?"}] == sent["messages"]
    assert (True, 20, 2) == (sent["logprobs"], sent["top_logprobs"], sent["max_tokens"])
    assert not {"prompt", "best_of", "completion", "echo"} & sent.keys()
    assert (text(2), f"{CHATS}, best_of") == (done.choices[0].text, ignored)


async def test_an_agent_answers_one_prompt_and_auto_is_the_model_alone(writing: Writing) -> None:
    done, ignored = await writing.complete(model="agent/Clerk", prompt="What is a headrace?", echo=True)
    assert (text(5), f"{CHATS}, echo") == (done.choices[0].text, ignored)
    job = (await writing.http.get(f"/api/jobs/{_job_id(done.id)}")).json()
    assert "Clerk" == job["agent"]
    done, ignored = await writing.complete(model="auto", prompt="What is a headrace?")
    job = (await writing.http.get(f"/api/jobs/{_job_id(done.id)}")).json()
    assert (None, "") == (job["agent"], ignored)


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"prompt": ["a", 7]}, "prompt"),
        ({"prompt": ["a", "b"], "n": 65}, "n"),
        ({"prompt": []}, "prompt"),
        ({"prompt": ["a", "b"], "model": "agent/Clerk"}, "prompt"),
        ({"prompt": "a", "n": 2, "model": "agent/Clerk"}, "n"),
        ({"prompt": "a", "n": 2, "model": "groq/text-1"}, "n"),
        ({"prompt": "a", "n": 2, "model": "ollama/text-1"}, "n"),
        ({"prompt": "a", "logprobs": -1}, "logprobs"),
    ],
)
async def test_what_cant_be_honoured_is_refused_by_name(writing: Writing, body: dict[str, Any], param: str) -> None:
    answer = await writing.http.post("/v1/completions", json={"model": "openai/text-1", **body})
    assert (400, param) == (answer.status_code, answer.json()["error"]["param"]), answer.text


async def test_a_vendors_refusal_arrives_as_it_is(writing: Writing) -> None:
    with pytest.raises(openai.BadRequestError, match=r"This request is refused\."):
        await writing.complete(model="openai/refuse-400", prompt="a")


async def test_a_client_that_leaves_cancels_the_job(writing: Writing) -> None:
    async with writing.http.stream(
        "POST", "/v1/completions", json={"model": "groq/text-9000-at-50", "prompt": "a", "stream": True}
    ) as answer:
        job_id = answer.headers["x-job-id"]
        await anext(answer.aiter_bytes())

    async def state() -> str:
        return (await writing.http.get(f"/api/jobs/{job_id}")).json()["state"]

    await eventually(state, "cancelled")


async def test_a_key_gives_the_same_completion_again(writing: Writing) -> None:
    headers = {"Idempotency-Key": str(uuid4())}
    body = {"model": "openai/text-2", "prompt": "a"}
    answers = await asyncio.gather(
        *(writing.http.post("/v1/completions", json=body, headers=headers) for _ in range(2))
    )
    assert 1 == len({answer.json()["id"] for answer in answers})
