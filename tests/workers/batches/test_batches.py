"""`/v1/batches` with the openai package, over a running headrace: each line once, whatever dies; limits, cancels and ends."""

import asyncio
from collections import Counter
from functools import partial
from uuid import uuid4

import psycopg
from openai import AsyncOpenAI

from tests.conftest import TestTenant
from tests.counterparts.behaviours import text
from tests.waiting import wait_for
from tests.workers.batches.conftest import Batching, ask, create, ended, line, results

LINES = 150
"""Of the batch during which processes are killed."""


async def test_answers_and_failures_come_back_as_files(sdk: AsyncOpenAI) -> None:
    lines = [ask("good"), ask("unknown", "nobody"), line("bad", messages=[]), ask("refused", "refuse-400")]
    batch = await create(sdk, lines, metadata={"run": "nightly"})
    assert ("batch", "validating", "24h", {"run": "nightly"}) == (
        *(batch.object, batch.status, batch.completion_window),
        batch.metadata,
    )
    batch = await ended(sdk, batch.id)
    assert ("completed", 4, 1, 3) == (
        batch.status,
        *(batch.request_counts.total, batch.request_counts.completed, batch.request_counts.failed),
    )
    (good,) = await results(sdk, batch.output_file_id)
    assert ("good", None, 200) == (good["custom_id"], good["error"], good["response"]["status_code"])
    assert text(3) == good["response"]["body"]["choices"][0]["message"]["content"]
    assert good["response"]["request_id"]
    failed = {one["custom_id"]: one["response"] for one in await results(sdk, batch.error_file_id)}
    assert {"unknown": 404, "bad": 400, "refused": 400} == {name: one["status_code"] for name, one in failed.items()}
    assert "model_not_found" == failed["unknown"]["body"]["error"]["code"]
    usage = good["response"]["body"]["usage"]
    assert usage["total_tokens"] == batch.usage.total_tokens
    assert batch.id in [one.id async for one in sdk.batches.list()]
    assert batch == await sdk.batches.cancel(batch.id)


async def test_completions_of_texts_go_through_their_route(sdk: AsyncOpenAI) -> None:
    endpoint = "/v1/completions"
    several = {"prompt": ["Once upon", "Long ago"], "n": 2, "max_tokens": 3}
    lines = [
        line("one", endpoint, model="openai/text-4", prompt="Once upon", suffix="the end."),
        line("several", endpoint, model="openai/text-4", **several),
        line("none", endpoint, model="openai/text-4"),
    ]
    batch = await ended(sdk, (await create(sdk, lines, endpoint)).id)

    assert ("completed", 2, 1) == (batch.status, batch.request_counts.completed, batch.request_counts.failed)
    told = {one["custom_id"]: one["response"]["body"] for one in await results(sdk, batch.output_file_id)}
    assert {"text_completion"} == {body["object"] for body in told.values()}
    assert [f"{text(4)} [Once upon|the end.]"] == [choice["text"] for choice in told["one"]["choices"]]
    assert [0, 1, 2, 3] == [choice["index"] for choice in told["several"]["choices"]]
    (failed,) = await results(sdk, batch.error_file_id)
    assert ("none", 400) == (failed["custom_id"], failed["response"]["status_code"])


async def test_responses_and_embeddings_go_through_their_routes(sdk: AsyncOpenAI) -> None:
    endpoint = "/v1/responses"
    lines = [line("r", endpoint, model="openai/text-4", input="hi", instructions="Be brief.")]
    batch = await ended(sdk, (await create(sdk, lines, endpoint)).id)
    (told,) = await results(sdk, batch.output_file_id)
    body = told["response"]["body"]
    assert ("response", "completed", text(4)) == (
        body["object"],
        body["status"],
        body["output"][0]["content"][0]["text"],
    )
    assert text(4) == (await sdk.responses.retrieve(body["id"])).output_text

    endpoint = "/v1/embeddings"
    batch = await create(sdk, [line("e", endpoint, model="openai/small", input=["a", "b"])], endpoint)
    (told,) = await results(sdk, (await ended(sdk, batch.id)).output_file_id)
    assert [0, 1] == [one["index"] for one in told["response"]["body"]["data"]]


async def test_each_line_is_answered_once_whatever_is_killed(batching: Batching, sdk: AsyncOpenAI) -> None:
    mark = uuid4().hex[:6]
    names = [f"{mark}-{n}" for n in range(LINES)]
    batch = await create(sdk, [ask(name) for name in names])
    for role in ("chat", "default", "api"):
        before = (await sdk.batches.retrieve(batch.id)).request_counts.completed
        await wait_for(partial(_is_past, sdk, batch.id, before + LINES // 10), "the batch goes on")
        batching.system.kill(role)
        batching.system.start(role)
        await batching.system.ready(role)
    batch = await ended(sdk, batch.id)
    assert ("completed", LINES, 0) == (batch.status, batch.request_counts.completed, batch.request_counts.failed)
    assert batch.error_file_id is None
    assert names == [one["custom_id"] for one in await results(sdk, batch.output_file_id)]
    with psycopg.connect(batching.url) as db:
        sql = "SELECT count(*), count(DISTINCT payload ->> 'batch') FROM jobs WHERE payload ->> 'batch' LIKE %s"
        assert (LINES, LINES) == db.execute(sql, (f"{batch.id}%",)).fetchone()
    again = sum(times - 1 for times in batching.asked(mark).values())
    assert again <= 16, "only what ran in the killed worker is asked again"


async def _is_past(sdk: AsyncOpenAI, batch_id: str, completed: int) -> bool:
    return (await sdk.batches.retrieve(batch_id)).request_counts.completed >= completed


async def test_a_cancel_keeps_what_was_answered_and_stops_the_rest(batching: Batching, sdk: AsyncOpenAI) -> None:
    lines = [ask("first"), *(ask(f"endless-{n}", "text-6000-at-60") for n in range(20))]
    batch = await create(sdk, lines)
    await wait_for(lambda: _is_past(sdk, batch.id, 1), "the first line was answered")
    assert "cancelling" == (await sdk.batches.cancel(batch.id)).status
    batch = await ended(sdk, batch.id)
    assert ("cancelled", 1, 20) == (batch.status, batch.request_counts.completed, batch.request_counts.failed)
    assert batch.cancelled_at >= batch.cancelling_at
    assert ["first"] == [one["custom_id"] for one in await results(sdk, batch.output_file_id)]
    rest = await results(sdk, batch.error_file_id)
    assert [f"endless-{n}" for n in range(20)] == [one["custom_id"] for one in rest]
    assert {"batch_cancelled"} == {one["error"]["code"] for one in rest}

    async def is_quiet() -> bool:
        with psycopg.connect(batching.url) as db:
            sql = "SELECT count(*) FROM jobs WHERE payload ->> 'batch' LIKE %s AND finished_at IS NULL"
            return db.execute(sql, (f"{batch.id}%",)).fetchone() == (0,)

    await wait_for(is_quiet, "no line runs any more")


async def test_a_batch_that_is_cancelled_before_its_file_was_read_says_so_of_each_line(
    batching: Batching, sdk: AsyncOpenAI
) -> None:
    batching.system.kill("default")
    try:
        batch = await create(sdk, [ask(f"early-{n}") for n in range(3)])
        invalid = await create(sdk, b"{}")
        assert "cancelling" == (await sdk.batches.cancel(batch.id)).status
        await sdk.batches.cancel(invalid.id)
        batch, invalid = await ended(sdk, batch.id), await ended(sdk, invalid.id)
    finally:
        batching.system.start("default")
    counts = batch.request_counts
    assert ("cancelled", 3, 0, 3) == (batch.status, counts.total, counts.completed, counts.failed)
    rest = await results(sdk, batch.error_file_id)
    assert [(f"early-{n}", "batch_cancelled") for n in range(3)] == [
        (one["custom_id"], one["error"]["code"]) for one in rest
    ]
    assert ("cancelled", 0, None) == (invalid.status, invalid.request_counts.total, invalid.error_file_id)
    assert Counter() == batching.asked("early-")


async def test_a_batch_past_its_window_expires_with_what_was_answered(batching: Batching, sdk: AsyncOpenAI) -> None:
    batch = await create(sdk, [ask("quick"), ask("never", "text-6000-at-60")])
    await wait_for(lambda: _is_past(sdk, batch.id, 1), "a line was answered")
    with psycopg.connect(batching.url) as db:
        db.execute("UPDATE jobs SET deadline_at = now() WHERE kind = 'batch' AND finished_at IS NULL")
    batching.system.kill("default")  # the deadline is read when an attempt begins
    batching.system.start("default")
    batch = await ended(sdk, batch.id)
    assert ("expired", True) == (batch.status, batch.expired_at is not None)
    assert ["quick"] == [one["custom_id"] for one in await results(sdk, batch.output_file_id)]
    (late,) = await results(sdk, batch.error_file_id)
    assert ("never", None, "batch_expired") == (late["custom_id"], late["response"], late["error"]["code"])


async def test_a_batch_leaves_slots_and_half_of_the_rate_to_others(
    batching: Batching, sdk: AsyncOpenAI, tenant: TestTenant
) -> None:
    with psycopg.connect(batching.url) as db:
        db.execute("UPDATE tenants SET max_running = 2, requests_per_minute = 8 WHERE id = %s", (tenant.id,))
    batch = await create(sdk, [ask(f"slot-{n}", "text-6-at-30") for n in range(12)])
    await wait_for(lambda: _is_past(sdk, batch.id, 3), "some lines were answered")
    async with asyncio.timeout(20):
        said = await sdk.chat.completions.create(
            model="openai/text-2", messages=[{"role": "user", "content": "somebody waits"}]
        )
    assert text(2) == said.choices[0].message.content
    counts = (await sdk.batches.retrieve(batch.id)).request_counts
    assert (True, 0) == (counts.completed <= 4, counts.failed)
    with psycopg.connect(batching.url) as db:
        db.execute("UPDATE tenants SET requests_per_minute = NULL WHERE id = %s", (tenant.id,))
    await sdk.batches.cancel(batch.id)
    assert Counter(cancelled=1) == Counter([(await ended(sdk, batch.id)).status])
