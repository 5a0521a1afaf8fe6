"""What may vary from run to run, and does not belong into the state."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from graphs.providers.contract import Message, ModelRequest, Provider
from schema.events import Event


@dataclass(frozen=True)
class Question:
    """What is asked: the conversation, the provider to call, the request without its messages, the model's full name, and
    where events go as they happen."""

    messages: list[Message]
    provider: Provider
    request: ModelRequest
    model: str
    emit: Callable[[Event], None]


@dataclass(frozen=True)
class ChatContext:
    """The question, which may still be to come when the graph is entered (`graphs/runner.py`)."""

    question: Awaitable[Question]
