"""The router's input and output. Not for: how it decides (`router.py`)."""

from dataclasses import dataclass

import msgspec

from graphs.language.detection import Language


@dataclass(frozen=True, slots=True)
class Candidate:
    """An agent that may answer. `examples` are utterances that belong to it, including corrected routes, newest last.
    `keywords` are words or phrases that point to it, `patterns` are those of the codes that its tools take."""

    name: str
    description: str
    examples: tuple[str, ...] = ()
    keywords: tuple[str, ...] = ()
    patterns: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Context:
    """The conversation so far: the agent that answered last, and the user's last messages, newest last."""

    last_agent: str | None = None
    last_messages: tuple[str, ...] = ()


class Scored(msgspec.Struct, frozen=True):
    """A candidate's name and its estimated probability."""

    agent: str
    score: float


class Intent(msgspec.Struct, frozen=True):
    """One request, in the user's words, and the agent for it."""

    agent: str
    text: str


class Route(msgspec.Struct, frozen=True):
    """The decision.

    `agent` is the first intent's, None for plain chat. With `needs_model`, the decision is the router's best guess and `best`
    are the choices for the model (`clarify.py`). `clarify` is a question in the user's language, asked instead of an answer;
    with `needs_model`, only if there is no model or it can't tell either. `confidence` is that of the decision, plain chat
    included: how often such decisions are right. `reason` is a sentence for people, in English.
    """

    agent: str | None
    confidence: float
    language: Language
    intents: tuple[Intent, ...]
    reason: str
    needs_model: bool = False
    clarify: str | None = None
    best: tuple[Scored, ...] = ()
