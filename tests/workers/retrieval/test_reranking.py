"""Cross-encoders: loading by name or folder, ratings, and errors without one.

No trained weights are available in tests, so a tiny model with random weights is created and loaded the same way.
"""

import importlib
import json
import os
from pathlib import Path

import pytest

from graphs.embeddings.minilm import find_weights
from graphs.providers.errors import ModelUnknown, ProviderUnknown
from workers.retrieval.reranking import CrossEncoder

TEXTS = ["The weir is open.", "A lock is closed.", "The weir is open."]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    transformers = importlib.import_module("transformers")
    place, weights = tmp_path_factory.mktemp("tiny"), find_weights()
    tokenizer = transformers.AutoTokenizer.from_pretrained(weights, local_files_only=True)
    small = {
        "hidden_size": 16,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "intermediate_size": 32,
        "initializer_range": 1.0,
    }
    config = transformers.BertConfig(
        vocab_size=json.loads((weights / "config.json").read_text())["vocab_size"], **small
    )
    config.num_labels = 1
    transformers.set_seed(1)
    transformers.BertForSequenceClassification(config).save_pretrained(place)
    tokenizer.save_pretrained(place)
    return place


@pytest.mark.skipif(os.environ.get("HEADRACE_TESTS") != "full", reason="imports torch, which takes many seconds")
async def test_every_passage_is_rated_between_0_and_1(folder: Path) -> None:
    encoder = CrossEncoder(str(folder))
    ratings = await encoder.rate("Is the weir open?", TEXTS)
    assert len(TEXTS) == len(ratings)
    assert all(0 < rating < 1 for rating in ratings)
    assert ratings[0] == pytest.approx(ratings[2], abs=1e-6) != ratings[1]
    assert [] == await encoder.rate("?", [])


@pytest.mark.skipif(os.environ.get("HEADRACE_TESTS") != "full", reason="imports torch, which takes many seconds")
async def test_a_missing_model_is_named_in_the_error(tmp_path: Path) -> None:
    with pytest.raises(ModelUnknown, match="is not on this machine"):
        await CrossEncoder(str(tmp_path / "none")).rate("?", ["x"])


async def test_without_torch_the_error_names_the_missing_package(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> None:
        raise ImportError(name)

    monkeypatch.setattr("workers.retrieval.reranking.importlib.import_module", missing)
    with pytest.raises(ProviderUnknown, match="requires sentence-transformers"):
        await CrossEncoder("x").rate("?", ["x"])
