"""Which keys are taken for keys: those of all generations that are known, and nothing that was pasted by mistake."""

import pytest

from graphs.providers.key_formats import SERVICES, Service, check_key, find_service
from graphs.providers.native import NATIVE
from graphs.providers.openai.vendors import VENDORS
from graphs.providers.settings import SUPPORTED
from schema.errors import InputError

LETTERS = "aB3dE6gH9kLmN2pQ5sTuV8xYz1cF4"
AZURE = "https://mine.openai.azure.com/openai/v1"
GATEWAY = "https://gateway.example.com/v1"
HEX = "0123456789abcdef"


def body(length: int) -> str:
    """So many letters and digits."""
    return (LETTERS * 30)[:length]


GOOD = [
    ("openai", f"sk-{body(48)}", None),
    ("openai", f"sk-proj-{body(60)}_{body(40)}-{body(54)}", None),
    ("openai", f"sk-svcacct-{body(150)}", None),
    ("anthropic", f"sk-ant-api03-{body(93)}AA", None),
    ("google", f"AIza{body(35)}", None),
    ("google", f"AQ.Ab{body(48)}", None),
    ("azure", HEX * 2, AZURE),
    ("azure", body(84), AZURE),
    ("cohere", body(40), None),
    ("cohere", f"co_{body(48)}", None),
    ("huggingface", f"hf_{body(34)}", None),
    ("huggingface", f"api_org_{body(34)}", None),
    ("openrouter", f"sk-or-v1-{HEX * 4}", None),
    ("groq", f"gsk_{body(52)}", None),
    ("deepseek", f"sk-{HEX * 2}", None),
    ("mistral", body(32), None),
    ("together", HEX * 4, None),
    ("vllm", "", GATEWAY),
    ("llamacpp", "of-a-proxy", GATEWAY),
    ("ollama", "", "http://ollama.example:11434"),
    ("ollama", f"{HEX * 2}.{body(24)}", "https://ollama.com"),
    ("openai", "", GATEWAY),
    ("openai", "EMPTY", GATEWAY),
    ("openai", f"sk-ant-{body(40)}", GATEWAY),
    ("huggingface", f"hf_{body(34)}", "https://x.endpoints.huggingface.cloud/v1"),
    ("azure", "of-a-gateway", GATEWAY),
]

BAD = [
    ("openai", "", None, "needs a key"),
    ("openai", "sk-short", None, "does not look like"),
    ("openai", f"sk-{body(251)}", None, "does not look like"),
    ("openai", f"sk-{body(600)}", None, "longer than 512"),
    ("openai", f" sk-{body(48)}", None, "white space"),
    ("openai", f"sk-{body(48)}\n", None, "white space"),
    ("openai", f"sk-{body(20)}\u00a0{body(20)}", None, "white space"),
    ("openai", f'"sk-{body(48)}"', None, "quotation marks"),
    ("openai", f"“sk-{body(48)}”", None, "quotation marks"),
    ("openai", f"Bearer sk-{body(48)}", None, "whole header"),
    ("openai", f"Authorization: Bearer sk-{body(48)}", None, "whole header"),
    ("openai", f"sk-{body(20)}ñ{body(20)}", None, "characters that no key has"),
    ("openai", f"sk-{body(20)}\x00{body(20)}", None, "characters that no key has"),
    ("openai", f"sk-{body(20)}\ud800{body(20)}", None, "characters that no key has"),
    ("openai", f"ｓk-{body(48)}", None, "characters that no key has"),
    ("openai", f"sk-{body(4)}****************{body(4)}", None, "shortened"),
    ("openai", f"sk-{body(8)}...{body(4)}", None, "shortened"),
    ("openai", f"sk-ant-api03-{body(93)}AA", None, "key of anthropic, not of openai"),
    ("openai", f"sk-or-v1-{HEX * 4}", None, "key of openrouter, not of openai"),
    ("openai", f"AIza{body(35)}", None, "key of google, not of openai"),
    ("openai", f"hr_{body(40)}", None, "key of headrace, not of openai"),
    ("openai", body(51), None, "does not look like"),
    ("anthropic", f"sk-proj-{body(120)}", None, "key of openai, not of anthropic"),
    ("anthropic", f"sk-{body(48)}", None, "key of openai, not of anthropic"),
    ("google", f"AIza{body(34)}", None, "does not look like"),
    ("google", f"AIza{body(36)}", None, "does not look like"),
    ("google", f"hf_{body(34)}", None, "key of huggingface, not of google"),
    ("azure", HEX * 2, None, "needs base_url"),
    ("azure", "", AZURE, "needs a key"),
    ("azure", "", GATEWAY, "needs a key"),
    ("azure", body(83), AZURE, "does not look like"),
    ("azure", f"sk-{body(48)}", AZURE, "key of openai, not of azure"),
    ("cohere", body(39), None, "does not look like"),
    ("cohere", f"gsk_{body(52)}", None, "key of groq, not of cohere"),
    ("huggingface", body(37), None, "does not look like"),
    ("openrouter", f"sk-{body(48)}", None, "key of openai, not of openrouter"),
    ("groq", f"sk-{body(48)}", None, "key of openai, not of groq"),
    ("mistral", "", None, "needs a key"),
    ("mistral", f"gsk_{body(52)}", None, "key of groq, not of mistral"),
    ("deepseek", f"sk-ant-api03-{body(93)}AA", None, "key of anthropic, not of deepseek"),
    ("lmstudio", "", None, "needs base_url"),
    ("ollama", "", None, "needs base_url"),
    ("ollama", "two words", "http://ollama.example:11434", "white space"),
    ("openai", "Bearer x", GATEWAY, "whole header"),
]


@pytest.mark.parametrize(("service", "key", "base_url"), GOOD)
def test_keys_of_every_known_generation_are_taken(service: str, key: str, base_url: str | None) -> None:
    check_key(SERVICES[service], key, base_url)


@pytest.mark.parametrize(("service", "key", "base_url", "reason"), BAD, ids=ascii)
def test_what_was_pasted_by_mistake_is_refused_with_the_reason_and_not_repeated(
    service: str, key: str, base_url: str | None, reason: str
) -> None:
    with pytest.raises(InputError, match=reason) as caught:
        check_key(SERVICES[service], key, base_url)
    assert ("base_url" if "base_url" in reason else "api_key") == caught.value.field
    pieces = {key[start : start + 6] for start in range(len(key) - 5)} - {"Bearer", "Author"}
    own_words = {piece for piece in pieces if piece in "Authorization: Bearer api_key sk-proj- sk-ant-"}
    assert [] == [piece for piece in pieces - own_words if piece in caught.value.message]


def test_a_service_that_is_not_supported_is_told_what_is_and_not_repeated() -> None:
    pasted = f"sk-{body(48)}"
    with pytest.raises(InputError, match="openai, anthropic, google, azure") as caught:
        find_service(pasted)
    assert "service_name" == caught.value.field
    assert pasted not in caught.value.message


def test_every_provider_is_a_service_and_can_be_built() -> None:
    assert set(SERVICES) == {*NATIVE, *VENDORS}
    assert set(SERVICES) <= set(SUPPORTED)


@pytest.mark.parametrize("service", SERVICES.values(), ids=lambda service: service.name)
def test_an_example_tells_nothing_but_how_a_key_begins(service: Service) -> None:
    assert not service.pattern.fullmatch(service.example) or not service.needs_key
