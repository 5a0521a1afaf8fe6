"""What an answer needs."""

from collections.abc import Callable
from dataclasses import dataclass

from graphs.providers.contract import Message, ModelRequest, Provider
from schema.events import Event


@dataclass(frozen=True)
class Question:
    """The conversation as the model is shown it, the provider to call, the request without its messages, the model's full name,
    and where events go as they happen."""

    messages: list[Message]
    provider: Provider
    request: ModelRequest
    model: str
    emit: Callable[[Event], None]
