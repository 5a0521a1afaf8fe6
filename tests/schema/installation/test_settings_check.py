"""All wrong and unknown settings are found at once, and what isn't ours is left alone."""

import pytest

from api.settings import ApiSettings
from graphs.embeddings.names import LOCAL_ENGINES
from graphs.embeddings.registry import ENGINES
from graphs.providers.contract import ProviderTimeouts
from schema.installation.settings_check import SettingsInvalid, _known_settings, require_valid, unknown_settings
from tests.secret import SECRET_KEY
from workers.settings import settings_from

RIGHT = {
    "HEADRACE_DATABASE_URL": "postgresql://h/d",
    "HEADRACE_REDIS_URL": "redis://h/0",
    "HEADRACE_SECRET_KEYS": SECRET_KEY,
}
WRONG = {
    "HEADRACE_LOGS": "xml",
    "HEADRACE_EMBEDDER": "nothing",
    "HEADRACE_WINDOW": "1.5",
    "HEADRACE_STORAGE": "ftp://x",
    "HEADRACE_EGRESS_ALLOW": "??",
    "HEADRACE_DEFAULT_MODEL": "nobody/x",
    "HEADRACE_MODEL_PULL_S": "-1",
    "OLLAMA_HOST": "::",
    "OPENAI_BASE_URL": "openai",
}
FOR_THE_API = {
    "HEADRACE_EMBEDDERS": "minilm,bge-m3",
    "HEADRACE_PORT": "http",
    "HEADRACE_ISSUER": "headrace.example.com",
    "HEADRACE_URL": "localhost:8000",
    "HEADRACE_TRUSTED_PROXIES": "10.0.0.0/8, proxy",
    "HEADRACE_MAX_FILE": "1",
    "HEADRACE_TOKEN_S": "nan",
}
FOR_WORKERS = {
    "HEADRACE_CHAT_CONCURRENCY": "inf",
    "HEADRACE_INGESTION_CONCURRENCY": "0",
    "HEADRACE_LEASE_S": "soon",
    "HEADRACE_PYTHON_MODE": "plain",
    "HEADRACE_TASK_EVENTS": "maybe",
    "HEADRACE_FLOWER_PORT": "70000",
}


@pytest.mark.parametrize(
    ("reader", "wrong"),
    [(ApiSettings.from_env, WRONG | FOR_THE_API), (settings_from, WRONG | FOR_WORKERS)],
    ids=["api", "workers"],
)
def test_every_wrong_setting_is_named_in_one_error(reader, wrong: dict[str, str]) -> None:
    with pytest.raises(SettingsInvalid) as raised:
        require_valid(RIGHT | wrong, reader)
    assert sorted(wrong) == sorted(name for name in wrong if any(name in line for line in raised.value.problems))
    assert len(wrong) == len(raised.value.problems)


@pytest.mark.parametrize("name", RIGHT)
def test_a_missing_setting_does_not_hide_a_wrong_one(name: str) -> None:
    left = {other: value for other, value in RIGHT.items() if other != name}
    with pytest.raises(SettingsInvalid) as raised:
        require_valid(left | {"HEADRACE_LOGS": "xml"}, settings_from)
    assert 2 == len(raised.value.problems)
    assert any(name in line for line in raised.value.problems)


def test_an_unknown_setting_is_named_with_the_nearest_known_one() -> None:
    assert ["There is no setting HEADRACE_PROT. Did you mean HEADRACE_PORT?"] == unknown_settings(
        {"HEADRACE_PROT": "1"}
    )
    assert ["There is no setting HEADRACE_XYZZY. .env.example lists all."] == unknown_settings(
        {"HEADRACE_XYZZY": "secret"}
    )


def test_what_kubernetes_sets_for_a_service_named_headrace_is_not_a_setting() -> None:
    of_services = {
        "HEADRACE_SERVICE_HOST": "10.0.0.1",
        "HEADRACE_SERVICE_PORT": "8000",
        "HEADRACE_API_SERVICE_PORT_HTTP": "8000",
        "HEADRACE_API_PORT": "tcp://10.0.0.1:8000",
        "HEADRACE_API_PORT_8000_TCP_ADDR": "10.0.0.1",
        "HEADRACE_PORT_8000_TCP": "tcp://10.0.0.1:8000",
    }
    assert [] == unknown_settings(of_services | {"PATH": "/bin", "HEAD": "x"})


def test_right_settings_pass() -> None:
    require_valid(
        RIGHT | {"HEADRACE_LOGS": "JSON", "HEADRACE_EMBEDDER": "ollama/bge-m3"}, ApiSettings.from_env, settings_from
    )


def test_the_names_of_local_embedders_and_of_time_outs_are_complete() -> None:
    assert set(ENGINES) == set(LOCAL_ENGINES)
    assert {f"HEADRACE_MODEL_{name.upper()}" for name in ProviderTimeouts.__annotations__} <= _known_settings()
