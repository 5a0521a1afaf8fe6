"""Every command that talks to a server, where none is, or another one: one sentence that says what to do."""

from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from api.local.errors import LocalError
from api.local.http_client import Client
from tests.api.cli.test_command_line import command
from tests.system import free_port

COMMANDS = (
    ["jobs"],
    ["top", "--once"],
    ["benchmark"],
    ["webhooks", "listen", "--port", "PORT"],
    ["chat", "hi"],
    ["ingest", __file__],
)


def run(arguments: list[str], home: Path, url: str) -> str:
    """The one line that it says; it ends with status 1."""
    own = [str(free_port()) if one == "PORT" else one for one in arguments]
    done = command(*own, home=home, HEADRACE_URL=url, HEADRACE_API_KEY="hr_x")
    assert 1 == done.returncode, done.stderr
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("headrace: ")]
    assert "Traceback" not in done.stderr
    return line


@pytest.mark.parametrize("arguments", COMMANDS, ids=lambda one: one[0])
def test_every_command_says_in_one_sentence_that_nothing_answers(arguments: list[str], tmp_path: Path) -> None:
    assert (
        "headrace: http://127.0.0.1:9 can't be reached (connection refused). Start headrace there, or correct HEADRACE_URL."
        == run(arguments, tmp_path, "http://127.0.0.1:9")
    )


@pytest.mark.parametrize("arguments", COMMANDS, ids=lambda one: one[0])
def test_every_command_says_that_a_url_is_none(arguments: list[str], tmp_path: Path) -> None:
    assert "headrace: 'foo' is no URL of a server. Correct HEADRACE_URL; it must be like http://127.0.0.1:8000." == run(
        arguments, tmp_path, "foo"
    )


async def answers(body: str, status: int = 200) -> TestServer:
    async def answer(request: web.Request) -> web.Response:
        return web.Response(
            text=body, status=status, content_type="application/json" if body[:1] == "{" else "text/html"
        )

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    server = TestServer(app)
    await server.start_server()
    return server


@pytest.mark.parametrize(
    ("body", "status"), [("<html>hello</html>", 200), ('{"hello": 1}', 200), ("[1]", 200), ("<html>no</html>", 404)]
)
@pytest.mark.parametrize("asked", ["jobs", "benchmark", "chat", "upload"])
async def test_another_server_is_told_from_headrace(asked: str, body: str, status: int) -> None:
    server = await answers(body, status)
    url = str(server.make_url("")).rstrip("/")
    try:
        async with Client(url, "hr_x") as client:
            with pytest.raises(LocalError) as refused:
                await ask(client, asked)
        assert f"{url} answers {status}, but not as headrace does. Correct HEADRACE_URL." == refused.value.message
    finally:
        await server.close()


async def ask(client: Client, asked: str) -> Any:
    match asked:
        case "jobs":
            return (await client.get("/api/jobs"))["items"]
        case "benchmark":
            return (await client.post("/api/benchmark/llm", {}))["job_id"]
        case "upload":
            return (await client.upload([], {}))["documents"]
    return [event async for event in client.chat("hi")]


async def test_a_host_that_nobody_knows_is_named_without_words_of_a_library() -> None:
    async with Client("https://nobody.invalid", "hr_x") as client:
        with pytest.raises(LocalError, match=r"^https://nobody\.invalid can't be reached \(no such host is known\)\."):
            await client.get("/api/jobs")
