"""The state of the chat graph."""

from typing import TypedDict

from graphs.providers.contract import Message


class ChatState(TypedDict, total=False):
    """`messages` is what the model was shown, oldest first, the question last."""

    messages: list[Message]
