"""Which price a name gets: that of its own row, that of the model whose dated snapshot it is, or none. Never a guess."""

from decimal import Decimal

import pytest

from schema.events.base import ModelUsage
from schema.model_catalog.catalog import Catalog, Model
from schema.model_catalog.prices import FREE, LONG_PROMPT
from schema.model_catalog.seed import seeds


def model(name: str, usd: str, **known: object) -> Model:
    return Model(name=name, input_usd=Decimal(usd), output_usd=Decimal(usd), **known)


CATALOG = Catalog(
    [
        model("openai/gpt-even", "1", fallbacks=["openai/gpt-odd"]),
        model("openai/gpt-even-2026-01-01", "1"),
        model("openai/gpt-odd", "2"),
        model("openai/gpt-odd-2024-05-13", "5"),
        model("anthropic/claude-one", "3"),
        model("mistral/large", "4"),
        model("openrouter/openai/gpt-even", "6"),
        Model(name="openai/unpriced", tools=True),
        Model(name="ollama/llama3", tools=False),
    ]
)


@pytest.mark.parametrize(
    ("name", "usd"),
    [
        ("openai/gpt-even", 1),
        ("openai/gpt-even-2026-03-04", 1),
        ("anthropic/claude-one-20260304", 3),
        ("openai/gpt-odd-2024-05-13", 5),
        ("openrouter/openai/gpt-even", 6),
        # snapshots of this model have had several prices
        ("openai/gpt-odd-2026-03-04", None),
        # other vendors' dates mean something else
        ("mistral/large-20260304", None),
        ("mistral/large-2026-03-04", None),
        ("openrouter/openai/gpt-even-2026-03-04", None),
        # a deployment's name, a fine-tuned model, a variant, another writing, a bare name
        ("azure/gpt-even", None),
        ("openai/ft:gpt-even:org::1", None),
        ("openrouter/openai/gpt-even:nitro", None),
        ("openai/GPT-even", None),
        ("openai/gpt-even-", None),
        ("openai/gpt-even-20260304", None),
        ("openai/gpt-even-mini", None),
        ("anthropic/claude-one-latest", None),
        ("bedrock/anthropic.claude-one-20260304-v1:0", None),
        ("gpt-even", None),
        ("openai/unpriced", None),
        ("langchain/gpt-even", None),
        # people's own servers, but not what Ollama runs itself
        ("ollama/llama3", 0),
        ("minilm", 0),
        ("sentence-transformers/e5", 0),
        ("vllm/anything", 0),
        ("offline/extractive", 0),
        ("ollama/gpt-oss:120b-cloud", None),
        ("ollama/kimi:cloud", None),
    ],
)
def test_a_name_is_matched_strictly(name: str, usd: int | None) -> None:
    price = CATALOG.price(name)
    assert usd == (None if price is None else price.input_usd)
    tokens = ModelUsage(model=name, input_tokens=10, output_tokens=0)
    assert (None if usd is None else 10_000 * usd) == CATALOG.charge(tokens)


def test_an_unknown_price_costs_nothing_with_the_tenants_own_key() -> None:
    own = ModelUsage(
        model="azure/x", input_tokens=10, output_tokens=2, own_key_input_tokens=10, own_key_output_tokens=2
    )
    assert 0 == CATALOG.charge(own)


def test_a_snapshot_has_what_its_model_has_but_for_its_fallbacks() -> None:
    found = CATALOG.find("openai/gpt-even-2026-03-04")
    assert found is not None
    assert ("openai/gpt-even-2026-03-04", None) == (found.name, found.fallbacks)


def test_the_data_that_comes_with_headrace_is_sound() -> None:
    catalog = Catalog(seeds().values())
    mini = catalog.price("openai/gpt-4o-mini")
    assert mini is not None
    assert ("0.15", "0.6", "0.075") == (str(mini.input_usd), str(mini.output_usd), str(mini.cached_input_usd))
    assert catalog.price("openai/gpt-4o-mini-2024-07-18") == mini
    assert catalog.price("openai/gpt-4o-2030-01-01") is None  # one of its snapshots costs twice as much
    haiku = catalog.price("anthropic/claude-haiku-4-5")
    assert haiku is not None
    assert ("0.1", "1.25") == (str(haiku.cached_input_usd), str(haiku.cache_write_usd))
    sonnet, gemini = catalog.price("anthropic/claude-sonnet-5"), catalog.price("google/gemini-2.5-pro")
    assert sonnet is not None
    assert ("2", "2.5", "4") == (str(sonnet.input_usd), str(sonnet.cache_write_usd), str(sonnet.cache_write_1h_usd))
    assert gemini is not None
    assert gemini.dearer is not None
    assert (200_000, "2.5", "15") == (gemini.above_tokens, str(gemini.dearer.input_usd), str(gemini.dearer.output_usd))
    for known in seeds().values():
        price = known.price
        assert known.dearer_above_tokens is None or known.dearer_above_tokens >= LONG_PROMPT
        assert (known.dearer_above_tokens is None) == (known.dearer_input_usd is None)
        assert (known.input_usd is None) == (known.output_usd is None)
        assert price is None or price != FREE
        assert price is None or price.charge(ModelUsage(model="x", input_tokens=10**6, output_tokens=0)) > 0
        assert known.source is not None
