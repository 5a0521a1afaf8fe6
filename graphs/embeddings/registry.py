"""Opens an embedder by its name, `engine/model`, and says which engine and model made its vectors.

    minilm                                      all-MiniLM-L6-v2 by onnxruntime: English, fast, without torch
    e5                                          multilingual-e5-small by onnxruntime: a hundred languages in one space
    sentence-transformers/intfloat/e5-small-v2  any model of sentence-transformers (torch), and the reference for minilm
    ollama/bge-m3, openai/text-embedding-3-…    a provider's, through `graphs/providers`

A new local engine is one row of ENGINES. Vectors of different spaces must not share an index, even if they have the same
length, so store `space` with them. The engines of all-MiniLM-L6-v2 share a space. A space's name opens its embedder.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from graphs.embeddings import e5, minilm, reference
from graphs.embeddings.e5 import E5
from graphs.embeddings.hosted import HostedEmbedder, RetryDelay
from graphs.embeddings.minilm import MiniLM
from graphs.embeddings.purposes import Purpose, purpose_prefix
from graphs.embeddings.reference import SentenceTransformers
from graphs.embeddings.spans import embedding_span
from graphs.embeddings.texts import clean
from graphs.providers.contract import Embedder
from graphs.providers.errors import ModelUnknown, ProviderUnknown

if TYPE_CHECKING:  # it needs numpy
    from graphs.embeddings.word_vectors import WordVectors

DEFAULT = "minilm"
ROUNDED = "minilm-int8"
"""The engine of `routing_embedder`."""


@dataclass(frozen=True, slots=True)
class OpenEmbedder:
    """An embedder and the model it uses. `engine` is a local engine or a provider.

    `dimensions` is None if it is unknown before the first vector. `hosted`: another server does the work.
    """

    embedder: Embedder
    engine: str
    model: str
    dimensions: int | None = None
    hosted: bool = False

    @property
    def space(self) -> str:
        """Recorded with every vector: those of one space can be compared, whichever engine made them."""
        name = self.model.removeprefix("sentence-transformers/")
        exact = name == minilm.MODEL and not self.hosted and self.engine != ROUNDED
        return minilm.SPACE if exact else f"{self.engine}/{self.model}"

    async def embed(self, texts: Sequence[str], purpose: Purpose = "query") -> list[list[float]]:
        """Return one vector of length 1 per text, in order. The purpose is `passage` for what queries search, and `query` for
        everything else. Raises what the engine or provider raises."""
        with embedding_span(f"{self.engine}/{self.model}", len(texts)):
            return await self.embed_prepared([self.prepare(text, purpose) for text in texts], purpose)

    def prepare(self, text: str, purpose: Purpose) -> str:
        """Return the text as the model sees it."""
        return purpose_prefix(self.model, purpose) + clean(text)

    @property
    def english_only(self) -> bool:
        """Whether it knows English alone, as all-MiniLM does."""
        return "minilm" in self.model.lower() and "multilingual" not in self.model.lower()

    @property
    def by_purpose(self) -> bool:
        """Whether a call can be for texts of one purpose only."""
        return isinstance(self.embedder, HostedEmbedder) and self.embedder.by_purpose

    async def embed_prepared(self, texts: Sequence[str], purpose: Purpose = "query") -> list[list[float]]:
        """As `embed`, for texts from `prepare`; both purposes may share a call, unless it is `by_purpose`."""
        if isinstance(self.embedder, HostedEmbedder):
            return await self.embedder.embed(texts, self.model, purpose)
        return await self.embedder.embed(texts, self.model)

    async def measure(self) -> int:
        """Return the length of a vector; asks the model if it is unknown."""
        return self.dimensions or len((await self.embed(["how long"]))[0])


def is_local(name: str) -> bool:
    """Whether this name belongs to an engine that runs in our own processes."""
    return name.strip().partition("/")[0] in ENGINES


def open_embedder(
    name: str = DEFAULT,
    get_provider: Callable[[str], object] | None = None,
    *,
    threads: int = 1,
    retry_delay_s: RetryDelay | None = None,
) -> OpenEmbedder:
    """Return the embedder of this name. Opening loads nothing and makes no calls.

    `get_provider` is `Providers.get`; without it only local engines can be opened. `threads` is for one call of
    all-MiniLM-L6-v2 (torch uses all cores). With `retry_delay_s`, a provider is retried after transient errors. Raises
    ProviderUnknown, and ModelUnknown for a name without a model or a provider that can't embed.
    """
    engine, _, model = name.strip().partition("/")
    if (build := ENGINES.get(engine)) is not None:
        return build(model, threads)
    if get_provider is None:
        raise ProviderUnknown(f"There is no engine {engine[:80]!r}. Engines: {', '.join(ENGINES)}.")
    provider = get_provider(engine)
    if not model or not isinstance(provider, Embedder):
        raise ModelUnknown(
            f"{name[:80]!r} can't embed; name an embedding model as provider/model, such as ollama/bge-m3."
        )
    return OpenEmbedder(HostedEmbedder(engine, provider, retry_delay_s), engine, model, hosted=True)


def routing_embedder(embedder: OpenEmbedder) -> OpenEmbedder:
    """Return what the router compares questions by: multilingual-e5-small, which its weights were fitted with; where it is not
    installed, all-MiniLM with rounded weights. Its vectors are never stored."""
    if isinstance(embedder.embedder, E5):
        return embedder
    if e5.is_installed():
        return open_embedder(e5.ENGINE)
    return OpenEmbedder(MiniLM(quantised=True), ROUNDED, minilm.MODEL, minilm.DIMENSIONS)


def routing_glance() -> "WordVectors | None":
    """Return what the router looks at questions with before it compares them; None where its weights are not installed."""
    if not e5.is_installed():
        return None
    from graphs.embeddings.word_vectors import WordVectors

    return WordVectors()


def _minilm(model: str, threads: int) -> OpenEmbedder:
    if model not in ("", minilm.MODEL):
        raise ModelUnknown(f"This engine has only {minilm.MODEL}, not {model[:80]!r}.")
    return OpenEmbedder(MiniLM(threads=threads), minilm.ENGINE, minilm.MODEL, minilm.DIMENSIONS)


def _e5(model: str, threads: int) -> OpenEmbedder:
    if model not in ("", e5.MODEL):
        raise ModelUnknown(f"This engine has only {e5.MODEL}, not {model[:80]!r}.")
    return OpenEmbedder(E5(threads=threads), e5.ENGINE, e5.MODEL, e5.DIMENSIONS)


def _reference(model: str, threads: int) -> OpenEmbedder:
    model = model or minilm.MODEL
    known = model.removeprefix("sentence-transformers/") == minilm.MODEL
    return OpenEmbedder(SentenceTransformers(model), reference.ENGINE, model, minilm.DIMENSIONS if known else None)


ENGINES: dict[str, Callable[[str, int], OpenEmbedder]] = {
    "minilm": _minilm,
    minilm.SPACE.partition("/")[0]: _minilm,  # so that a space's name opens its embedder
    e5.ENGINE: _e5,
    "sentence-transformers": _reference,
}
