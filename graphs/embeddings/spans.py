"""The span of embedding some texts, wherever that is done: here, by a vendor, or by a worker that is asked over Redis."""

from schema.tracing import attributes as names
from schema.tracing.spans import UNTRACED, Span, is_recording, span


def embedding_span(embedder: str, texts: int) -> Span:
    """Return the span of one call for so many texts; `embedder` is its name, `engine/model` or the engine alone."""
    if not is_recording():
        return UNTRACED
    engine, _, model = embedder.partition("/")
    attributes = {
        names.OPERATION: names.EMBEDDINGS,
        names.PROVIDER: names.provider_name(engine),
        names.REQUEST_MODEL: model or engine,
        names.TEXTS: texts,
    }
    return span(f"{names.EMBEDDINGS} {model or engine}", "client", attributes)
