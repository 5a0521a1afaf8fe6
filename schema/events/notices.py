"""Notices about an answer besides its text: that no language model is connected, or that a named model turned agents off.

The first is shown by the commands, `/health` and `GET /v1/models`, and in the field `notice` of each answer; never in an
answer's text.
"""

from schema.events.base import Notice

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


AGENTS_OFF = Notice(
    code="agents_off",
    message=(
        "The request named a model, so the model alone answered, without agents and their tools. Omit model, or name an "
        "agent as well, to let agents take part; agent: chat asks for the model alone."
    ),
)


def notice_for_model(model: str | None) -> Notice | None:
    """Return the notice for answers of this model (`provider/name`); None for a language model."""
    return NO_LANGUAGE_MODEL if model == OFFLINE_MODEL else None
