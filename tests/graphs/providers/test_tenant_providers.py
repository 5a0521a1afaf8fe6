"""Whose key is used for whom, when it is opened, and where a base URL of a tenant may lead."""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any
from uuid import UUID, uuid4

import aiohttp
import pytest

from graphs.providers import tenant_providers as tenant_providers_module
from graphs.providers.errors import (
    ProviderAddressRefused,
    ProviderError,
    ProviderIsHeadrace,
    ProviderRejectedKey,
    ProviderUnknown,
    ProviderUnreachable,
)
from graphs.providers.http.egress_session import GuardedResolver, parse_base_url
from graphs.providers.openai.provider import OpenAICompatible
from graphs.providers.openai.vendors import VENDORS
from graphs.providers.registry import Providers
from graphs.providers.settings import ProviderSettings
from graphs.providers.tenant_providers import TenantCredential, TenantProviderPool
from schema.errors import EgressRefused, SecretUnreadable
from schema.vault import Sealed
from tests.counterparts.echo_server import EchoServer
from tests.counterparts.http_server import CounterpartServer, Exchange
from tests.counterparts.openai.server import OpenAIServer
from tests.graphs.model_requests import ask, collect, text_of
from tests.secret import VAULT
from tests.tools.egress_servers import ConnectionTrap, resolve_test_names
from tests.tools.hostile.urls import HOSTILE
from tools.egress import EgressPolicy
from tools.egress.network import resolve

A, B = uuid4(), uuid4()
KEY_A, KEY_B = "sk-canaryA-" + "a1b2c3d4" * 5, "sk-canaryB-" + "e5f6g7h8" * 5
HOSTS = ("127.0.0.1",)
LOOPBACK = EgressPolicy.from_env({"HEADRACE_EGRESS_ALLOW": "127.0.0.1"})


def make_credential(
    tenant_id: UUID, key: str, base_url: str | None = None, service: str = "openai"
) -> TenantCredential:
    """A credential as a row holds it."""
    row_id = uuid4()
    sealed = VAULT.seal(key, tenant_id=tenant_id, owner_id=row_id)
    return TenantCredential(tenant_id, row_id, service, base_url, sealed, HOSTS)


@asynccontextmanager
async def open_pool(
    env: dict[str, str] | None = None,
    policy: EgressPolicy = LOOPBACK,
    resolver: Callable[[str, int], Awaitable[Sequence[str]]] = resolve,
) -> AsyncIterator[TenantProviderPool]:
    async with (
        Providers(ProviderSettings.from_env(env or {})) as base,
        TenantProviderPool(base, VAULT, policy, resolver=resolver) as own,
    ):
        yield own


class ModelListServer(CounterpartServer):
    """Answers everything with one body."""

    def __init__(self, body: Any, status: int = 200) -> None:
        super().__init__()
        self._body, self._status = body, status

    async def handle(self, exchange: Exchange) -> None:
        exchange.answer(self._status, self._body)


def keys_seen(server: OpenAIServer | EchoServer) -> list[str]:
    return [record.headers.get("authorization", "") for record in server.requests]


async def test_each_tenants_key_is_used_for_that_tenant_only() -> None:
    async with (
        OpenAIServer() as server,
        open_pool({"OPENAI_BASE_URL": server.base_url, "OPENAI_API_KEY": "ours"}) as own,
    ):
        mine, theirs = make_credential(A, KEY_A, server.base_url), make_credential(B, KEY_B, server.base_url)
        for providers in (own.providers(A, None, [mine]), own.providers(B, None, [theirs]), own.providers(A, None, [])):
            await collect(providers.get("openai"), ask("text-3"))
        assert [f"Bearer {KEY_A}", f"Bearer {KEY_B}", "Bearer ours"] == keys_seen(server)


async def test_a_credential_of_another_tenant_is_not_taken() -> None:
    async with open_pool() as own:
        with pytest.raises(ValueError, match="another tenant"):
            own.providers(B, None, [make_credential(A, KEY_A)])


async def test_a_row_that_was_copied_to_another_tenant_stays_shut_even_when_its_original_is_in_use() -> None:
    async with open_pool() as own:
        original = make_credential(A, KEY_A)
        own.provider(original)
        copied = TenantCredential(B, original.id, original.service, None, original.sealed)
        with pytest.raises(SecretUnreadable) as caught:
            own.provider(copied)
        with pytest.raises(SecretUnreadable):
            own.providers(B, None, [copied]).get("openai")
        assert "canary" not in str(caught.value)


async def test_a_provider_is_built_once_and_a_changed_key_is_another() -> None:
    async with open_pool() as own:
        first, changed = make_credential(A, KEY_A), make_credential(A, KEY_B)
        assert own.provider(first) is own.provider(first)
        assert own.provider(changed) is not own.provider(first)


async def test_the_provider_that_was_used_longest_ago_makes_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tenant_providers_module, "MAX_CACHED", 2)
    async with open_pool() as own:
        one, two, three = (make_credential(A, KEY_A) for _ in range(3))
        built = own.provider(one), own.provider(two)
        assert built[0] is own.provider(one)
        own.provider(three)
        assert built[0] is own.provider(one)
        assert built[1] is not own.provider(two)


async def test_without_anything_of_its_own_a_tenant_has_the_deployments_providers() -> None:
    async with Providers(ProviderSettings()) as base, TenantProviderPool(base, VAULT, LOOPBACK) as own:
        assert base is own.providers(A, None, [])
        assert base is own.providers(A, "", [])
        assert base is not own.providers(A, "offline/extractive", [])


async def test_a_set_of_providers_is_kept_until_a_key_or_the_default_changes() -> None:
    async with open_pool() as own:
        openai, google = make_credential(A, KEY_A), make_credential(A, "AIza", service="google")
        first = own.providers(A, None, [openai, google])
        assert first is own.providers(A, None, [google, openai])
        assert first is not own.providers(A, "openai/gpt-x", [openai, google])
        assert first is not own.providers(A, None, [openai, make_credential(A, "AIza", service="google")])


async def test_the_tenants_own_services_come_first_and_replace_the_deployments() -> None:
    env = {"OLLAMA_HOST": "localhost", "OPENAI_API_KEY": "ours", "GROQ_API_KEY": "ours"}
    async with open_pool(env) as own:
        mine = [make_credential(A, "AIza", service="google"), make_credential(A, KEY_A)]
        providers = own.providers(A, None, mine)
        assert ("openai", "google", "ollama", "groq") == providers.settings.names
        assert "openai/gpt-x" == str(await providers.resolve("gpt-x"))
        assert "ours" not in {access.key for access in providers.settings.configured if access.name == "openai"}


async def test_the_tenants_default_model_wins_over_the_deployments() -> None:
    env = {"OLLAMA_HOST": "localhost", "OPENAI_API_KEY": "ours", "HEADRACE_DEFAULT_MODEL": "ollama/llama3.2:3b"}
    async with open_pool(env) as own:
        assert "ollama/llama3.2:3b" == str(await own.providers(A, None, [make_credential(A, KEY_A)]).resolve(None))
        assert "openai/gpt-x" == str(await own.providers(A, "openai/gpt-x", []).resolve(None))


async def test_the_deployments_models_are_asked_for_once_for_all_tenants_and_their_own_with_their_key() -> None:
    async with OpenAIServer() as ours, OpenAIServer(key=KEY_A) as theirs:
        async with open_pool({"GROQ_BASE_URL": ours.base_url}) as own:
            mine = own.providers(A, None, [make_credential(A, KEY_A, theirs.base_url)])
            listed = await mine.list_models()
            await own.providers(B, "groq/text-3", []).list_models()
        assert {"openai", "groq"} == {model.provider for model in listed}
        assert (1, 1) == (len(ours.requests), len(theirs.requests))


async def test_a_key_that_can_not_be_opened_hides_no_other_models() -> None:
    async with OpenAIServer() as ours, open_pool({"GROQ_BASE_URL": ours.base_url}) as own:
        broken = TenantCredential(A, uuid4(), "openai", None, Sealed("gone", b"x"))
        providers = own.providers(A, None, [broken])
        assert {"groq"} == {model.provider for model in await providers.list_models()}
        with pytest.raises(SecretUnreadable):
            await providers.resolve(None)


async def test_no_key_shows_in_what_is_printed_of_it() -> None:
    async with open_pool() as own:
        credential = make_credential(A, KEY_A)
        shown = [repr(x) for x in (credential, own.provider(credential), own.providers(A, None, [credential]).settings)]
        assert [] == [text for text in shown if "canary" in text]


async def test_an_ollama_without_an_address_is_not_the_one_of_this_machine() -> None:
    async with open_pool() as own:
        with pytest.raises(ProviderUnknown):
            own.provider(make_credential(A, "", service="ollama"))


async def test_a_base_url_that_is_headrace_itself_is_refused() -> None:
    async with open_pool({"HEADRACE_URL": "http://127.0.0.1:8000"}) as own:
        with pytest.raises(ProviderIsHeadrace):
            own.provider(make_credential(A, KEY_A, "http://127.0.0.1:8000/v1"))


@pytest.mark.parametrize("url", HOSTILE, ids=ascii)
async def test_a_hostile_base_url_is_refused_when_it_is_given_and_when_it_is_called(url: str) -> None:
    async with (
        ConnectionTrap().listening() as trap,
        open_pool(policy=EgressPolicy(), resolver=resolve_test_names) as own,
    ):
        where = url.replace("{port}", str(trap.port))
        with pytest.raises(EgressRefused) as caught:
            await own.read_base_url("openai", where, HOSTS)
        assert "base_url" == caught.value.field
        assert "canary" not in caught.value.message
        with pytest.raises(ProviderError):
            await own.check(make_credential(A, KEY_A, where))
        assert 0 == trap.connections


@pytest.mark.parametrize(
    "url",
    [
        "https://public.example/v1?key=x",
        "https://public.example/v1#part",
        "https://public.example/" + "a" * 500,
        "https://nobody-knows.example/v1",
        "http://public.example/v1",
        "https://public.example:22/v1",
        "https://1.1.1.1:22/v1",
        "public.example/v1",
        "https://public.example/,http://127.0.0.1:11434",
        "https://public.example/%2Chttp://127.0.0.1:11434",
        "",
        "   ",
    ],
)
async def test_a_base_url_that_is_none_is_refused(url: str) -> None:
    async with open_pool(policy=EgressPolicy(), resolver=resolve_test_names) as own:
        with pytest.raises(EgressRefused) as caught:
            await own.read_base_url("openai", url, HOSTS)
    assert "base_url" == caught.value.field


@pytest.mark.parametrize(
    ("service", "given", "kept"),
    [
        ("openai", "https://public.example/v1/", "https://public.example/v1"),
        ("openai", "https://PUBLIC.example:443", "https://public.example"),
        ("openai", "https://api.openai.com/v1/", None),
        ("azure", "https://public.example", "https://public.example/openai/v1"),
        ("azure", "https://public.example/openai/v1/", "https://public.example/openai/v1"),
        ("ollama", "https://public.example:8443/", "https://public.example:8443"),
        ("openai", "https://[2606:4700:4700::1111]/v1", "https://[2606:4700:4700::1111]/v1"),
    ],
)
async def test_a_base_url_is_kept_in_one_spelling(service: str, given: str, kept: str | None) -> None:
    async with open_pool(policy=EgressPolicy(), resolver=resolve_test_names) as own:
        assert kept == await own.read_base_url(service, given, HOSTS)


async def test_a_name_that_leads_elsewhere_by_the_time_it_is_called_is_refused() -> None:
    answers = [["1.1.1.1"], ["127.0.0.1"]]

    async def rebinding(host: str, port: int) -> Sequence[str]:
        return answers.pop(0)

    async with ConnectionTrap().listening() as trap, open_pool(policy=EgressPolicy(), resolver=rebinding) as own:
        kept = await own.read_base_url("openai", "https://public.example:8443/v1", HOSTS)
        with pytest.raises(ProviderAddressRefused, match=r"public\.example may not be called"):
            await own.check(make_credential(A, KEY_A, kept))
        assert 0 == trap.connections


async def test_a_name_is_looked_up_once_for_a_connection_and_all_its_addresses_must_be_right() -> None:
    asked: list[str] = []

    async def counting(host: str, port: int) -> Sequence[str]:
        asked.append(host)
        return ["127.0.0.1"]

    async with OpenAIServer() as server, open_pool(resolver=counting) as own:
        where = f"http://models.example:{server.port}/v1"
        provider = own.provider(make_credential(A, KEY_A, where))
        assert "water flows down" == text_of(await collect(provider, ask("text-3")))
        await provider.list_models()
        assert ["models.example"] == asked
        assert f"models.example:{server.port}" == server.requests[0].headers["host"]
    with pytest.raises(EgressRefused):
        await GuardedResolver(EgressPolicy(), "https", resolve_test_names).resolve("dual.example", 443)


async def test_a_policy_that_was_tightened_holds_for_keys_stored_before() -> None:
    async with OpenAIServer() as server, open_pool(policy=EgressPolicy()) as own:
        with pytest.raises(ProviderAddressRefused):
            own.provider(make_credential(A, KEY_A, server.base_url))
        assert [] == server.requests


async def test_an_address_of_the_deployment_is_not_restricted() -> None:
    async with OpenAIServer() as server, open_pool({"OPENAI_BASE_URL": server.base_url}, EgressPolicy()) as own:
        await own.providers(A, "openai/text-3", []).get("openai").check_key()
        assert 1 == len(server.requests)


async def test_an_unknown_name_is_unreachable() -> None:
    async with open_pool(policy=EgressPolicy(), resolver=resolve_test_names) as own:
        with pytest.raises(ProviderUnreachable):
            await own.check(make_credential(A, KEY_A, "https://nobody-knows.example/v1"))


async def test_proxies_of_the_environment_are_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    async with ConnectionTrap().listening() as trap, OpenAIServer() as server:
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{trap.port}")
        async with open_pool() as own:
            await own.check(make_credential(A, KEY_A, server.base_url))
        assert (0, 1) == (trap.connections, len(server.requests))


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308, 400, 401, 403, 404, 409, 422, 429, 500, 503])
async def test_a_vendor_that_echoes_the_key_tells_it_to_nobody(status: int) -> None:
    async with EchoServer(status) as server, OpenAIServer() as elsewhere, open_pool() as own:
        server.redirect_to = elsewhere.url
        credential = make_credential(A, KEY_A, f"{server.url}/v1")
        provider = own.provider(credential)
        for call in (own.check(credential), provider.list_models(), collect(provider, ask("m"))):
            with pytest.raises(ProviderError) as caught:
                await call
            told = f"{caught.value!r} {caught.value.__cause__!r}"
            assert [] == [part for part in (KEY_A[:8], KEY_A[3:15], KEY_A[-8:]) if part in told]
        assert [] == elsewhere.requests
        assert f"Bearer {KEY_A}" == keys_seen(server)[0]


async def test_the_guarded_session_can_not_be_used_after_its_life() -> None:
    async with open_pool() as own:
        pass
    with pytest.raises(RuntimeError):
        own.provider(make_credential(A, KEY_A, "http://127.0.0.1:1/v1"))


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("https://public.example/a%20b/v1", "https://public.example/a%20b/v1"),
        ("https://bücher.example/v1", "https://xn--bcher-kva.example/v1"),
        ("https://public.example/x/../v1/", "https://public.example/v1"),
    ],
)
def test_a_base_url_is_put_together_from_what_was_checked(given: str, kept: str) -> None:
    assert kept == parse_base_url(given, EgressPolicy())


async def test_a_model_list_is_read_in_every_shape_that_vendors_give_it() -> None:
    shapes = [
        ("groq", {"models": [{"name": "command-x", "endpoints": ["chat"]}]}, ["command-x"]),
    ]
    for name, body, expected in shapes:
        async with ModelListServer(body) as server, aiohttp.ClientSession() as session:
            provider = OpenAICompatible(session, replace(VENDORS[name], base_url=server.url), key="k")
            assert expected == [model.name for model in await provider.list_models()]


async def test_googles_word_for_a_wrong_key_is_understood() -> None:
    said = [{"error": {"code": 400, "message": "API key not valid.", "details": [{"reason": "API_KEY_INVALID"}]}}]
    async with ModelListServer(said, status=400) as server, aiohttp.ClientSession() as session:
        provider = OpenAICompatible(session, VENDORS["openai"].at(server.url), key="k")
        with pytest.raises(ProviderRejectedKey):
            await provider.check_key()


async def test_hugging_faces_tokens_are_checked_where_they_are_made() -> None:
    async with ModelListServer({"name": "me"}) as server, aiohttp.ClientSession() as session:
        assert VENDORS["huggingface"].key_check.startswith("https://huggingface.co/")
        vendor = replace(VENDORS["huggingface"], base_url="http://127.0.0.1:9", key_check=f"{server.url}/whoami")
        await OpenAICompatible(session, vendor, key="k").check_key()
        assert ("/whoami", "Bearer k") == (server.requests[0].path, server.requests[0].headers["authorization"])


def test_another_address_knows_nothing_of_a_vendors_own_ways() -> None:
    for name in ("openrouter", "huggingface"):
        vendor = VENDORS[name].at("http://127.0.0.1:1/v1")
        assert ("models", "models") == (vendor.models, vendor.key_check)
