"""Prompts that chat front ends send of their own, beside the user's questions: for a title, tags, follow-ups, a search.

Each would run the whole agent that the chat is with. They are recognized by how the front ends' own templates begin, by a mark
further on, and by how they end, so that a person's words are not taken for one, nor those that follow a template. What becomes
of them is said by the API key (`front_end_prompts`), or else by the installation's `HEADRACE_FRONT_END_PROMPTS`.
"""

from collections.abc import Sequence
from typing import Annotated, Any

from msgspec import Meta

from api.auth.principals import Principal
from api.grants.model_access import Target, resolve_model
from api.resources import Resources
from graphs.providers.settings import AUTO
from schema.errors import InputError, UnknownModel

PLAIN, AGENT = "plain", "agent"
FrontEndPrompts = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=200,
        description="Who answers the titles, tags and follow-up questions that a chat front end asks for on its own: `plain` "
        "(the chat's model alone), `agent` (the chat's agent), or a model; null is as the installation says.",
        examples=["plain"],
    ),
]
"""The setting of an API key."""
INSTRUCTIONS = frozenset({"system", "developer"})
MAX_MESSAGES = 2
"""The prompt, and a system message before or after it."""

TASK = "### Task:\n"
HISTORY = ("<chat_history>", "</chat_history>")
TEMPLATES: tuple[tuple[str, str, str], ...] = (
    # Open WebUI (backend/open_webui/config.py)
    (TASK + "Generate a concise, 3-5 word title", *HISTORY),
    (TASK + "Generate a concise title", *HISTORY),
    (TASK + "Generate 1-3 broad tags categorizing the main themes of the chat history", *HISTORY),
    (TASK + "Suggest 3-5 relevant follow-up questions", *HISTORY),
    (TASK + "Predict 3-5 useful messages this user might naturally send next", *HISTORY),
    (TASK + "Analyze the chat history to determine the necessity of generating search queries", *HISTORY),
    (TASK + "Generate a detailed prompt for am image generation task", *HISTORY),
    (TASK + "You are an autocompletion system. Continue the text in `<text>`", "<text>", "#### Output:"),
    (TASK + "Summarize the conversation history that will be compacted", "### Recent Messages Kept In Context:", ""),
    ("Your task is to reflect the speaker's likely facial expression through a fitting emoji.", "Message:", ""),
    # LibreChat (agents/src/utils/title.ts)
    ("Provide a concise, 5-word-or-less title for the conversation", "Conversation:", ""),
    (
        "Analyze this conversation and provide:\n1. The detected language",
        "A concise title in the detected language",
        "",
    ),
    # LobeChat (packages/prompts/src/chains/summaryTitle.ts)
    ("You are a professional conversation summarizer. Generate a concise title", "Rules:", ""),
    # Chatbox (packages/prompts.ts)
    ("Name the conversation based on the chat records.", "You only need to answer with the name.", "```"),
    ("Based on the chat history, give this conversation a name.", "answer with the name", ""),
)
"""How a template begins, what comes later in it, and how it ends, where that is not with what was said in the chat."""


def is_front_end_prompt(messages: Sequence[dict[str, Any]]) -> bool:
    """Whether a request's messages, in the shape of chat completions, are a front end's own prompt."""
    if len(messages) > MAX_MESSAGES:
        return False
    first, *others = sorted(messages, key=lambda message: message.get("role") not in INSTRUCTIONS)
    if others and first.get("role") not in INSTRUCTIONS:
        return False  # a question beside the template
    return any(_is_template(_text(message.get("content"))) for message in messages)


def _is_template(text: str) -> bool:
    said = text.replace("\r\n", "\n").strip()
    return any(said.startswith(begins) and mark in said and said.endswith(ends) for begins, mark, ends in TEMPLATES)


def _text(content: Any) -> str:
    match content:
        case str():
            return content
        case [{"type": "text", "text": str(text)}]:
            return text
        case _:
            return ""


async def without_agent_for_front_ends(
    resources: Resources,
    principal: Principal,
    target: Target,
    messages: Sequence[dict[str, Any]],
    options: dict[str, Any],
) -> Target:
    """Return what answers: for a front end's own prompt the model alone, unless the key or the installation says otherwise. A
    request with tools is none."""
    setting = principal.front_end_prompts or resources.settings.front_end_prompts
    if target.agent is None or setting == AGENT or options.get("tools") or not is_front_end_prompt(messages):
        return target
    model = target.model if setting == PLAIN else await resolve_model(resources, principal, setting)
    return Target(model, agent=None, model_requested=True)


async def check_front_end_prompts(resources: Resources, principal: Principal, setting: str | None) -> None:
    """Raise UnknownModel for a setting that names a model which the caller can't use, and InputError for `auto`, which chooses
    agents and is no model."""
    if setting is None or setting in (PLAIN, AGENT):
        return
    if setting.lower() == AUTO:
        message = (
            "front_end_prompts must be plain (the chat's model alone), agent (the chat's agent), or a model. auto is none of "
            "them: it chooses an agent."
        )
        raise InputError(message, field="front_end_prompts")
    try:
        await resolve_model(resources, principal, setting)
    except UnknownModel as error:
        message = f"front_end_prompts must be plain, agent, or a model. {error.message}"
        raise UnknownModel(message, field="front_end_prompts") from error
