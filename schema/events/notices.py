"""Notices about an answer besides its text: that no language model is connected, that a named model turned agents off, that the
answer doesn't have the format that was asked for, that the model didn't see the question's images, or that it has figures
which are in none of its sources.

The first is shown by the commands, `/health` and `GET /v1/models`, and in the field `notice` of each answer; never in an
answer's text.
"""

from collections.abc import Sequence

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


MAX_PROBLEM = 300


def format_missed(output_format: str, problem: str) -> Notice:
    """Return the notice for an answer that has the wrong format after its correction, too."""
    return Notice(
        code="output_format_missed",
        message=f"The answer does not have the format {output_format}, also after the model was asked to correct it. "
        f"{problem[:MAX_PROBLEM]}",
    )


def images_not_shown(model: str) -> Notice:
    """Return the notice for an answer of an agent whose model isn't known to see images."""
    return Notice(
        code="images_not_shown",
        message=f"The model {model} was shown the names of the question's images, and not the images: it is not known to see "
        f'any. If it does, an admin says so with PUT /api/admin/models/{model} {{"images": true}}.',
    )


def not_in_sources(unsupported: Sequence[str]) -> Notice:
    """Return the notice for an answer with figures or quotations that nothing it rests on has."""
    return Notice(
        code="not_in_sources",
        message=f"In none of the answer's sources and tools' results: {', '.join(unsupported)}. Check it before you use it.",
    )


def notice_for_model(model: str | None) -> Notice | None:
    """Return the notice for answers of this model (`provider/name`); None for a language model."""
    return NO_LANGUAGE_MODEL if model == OFFLINE_MODEL else None
