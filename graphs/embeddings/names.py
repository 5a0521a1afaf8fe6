"""The names of embedders, checked without loading one."""

from graphs.providers.settings import SUPPORTED

LOCAL_ENGINES = ("minilm", "e5", "numpy", "sentence-transformers")


def check_embedder(setting: str, name: str) -> str:
    """Return `name`. Raises ValueError, which names the setting, if it is neither a local engine nor a provider's model."""
    engine, _, model = name.partition("/")
    if engine in LOCAL_ENGINES or (engine in SUPPORTED and model):
        return name
    raise ValueError(
        f"{setting} is {name[:80]!r}; it must be minilm, e5, sentence-transformers/MODEL or a provider's model, such as "
        "ollama/bge-m3."
    )
