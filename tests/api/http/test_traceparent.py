"""The header `traceparent` of requests: what a caller says is recorded with the job, and what is malformed is not."""

import httpx
import psycopg
import pytest

from schema.tracing import attributes as names
from tests.conftest import TestTenant
from tests.recorded_spans import recorded_spans

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
CALLER = f"00-{TRACE}-{SPAN}-01"
ASK = {"message": "the heron said", "model": "offline/extractive"}


async def submit(api: httpx.AsyncClient, *traceparents: str) -> str:
    headers = [("Prefer", "respond-async"), *(("traceparent", one) for one in traceparents)]
    answer = await api.post("/api/chat", json=ASK, headers=headers)
    assert 202 == answer.status_code, answer.text
    return answer.json()["job_id"]


def traceparent_of(database_url: str, job_id: str) -> str | None:
    with psycopg.connect(database_url) as db:
        row = db.execute("SELECT traceparent FROM jobs WHERE id = %s", (job_id,)).fetchone()
    assert row is not None
    return row[0]


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        ([CALLER], CALLER),
        ([], None),
        ([CALLER.upper()], None),
        ([CALLER, CALLER.replace("b7", "b8")], None),
        ([f"{CALLER}-and-more"], None),
        (["'" * 600], None),
    ],
)
async def test_while_nothing_is_traced_a_job_is_a_part_of_its_callers_trace(
    api: httpx.AsyncClient, database_url: str, sent: list[str], kept: str | None
) -> None:
    assert kept == traceparent_of(database_url, await submit(api, *sent))


async def test_a_request_and_its_submit_are_spans_of_the_callers_trace(
    api: httpx.AsyncClient, database_url: str, tenant: TestTenant
) -> None:
    with recorded_spans(content=True) as recorded:
        job_id = await submit(api, CALLER)
        await api.get("/health/live")
    submitted, request = recorded.one("submit chat"), recorded.one("POST /api/chat")
    assert ["submit chat", "POST /api/chat"] == recorded.names()
    assert request.context is not None
    assert submitted.context is not None
    assert submitted.parent is not None
    assert request.parent is not None
    assert (TRACE, SPAN) == (f"{request.context.trace_id:032x}", f"{request.parent.span_id:016x}")
    assert request.context.span_id == submitted.parent.span_id
    assert f"00-{TRACE}-{submitted.context.span_id:016x}-01" == traceparent_of(database_url, job_id)
    said = {names.HTTP_STATUS: 202, names.HTTP_ROUTE: "/api/chat", names.TENANT: str(tenant.id)}
    assert said.items() <= dict(request.attributes or {}).items()
    assert job_id == (submitted.attributes or {})[names.JOB]


async def test_a_request_that_is_not_sampled_leaves_no_span_and_says_so(
    api: httpx.AsyncClient, database_url: str
) -> None:
    with recorded_spans() as recorded:
        job_id = await submit(api, CALLER[:-1] + "0")
    assert [] == recorded.all()
    kept = traceparent_of(database_url, job_id) or ""
    assert (TRACE, "00") == (kept.split("-")[1], kept.split("-")[3])
