"""Several servers of Ollama are one: which of them is asked, and what happens when one fails."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator

import pytest
from ollama import AsyncClient

from graphs.providers.errors import ModelUnknown, ProviderOverloaded, ProviderUnreachable
from graphs.providers.ollama.addresses import parse_hosts, parse_keep_alive
from graphs.providers.ollama.pool import full_name
from graphs.providers.ollama.provider import Ollama
from graphs.providers.registry import Providers, open_session
from graphs.providers.settings import ProviderSettings
from tests.counterparts.behaviours import fails, says, text
from tests.counterparts.ollama_server import OllamaServer
from tests.graphs.model_requests import PATIENT, ask, collect, text_of
from tests.waiting import wait_for
from workers.agents.warm_model import default_model_warm

NOBODY = "http://127.0.0.1:9"


@pytest.fixture
async def two() -> AsyncIterator[tuple[OllamaServer, OllamaServer]]:
    async with OllamaServer() as one, OllamaServer() as other:
        yield one, other


def pool_of(session, *servers: OllamaServer | str, keep_alive: str = "") -> Ollama:
    hosts = ",".join(one if isinstance(one, str) else one.url for one in servers)
    return Ollama(session, hosts, timeouts=PATIENT, keep_alive=keep_alive)


async def test_the_server_that_has_the_model_in_memory_is_asked(two):
    one, other = two
    other.loaded.add("text-100:latest")
    async with open_session() as session:
        await collect(pool_of(session, one, other), ask("text-100"))

    assert (0, 1) == (len(one.records), len(other.records))


async def test_a_server_without_the_model_is_asked_last(two):
    one, other = two
    other.pulled.add("absent-text-3")
    async with open_session() as session:
        answer = await collect(pool_of(session, one, other), ask("absent-text-3"))

    assert text(3) == text_of(answer)
    assert (0, 1) == (len(one.records), len(other.records))


async def test_calls_at_the_same_time_are_shared_out(two):
    one, other = two
    async with open_session() as session:
        pool = pool_of(session, one, other)
        await asyncio.gather(*(collect(pool, ask("text-20-at-100")) for _ in range(12)))

    assert {4, 5, 6, 7, 8} >= {len(one.records), len(other.records)}


async def test_a_server_that_cannot_be_reached_costs_no_answer_and_rests(two):
    one, other = two
    async with open_session() as session:
        pool = pool_of(session, NOBODY, one, other)
        answers = [text_of(await collect(pool, ask("text-3"))) for _ in range(4)]
        asked = Counter(record.path for record in one.requests)

    assert [text(3)] * 4 == answers
    assert asked["/api/tags"] == 1


async def test_a_server_that_fails_gives_its_call_to_the_next(two):
    one, other = two
    one.script(fails(500), model="m")
    other.script(says("well"), model="m")
    one.loaded.add("m:latest")
    async with open_session() as session:
        assert "well" == text_of(await collect(pool_of(session, one, other), ask("m")))


async def test_a_model_that_no_server_has_is_pulled_once_and_answers_where_it_was_pulled(two):
    async with open_session() as session:
        pool = pool_of(session, *two)
        answers = [text_of(await collect(pool, ask("absent-text-3"))) for _ in range(2)]

    assert [text(3)] * 2 == answers
    assert 1 == sum(record.path == "/api/pull" for server in two for record in server.requests)


async def test_the_error_of_the_only_server_that_has_the_model_is_told_and_nothing_is_pulled(two):
    one, other = two
    one.pulled.add("absent-m:latest")
    one.script(*[fails(500, "out of memory")] * 2, model="absent-m")
    async with open_session() as session:
        pool = pool_of(session, one, other)
        for _ in range(2):  # the second finds it resting, and asks the other first
            with pytest.raises(ProviderOverloaded, match="out of memory"):
                await collect(pool, ask("absent-m"))

    assert "/api/pull" not in [record.path for server in two for record in server.requests]


async def test_a_model_of_a_server_that_is_gone_is_not_pulled_by_another(two):
    _, other = two
    async with OllamaServer() as owner, open_session() as session:
        owner.pulled.add("absent-text-3:latest")
        pool = pool_of(session, owner, other)
        await pool.list_models()
        await pool.embed(["water"], "text-100")  # which asks each what it has
        await owner.__aexit__(None, None, None)
        with pytest.raises(ProviderUnreachable):
            await collect(pool, ask("absent-text-3"))

    assert "/api/pull" not in [record.path for record in other.requests]


async def test_where_nobody_answers_the_error_says_so():
    async with open_session() as session:
        with pytest.raises(ProviderUnreachable):
            await collect(pool_of(session, NOBODY, "http://127.0.0.1:10"), ask("text-3"))
        with pytest.raises(ProviderUnreachable):
            await pool_of(session, NOBODY, "http://127.0.0.1:10").list_models()


async def test_models_of_all_servers_are_listed_once(two):
    one, other = two
    other.pulled.add("only-here:latest")
    async with open_session() as session:
        names = [model.name for model in await pool_of(session, one, NOBODY, other).list_models()]

    assert len(names) == len(set(names))
    assert "only-here:latest" in names


async def test_embeddings_and_descriptions_come_from_a_server_that_has_the_model(two):
    one, other = two
    other.pulled.add("absent-text-3")
    async with open_session() as session:
        pool = pool_of(session, one, other)
        assert 1 == len(await pool.embed(["water"], "absent-text-3"))
        assert await pool.describe("absent-text-3") is not None
        with pytest.raises(ModelUnknown):
            await pool.embed(["water"], "absent-never")


async def test_the_default_model_is_loaded_on_every_server_before_it_is_asked_for(two):
    hosts = ",".join(server.url for server in two)
    env = {"OLLAMA_HOST": hosts, "OLLAMA_KEEP_ALIVE": "30m", "HEADRACE_DEFAULT_MODEL": "ollama/text-100"}
    async with Providers(ProviderSettings.from_env(env)) as providers, default_model_warm(providers):
        await wait_for(lambda: all(server.loaded for server in two), "the model to be loaded")
        async with AsyncClient(host=two[0].url) as client:
            official = await client.ps()

    assert ["text-100"] == [model.model for model in official.models]
    sent = next(record.body for record in two[0].requests if record.path == "/api/generate")
    assert {"model": "text-100", "keep_alive": "30m"} == sent


async def test_without_the_setting_nothing_is_loaded_unasked(two):
    async with open_session() as session:
        assert await pool_of(session, *two).warm("text-100") is None

    assert not any(server.requests for server in two)


@pytest.mark.parametrize(("setting", "sent"), [("", None), ("30m", "30m"), ("-1", -1), ("0", 0), ("1h30m", "1h30m")])
async def test_a_call_says_how_long_its_model_stays(two, setting: str, sent: str | int | None):
    async with open_session() as session:
        pool = pool_of(session, two[0], keep_alive=setting)
        await collect(pool, ask("text-3"))
        await collect(pool, ask("text-3", extra={"keep_alive": "5s"}))

    assert [sent, "5s"] == [record.body.get("keep_alive") for record in two[0].records]


@pytest.mark.parametrize("text_", ["soon", "30 m", "1d", "--1", "1h;", "", "١m"])
def test_a_time_that_ollama_would_refuse_is_refused_at_the_start(text_: str):
    with pytest.raises(ValueError, match="no time"):
        parse_keep_alive(text_)


def test_a_wrong_time_is_named_with_its_setting():
    with pytest.raises(ValueError, match="OLLAMA_KEEP_ALIVE is 'soon'; it must be a time such as 30m"):
        ProviderSettings.from_env({"OLLAMA_HOST": "a", "OLLAMA_KEEP_ALIVE": "soon"})


@pytest.mark.parametrize(
    ("hosts", "parsed"),
    [
        ("a, b:1 ,https://c", "http://a:11434,http://b:1,https://c:443"),
        ("a,a:11434", "http://a:11434"),
        ("", "http://127.0.0.1:11434"),
        (",,", "http://127.0.0.1:11434"),
    ],
)
def test_several_addresses_have_commas_between(hosts: str, parsed: str):
    assert parsed == parse_hosts(hosts)


@pytest.mark.parametrize(
    ("model", "full"),
    [("m", "m:latest"), ("m:3b", "m:3b"), ("hf.co/a/b", "hf.co/a/b:latest"), ("host:5000/a/b", "host:5000/a/b:latest")],
)
def test_a_name_without_a_tag_means_the_latest(model: str, full: str):
    assert full == full_name(model)
