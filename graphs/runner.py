"""Running a graph for a job: messages in, events out. Knows nothing of queues, leases or Redis."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
from langgraph.graph.state import CompiledStateGraph

from graphs.chat.context import ChatContext
from graphs.chat.graph import build_chat
from graphs.messages import read_message, stored_message
from graphs.providers.contract import Message, ModelRequest
from graphs.providers.registry import Providers
from schema.errors import InputError
from schema.events import Event


@dataclass(frozen=True)
class Graphs:
    """The compiled graphs of a process."""

    chat: CompiledStateGraph[Any, ChatContext, Any, Any]


def build_graphs() -> Graphs:
    """Compile all graphs; done once, when a worker starts."""
    return Graphs(chat=build_chat())


@dataclass(frozen=True)
class ChatRun:
    """What a chat job asks for: `model` as `provider/name`, the conversation, and the options of the request."""

    model: str
    messages: list[Message]
    options: dict[str, Any]


def read_chat(model: str, payload: dict[str, Any], stored: Sequence[dict[str, Any]]) -> ChatRun:
    """Return the run of a chat job from its payload and the stored messages of its session, oldest first.

    Raises InputError for a payload that no provider could be asked with.
    """
    given = payload.get("messages")
    if given is not None:
        messages = [read_message(message, field=f"messages[{i}]") for i, message in enumerate(given)]
    else:
        messages = [stored_message(row["role"], row["parts"]) for row in stored]
    return ChatRun(model, messages, payload.get("options") or {})


def read_options(model: str, options: dict[str, Any]) -> ModelRequest:
    """Return a request without messages. Raises InputError that names the option."""
    stop = options.get("stop")
    given = {**options, "model": model, "messages": (), "stop": [stop] if isinstance(stop, str) else stop or ()}
    try:
        return msgspec.convert(given, ModelRequest)
    except msgspec.ValidationError as error:
        raise InputError(f"An option of the request can't be used: {error}") from error


async def run_chat(graphs: Graphs, providers: Providers, run: ChatRun, emit: Callable[[Event], None]) -> None:
    """Answer one chat, emitting its events as they happen; the last two are MessageCompleted and UsageRecorded.

    Raises ProviderError. Cancelling the task closes the provider's connection.
    """
    ref = await providers.resolve(run.model)
    context = ChatContext(providers.get(ref.provider), read_options(ref.name, run.options), str(ref), emit)
    await graphs.chat.ainvoke({"messages": run.messages}, context=context)
