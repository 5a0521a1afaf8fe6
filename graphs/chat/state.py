"""What the graph remembers from node to node."""

from typing import TypedDict

from graphs.providers.contract import Message


class ChatState(TypedDict):
    """`messages` is the conversation, oldest first, the question last."""

    messages: list[Message]
