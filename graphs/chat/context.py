"""What making an answer needs from outside: the model's provider, limits, and where to report."""

from collections.abc import Callable
from dataclasses import dataclass

from graphs.providers.contract import Message, ModelRequest, Provider
from schema.events import Event


@dataclass(frozen=True)
class Question:
    """The conversation as the model is shown it, the provider to call, the request without its messages, the model's full name,
    where events go as they happen, and whether the call is made with the tenant's own key."""

    messages: list[Message]
    provider: Provider
    request: ModelRequest
    model: str
    emit: Callable[[Event], None]
    own_key: bool = False
