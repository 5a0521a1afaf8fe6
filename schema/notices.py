"""Notices about an answer besides its text: currently, that no language model is connected.

Shown by the commands, `/health` and `GET /v1/models`, and in the field `notice` of each answer; never in an answer's text.
"""

from schema.event_base import Notice

OFFLINE_MODEL = "offline/extractive"
"""The embedded model that answers when no provider of language models is configured
(`graphs/providers/offline/provider.py`)."""

NO_LANGUAGE_MODEL = Notice(
    code="no_language_model",
    message=(
        "No language model is connected, so answers only quote documents and tool results. To connect one, set "
        "OLLAMA_HOST or OPENAI_API_KEY and restart headrace; HEADRACE_DEFAULT_MODEL chooses the model."
    ),
)


def notice_for_model(model: str | None) -> Notice | None:
    """Return the notice for answers of this model (`provider/name`); None for a language model."""
    return NO_LANGUAGE_MODEL if model == OFFLINE_MODEL else None
