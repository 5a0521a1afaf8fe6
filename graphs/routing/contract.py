"""What the router is given and what it says. Not for: how it decides (`router.py`)."""

from dataclasses import dataclass

import msgspec

from graphs.language.detection import Language


@dataclass(frozen=True, slots=True)
class Candidate:
    """An agent that may answer. `examples` are things people said that belong to it, corrected routes among them:
    the newest last. `keywords` are words or phrases that point to it."""

    name: str
    description: str
    examples: tuple[str, ...] = ()
    keywords: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Context:
    """What went before in the conversation: who answered last, and the last messages of the user, newest last."""

    last_agent: str | None = None
    last_messages: tuple[str, ...] = ()


class Scored(msgspec.Struct, frozen=True):
    """A candidate's name, and the estimated probability that it is the right one."""

    agent: str
    score: float


class Intent(msgspec.Struct, frozen=True):
    """One thing that was asked for, in the user's words, and who is to do it."""

    agent: str
    text: str


class Route(msgspec.Struct, frozen=True):
    """The decision.

    `agent` is the first intent's, None for plain chat. With `needs_model` the decision is the router's best guess and
    `best` are those to choose from (`asking.py`). `clarify` is a question in the user's language, to be put instead of
    an answer; with `needs_model` it is for the case that no model is there or the model can't tell either.
    `confidence` is that of the decision itself, plain chat included. `reason` is for traces, in English.
    """

    agent: str | None
    confidence: float
    language: Language
    intents: tuple[Intent, ...]
    reason: str
    needs_model: bool = False
    clarify: str | None = None
    best: tuple[Scored, ...] = ()
