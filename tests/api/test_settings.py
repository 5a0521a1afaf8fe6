"""Settings of the API process: each wrong one is named with what is right."""

import pytest

from api.settings import ApiSettings
from schema.errors import InputError
from tests.secret import SECRET_KEY

RIGHT = {
    "HEADRACE_DATABASE_URL": "postgresql://h/d",
    "HEADRACE_REDIS_URL": "redis://h/0",
    "HEADRACE_SECRET_KEYS": SECRET_KEY,
}


def test_without_more_than_the_stores_the_defaults_hold() -> None:
    settings = ApiSettings.from_env(RIGHT)
    assert ("127.0.0.1", 8000, 45.0, 8_388_608) == (
        settings.host,
        settings.port,
        settings.request_timeout_s,
        settings.max_body,
    )


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        (
            "HEADRACE_DATABASE_URL",
            "",
            "HEADRACE_DATABASE_URL is not set; it must be a URL starting with postgresql://.",
        ),
        (
            "HEADRACE_REDIS_URL",
            "http://x",
            "HEADRACE_REDIS_URL is no URL of a Redis. One looks like redis://127.0.0.1:6379/0, or like "
            "redis+sentinel://host1:26379,host2:26379,host3:26379/mymaster where these sentinels know the master by the name "
            "at the end.",
        ),
        ("HEADRACE_PORT", "http", "HEADRACE_PORT must be a port number from 1 to 65535, not 'http'."),
        ("HEADRACE_PORT", "70000", "HEADRACE_PORT must be a port number from 1 to 65535, not '70000'."),
        (
            "HEADRACE_MAX_BODY",
            "1.5e3.",
            "HEADRACE_MAX_BODY must be a number of bytes from 1024 to 2147483648, not '1.5e3.'.",
        ),
        (
            "HEADRACE_REQUEST_TIMEOUT_S",
            "nan",
            "HEADRACE_REQUEST_TIMEOUT_S must be a number of seconds from 0 to 3600, not 'nan'.",
        ),
        (
            "HEADRACE_FRONT_END_PROMPTS",
            "auto",
            "HEADRACE_FRONT_END_PROMPTS is 'auto'; it must be plain (the chat's model alone), agent (the chat's agent), or a "
            "model, such as ollama/llama3.2:3b.",
        ),
    ],
)
def test_an_invalid_setting_is_named_with_what_it_must_be(name: str, value: str, sentence: str) -> None:
    with pytest.raises(InputError) as raised:
        ApiSettings.from_env({**RIGHT, name: value})
    assert sentence == raised.value.message


def test_a_password_in_a_wrong_url_is_not_repeated() -> None:
    with pytest.raises(InputError) as raised:
        ApiSettings.from_env({**RIGHT, "HEADRACE_DATABASE_URL": "mysql://me:secret@h/d"})
    assert "secret" not in raised.value.message


@pytest.mark.parametrize(
    ("env", "embedders"),
    [
        ({}, ("minilm",)),
        ({"HEADRACE_EMBEDDER": "ollama/bge-m3"}, ("ollama/bge-m3",)),
        ({"HEADRACE_EMBEDDERS": "ollama/bge-m3, minilm,,"}, ("minilm", "ollama/bge-m3")),
        ({"HEADRACE_EMBEDDER": "openai/b", "HEADRACE_EMBEDDERS": "cohere/d"}, ("openai/b", "cohere/d")),
    ],
)
def test_the_embedder_of_the_workers_is_the_usual_one_of_those_that_there_are(
    env: dict[str, str], embedders: tuple[str, ...]
) -> None:
    settings = ApiSettings.from_env({**RIGHT, **env})
    assert (embedders, embedders[0]) == (settings.embedders, settings.embedder)
