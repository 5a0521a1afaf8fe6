"""Every operation while Postgres refuses writes: what reads answers, what writes is 503 and may be sent again."""

import httpx
import psycopg
import pytest
from structlog.testing import capture_logs

from schema.postgres.connections import OUTAGES
from tests.isolation.operation_calls import Matrix
from tests.isolation.operation_table import CALLS
from tests.isolation.routes import Operation, by_name
from tests.isolation.test_route_matrix import matrix
from tests.schema.postgres.read_only import read_only
from tests.waiting import wait_for

__all__ = ["matrix"]

READS = {"GET /api/sessions", "GET /api/jobs", "GET /api/jobs/{job_id}", "GET /api/agents", "GET /api/auth/me"}
WRITES = {"POST /api/chat", "POST /api/sessions", "POST /v1/chat/completions", "POST /api/auth/api-keys"}


async def test_no_operation_is_an_internal_error_while_postgres_is_read_only(matrix: Matrix, database_url: str) -> None:
    requests = []
    for name, call in CALLS.items():
        operation = by_name()[name]
        requests.append((operation, call, await matrix.leader(call), matrix.values(call, matrix.world.a)))
    wrong, statuses = [], dict[str, int]()
    with read_only(database_url), capture_logs() as logs:
        for operation, call, headers, values in requests:
            answer = await matrix.call(operation, headers, values)
            statuses[str(operation)] = answer.status_code
            if not (answer.status_code == call.gets or _says_come_again(answer)):
                wrong.append(f"{operation}: {answer.status_code} {answer.text[:200]}")
    assert [] == wrong
    assert [] == [line for line in logs if line["event"] == "request_failed"]
    assert {503} == {statuses[name] for name in WRITES if name in statuses}
    assert 503 not in {statuses[name] for name in READS if name in statuses}


@pytest.mark.parametrize("state", ["25006", "53100", "53200", "57P05", "58030", "58P01"])
async def test_a_failure_below_the_statement_is_an_outage(matrix: Matrix, database_url: str, state: str) -> None:
    """A full disk, for instance, as Postgres reports it."""
    assert state[:2] in OUTAGES
    chat = by_name()["POST /api/chat"]
    call = CALLS[str(chat)]
    await wait_for(lambda: _is_accepted(matrix, chat), "chats are accepted")
    headers, values = await matrix.leader(call), matrix.values(call, matrix.world.a)
    with psycopg.connect(database_url, autocommit=True) as db:
        db.execute(
            "CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS "  # type: ignore[arg-type]
            f"$$ BEGIN RAISE EXCEPTION 'failed' USING ERRCODE = '{state}'; END $$;"
            "CREATE TRIGGER fails BEFORE INSERT ON jobs FOR EACH ROW EXECUTE FUNCTION fail()"
        )
        try:
            answer = await matrix.call(chat, headers, values)
        finally:
            db.execute("DROP FUNCTION fail CASCADE")
    assert _says_come_again(answer), answer.text
    await wait_for(lambda: _is_accepted(matrix, chat), "chats are accepted again")


async def _is_accepted(matrix: Matrix, chat: Operation) -> bool:
    call = CALLS[str(chat)]
    answer = await matrix.call(chat, await matrix.leader(call), matrix.values(call, matrix.world.a))
    return answer.status_code == call.gets


def _says_come_again(answer: httpx.Response) -> bool:
    said = answer.json()
    error = said.get("error", said)  # OpenAI's shape, Anthropic's, or a problem
    code = error.get("details", error)["error_code" if "details" in error else "code"]
    return (503, "unavailable", True) == (answer.status_code, code, int(answer.headers.get("Retry-After", 0)) > 0)
