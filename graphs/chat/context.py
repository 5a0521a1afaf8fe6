"""What may vary from run to run, and does not belong into the state."""

from collections.abc import Callable
from dataclasses import dataclass

from graphs.providers.contract import ModelRequest, Provider
from schema.events import Event


@dataclass(frozen=True)
class ChatContext:
    """The provider to call, the request without its messages, and where events go as they happen."""

    provider: Provider
    request: ModelRequest
    model: str
    emit: Callable[[Event], None]
