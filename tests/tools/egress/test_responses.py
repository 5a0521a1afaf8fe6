"""What the egress guard takes as an answer: bombs, drips and nonsense end early, with a sentence that tells no secret."""

import asyncio
import gzip
import tracemalloc
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace

import httpx2
import pytest

from schema.errors import EgressFailed, EgressTooLarge
from tests.tools.egress_servers import ResponseServer
from tools.egress import EgressPolicy, fetch_json, open_client

HOME = "127.0.0.1"


@pytest.fixture
async def answers() -> AsyncIterator[ResponseServer]:
    async with ResponseServer() as server:
        yield server


@pytest.fixture
async def client(answers: ResponseServer) -> AsyncIterator[httpx2.AsyncClient]:
    """It takes 10,000 bytes and waits 5 s."""
    async with open_client(policy(answers), max_bytes=10_000) as client:
        yield client


def policy(server: ResponseServer) -> EgressPolicy:
    return EgressPolicy(allowed_hosts=frozenset({f"{HOME}:{server.port}"}), timeout_s=5)


@pytest.mark.parametrize("path", ["bytes/10000", "chunks/10000", "bomb/10000"])
async def test_an_answer_may_be_as_large_as_was_said(
    client: httpx2.AsyncClient, answers: ResponseServer, path: str
) -> None:
    assert 10_000 == len((await client.get(f"{answers.url}/{path}")).content)


@pytest.mark.parametrize("path", ["bytes/10001", "chunks/11000", "bomb/10001", "bomb/50000000", "endless"])
async def test_a_larger_answer_is_cut_off(client: httpx2.AsyncClient, answers: ResponseServer, path: str) -> None:
    with pytest.raises(EgressTooLarge, match=r"127\.0\.0\.1 is larger than 10,000 bytes"):
        await client.get(f"{answers.url}/{path}")
    await answers.until(lambda: not answers.connections or bool(answers.requests[-1].finished_ns))


async def test_a_bomb_takes_no_memory(answers: ResponseServer) -> None:
    """100 MB in 97 KB; unpacked chunk by chunk it would be 64 MB at once."""
    async with open_client(policy(answers), max_bytes=500_000) as client:
        bomb = gzip.compress(b"\0" * 100_000_000)
        answers.whole = lambda exchange, body, *lines: ResponseServer.whole(answers, exchange, bomb, *lines)
        tracemalloc.start()
        try:
            with pytest.raises(EgressTooLarge):
                await client.get(f"{answers.url}/bomb/1")
            assert tracemalloc.get_traced_memory()[1] < 5_000_000
        finally:
            tracemalloc.stop()


async def test_a_stream_is_counted_while_it_is_read(client: httpx2.AsyncClient, answers: ResponseServer) -> None:
    read: list[bytes] = []
    async with client.stream("GET", f"{answers.url}/endless") as answer:
        with pytest.raises(EgressTooLarge):
            await drain(answer, read)
    assert 0 < len(b"".join(read)) <= 10_000


@pytest.mark.parametrize("path", ["drip", "drips", "silence"])
async def test_an_answer_that_drips_is_cut_at_the_deadline(answers: ResponseServer, path: str) -> None:
    async with open_client(policy(answers), timeout_s=0.3) as client:
        with pytest.raises(EgressFailed, match=r"127\.0\.0\.1 did not respond in time"):
            await client.get(f"{answers.url}/{path}")
    await answers.until(lambda: not answers.connections)


async def test_a_dns_that_never_answers_is_given_up() -> None:
    async def silent(host: str, port: int) -> Sequence[str]:
        return await asyncio.get_running_loop().create_future()

    async with open_client(EgressPolicy(connect_timeout_s=0.1), resolver=silent) as client:
        with pytest.raises(EgressFailed, match=r"slow\.example did not respond in time"):
            await client.get("https://slow.example/")


@pytest.mark.parametrize("found", [[], OSError("no such host"), UnicodeError("label too long")])
async def test_a_name_without_an_address_says_so(found: list[str] | Exception) -> None:
    async def resolver(host: str, port: int) -> Sequence[str]:
        if isinstance(found, Exception):
            raise found
        return found

    async with open_client(EgressPolicy(), resolver=resolver) as client:
        with pytest.raises(EgressFailed, match=r"none\.example can't be resolved"):
            await client.get("https://none.example/?token=canary")


@pytest.mark.parametrize(
    ("path", "sentence"),
    [
        ("status/404", "127.0.0.1 responded with status 404."),
        ("status/302", "127.0.0.1 responded with status 302."),
        ("text", "The response from 127.0.0.1 is not JSON."),
        ("deep", "The response from 127.0.0.1 is not JSON."),
        ("cut", "The response from 127.0.0.1 is incomplete."),
        ("notgzip", "The response from 127.0.0.1 is not valid gzip."),
        ("packed/br", "127.0.0.1 sent an unsupported content encoding; only gzip is accepted."),
        ("packed/gzip+gzip", "127.0.0.1 sent an unsupported content encoding; only gzip is accepted."),
        ("nonsense", "127.0.0.1 closed the connection or did not speak HTTP."),
    ],
)
async def test_an_answer_that_is_no_use_says_why(answers: ResponseServer, path: str, sentence: str) -> None:
    async with open_client(policy(answers)) as client:
        with pytest.raises(EgressFailed) as failed:
            await fetch_json(client, f"{answers.url}/{path}?token=canary")
    assert sentence == failed.value.message


async def test_nobody_listening_is_a_failure(answers: ResponseServer) -> None:
    async with open_client(policy(answers)) as client:
        await answers.stop()
        with pytest.raises(EgressFailed, match=r"^127\.0\.0\.1 can't be reached: "):
            await client.get(f"{answers.url}/json?token=canary")


async def test_a_header_that_cant_be_sent_is_not_repeated(client: httpx2.AsyncClient, answers: ResponseServer) -> None:
    with pytest.raises(EgressFailed) as failed:
        await client.get(f"{answers.url}/json", headers={"authorization": "Bearer canary\r\nx: y"})
    assert "canary" not in failed.value.message
    assert failed.value.__suppress_context__
    assert [] == answers.requests


async def test_cookies_and_proxies_of_the_environment_play_no_part(
    answers: ResponseServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:1")
    async with open_client(policy(answers)) as client:
        await client.get(f"{answers.url}/json")
        sent = await fetch_json(client, f"{answers.url}/echo")
    assert "cookie" not in sent
    assert ("gzip", f"{HOME}:{answers.port}") == (sent["accept-encoding"], sent["host"])


async def test_a_caller_cannot_name_another_target(client: httpx2.AsyncClient, answers: ResponseServer) -> None:
    await client.get(f"{answers.url}/json", extensions={"target": b"/echo", "sni_hostname": "other"})
    assert "/json" == answers.requests[-1].path


async def test_connections_are_kept_between_requests(client: httpx2.AsyncClient, answers: ResponseServer) -> None:
    for _ in range(3):
        await client.get(f"{answers.url}/json")
    assert 1 == len(answers.connections)


async def test_a_head_request_may_tell_of_any_length(answers: ResponseServer) -> None:
    async with open_client(replace(policy(answers), max_bytes=10)) as client:
        assert 200 == (await client.head(f"{answers.url}/length/5000")).status_code


async def drain(answer: httpx2.Response, into: list[bytes]) -> None:
    async for part in answer.aiter_bytes():
        into.append(part)
