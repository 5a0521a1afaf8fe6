"""Opens an embedder by its name, `engine/model`, and says which engine and model made its vectors.

    minilm                                      all-MiniLM-L6-v2 in numpy, the default
    sentence-transformers/intfloat/e5-small-v2  any model of sentence-transformers (torch)
    ollama/bge-m3, openai/text-embedding-3-…    a provider's, through `graphs/providers`

A new local engine is one row of ENGINES. Vectors of two names must not share an index, though they may have one length:
store `engine` and `model` beside them.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from graphs.embeddings import minilm, reference
from graphs.embeddings.minilm import MiniLM
from graphs.embeddings.reference import SentenceTransformers
from graphs.embeddings.texts import clean
from graphs.providers.contract import Embedder
from graphs.providers.errors import ModelUnknown, ProviderUnknown

DEFAULT = "minilm"


@dataclass(frozen=True, slots=True)
class OpenEmbedder:
    """An embedder, with the model it is to use. `engine` and `model` are what is recorded with every vector."""

    embedder: Embedder
    engine: str
    model: str

    async def embed(self, texts: Sequence[str]) -> list[list[float]]:
        """One vector per text, in order. Raises what its engine or provider raises."""
        return await self.embedder.embed([clean(text) for text in texts], self.model)


def open_embedder(name: str = DEFAULT, get_provider: Callable[[str], object] | None = None) -> OpenEmbedder:
    """The embedder of this name; opening loads nothing and asks nobody.

    `get_provider` is `Providers.get`; without it there are the local engines only. Raises ProviderUnknown, and
    ModelUnknown for a name without a model or of a provider that doesn't embed.
    """
    engine, _, model = name.strip().partition("/")
    if (build := ENGINES.get(engine)) is not None:
        return build(model)
    if get_provider is None:
        raise ProviderUnknown(f"There is no engine {engine[:80]!r}; there are {', '.join(ENGINES)}.")
    provider = get_provider(engine)
    if not model or not isinstance(provider, Embedder):
        raise ModelUnknown(f"{name[:80]!r} can't embed; right is provider/model, such as ollama/bge-m3.")
    return OpenEmbedder(provider, engine, model)


def _open_minilm(model: str) -> OpenEmbedder:
    if model not in ("", minilm.MODEL):
        raise ModelUnknown(f"The engine minilm has only {minilm.MODEL}, not {model[:80]!r}.")
    return OpenEmbedder(MiniLM(), minilm.ENGINE, minilm.MODEL)


def _open_reference(model: str) -> OpenEmbedder:
    model = model or minilm.MODEL
    return OpenEmbedder(SentenceTransformers(model), reference.ENGINE, model)


ENGINES: dict[str, Callable[[str], OpenEmbedder]] = {
    "minilm": _open_minilm,
    "numpy": _open_minilm,  # as recorded with a vector: `numpy/all-MiniLM-L6-v2` opens it again
    "sentence-transformers": _open_reference,
}
