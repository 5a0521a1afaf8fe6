"""What may vary from run to run, and does not belong into the state."""

from dataclasses import dataclass

from graphs.providers.contract import ModelRequest, Provider


@dataclass(frozen=True)
class ChatContext:
    """The provider to call, and the request without its messages."""

    provider: Provider
    request: ModelRequest
    model: str
