"""A client generated from the OpenAPI document works against the real application, with types for everything.

`openapi-python-client` must generate it without a warning: what it can't say in Python would be missing from the client.
"""

import importlib
import json
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from io import BytesIO
from pathlib import Path
from types import ModuleType
from typing import Any

import httpx
import pytest

from tests.api.conftest import Running
from tests.conftest import TestTenant, make_tenant
from tests.waiting import PATIENCE_S

PACKAGE = "headrace_client"
LEASE = b"The notice period is three months."


@pytest.fixture(scope="module")
def owner_of_running(running: Running, database_url: str) -> TestTenant:
    """A tenant on the running system whose key may create agents and upload documents."""
    return make_tenant(database_url, role="owner")


@pytest.fixture(scope="module")
def generated(running: Running, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The folder that holds the client, which is importable meanwhile."""
    folder = tmp_path_factory.mktemp("client")
    generate(httpx.get(f"{running.url}/schema/openapi.json", timeout=PATIENCE_S).json(), folder)
    sys.path.insert(0, str(folder))
    yield folder
    sys.path.remove(str(folder))
    for name in [name for name in sys.modules if name.split(".")[0] == PACKAGE]:
        del sys.modules[name]


def generate(document: dict[str, Any], folder: Path) -> None:
    """Write the client's package into `folder`. Fails on the first warning."""
    (folder / "openapi.json").write_text(json.dumps(document))
    (folder / "config.json").write_text(json.dumps({"post_hooks": []}))
    command = [sys.executable, "-m", "openapi_python_client", "generate", "--meta", "none", "--fail-on-warning"]
    places = ["--path", "openapi.json", "--config", "config.json", "--output-path", PACKAGE]
    done = subprocess.run([*command, *places], cwd=folder, capture_output=True, text=True, check=False)
    assert 0 == done.returncode, done.stdout + done.stderr
    assert "WARNING" not in done.stdout + done.stderr


def part(name: str) -> ModuleType:
    """Return a module of the generated client."""
    return importlib.import_module(f"{PACKAGE}.{name}")


@pytest.fixture
async def client(generated: Path, running: Running, owner_of_running: TestTenant) -> AsyncIterator[Any]:
    made = part("client").AuthenticatedClient(base_url=running.url, token=owner_of_running.key, timeout=PATIENCE_S)
    async with made as opened:
        yield opened


async def test_a_chat_is_sent_and_its_job_and_session_are_read_back(client: Any) -> None:
    models = part("models")
    answer = await part("api.chat.send_message").asyncio(
        client=client, body=models.ChatIn(message="What is a headrace?")
    )
    assert isinstance(answer, models.AnswerOut)
    job = await part("api.jobs.get_job").asyncio(client=client, job_id=answer.job_id)
    assert isinstance(job, models.JobDetailOut)
    assert "succeeded" == job.state
    session = await part("api.sessions.get_session").asyncio(client=client, session_id=answer.session_id)
    assert answer.session_id == session.id


async def test_a_document_is_uploaded_and_read_back(client: Any) -> None:
    models, types = part("models"), part("types")
    body = models.UploadDocumentsFilesBody(
        files=[
            types.File(
                payload=BytesIO(b"The notice period is three months."), file_name="lease.txt", mime_type="text/plain"
            )
        ],
        collection="leases",
    )
    upload = part("api.documents.upload_documents")
    taken = await upload.asyncio(client=client, body=body, prefer="wait=1", idempotency_key="lease-1")
    assert isinstance(taken, models.UploadOut)
    document = await part("api.documents.get_document").asyncio(client=client, document_id=taken.documents[0].id)
    assert "lease.txt" == document.name
    content = await part("api.documents.download_document").asyncio(client=client, document_id=document.id)
    assert LEASE == content.payload.read()


async def test_an_agent_is_created_and_read_back(client: Any) -> None:
    models = part("models")
    body = models.AgentIn(name="Librarian", description="Answers what the library has.", prompt="You are a librarian.")
    made = await part("api.agents.create_agent").asyncio(client=client, body=body)
    assert isinstance(made, models.AgentOut)
    assert made == await part("api.agents.get_agent").asyncio(client=client, name="Librarian")


async def test_an_error_is_typed_too(client: Any) -> None:
    problem = await part("api.agents.get_agent").asyncio(client=client, name="Nobody")
    assert isinstance(problem, part("models").ProblemOut)
    assert (404, "not_found") == (problem.status, problem.code)


async def test_the_events_of_a_stream_are_typed(client: Any, running: Running) -> None:
    """The generated functions read whole answers; a stream is read by hand, and each of its events has a class."""
    models = part("models")
    kinds = {
        "job.queued": models.JobQueued,
        "message.completed": models.MessageCompleted,
        "job.succeeded": models.JobSucceeded,
    }
    seen = set()
    stream = client.get_async_httpx_client().stream
    headers = {"Accept": "text/event-stream"}
    async with stream("POST", "/api/chat", json={"message": "Hello"}, headers=headers) as answer:
        event = ""
        async for line in answer.aiter_lines():
            name, _, value = line.partition(": ")
            event = value if name == "event" else event
            if name == "data" and event in kinds:
                told = kinds[event].from_dict(json.loads(value))
                assert str(told.job_id) == answer.headers["X-Job-ID"]
                seen.add(event)
    assert set(kinds) == seen
