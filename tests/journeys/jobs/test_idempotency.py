"""Idempotency keys: whatever a client repeats, there is one job."""

import asyncio
from collections import Counter
from uuid import uuid4

from tests.journeys.client import Client

ASK = {"message": "Tell me.", "model": "openai/text-10"}


async def test_fifty_parallel_posts_with_one_key_make_one_job(client: Client):
    key = uuid4().hex
    posts = [client.post("/api/chat", ASK, Prefer="respond-async", Idempotency_Key=key) for _ in range(50)]

    answers = await asyncio.gather(*posts)

    assert Counter({202: 50}) == Counter(status for status, _ in answers)
    assert 1 == len({said["job_id"] for _, said in answers})
    assert 1 == len((await client.get("/api/jobs"))["items"])


async def test_the_same_key_with_another_body_is_refused(client: Client):
    key = uuid4().hex
    await client.post("/api/chat", ASK, Prefer="respond-async", Idempotency_Key=key)

    status, said = await client.post("/api/chat", {**ASK, "message": "Tell me more."}, Idempotency_Key=key)

    assert (422, "idempotency_key_reused") == (status, said["code"])


async def test_a_repeated_openai_request_gives_the_same_answer_without_asking_the_model_again(client: Client):
    body = {"model": "openai/text-10", "messages": [{"role": "user", "content": "Tell me."}]}
    key = uuid4().hex

    answers = [await client.post("/v1/chat/completions", body, Idempotency_Key=key) for _ in range(2)]

    assert [200, 200] == [status for status, _ in answers]
    assert answers[0][1]["choices"] == answers[1][1]["choices"]
    assert 1 == len((await client.get("/api/jobs"))["items"])
