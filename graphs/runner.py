"""Running a graph for a job: messages in, events out. Knows nothing of queues, leases or Redis."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from graphs.chat.context import ChatContext, Question
from graphs.chat.graph import build_chat
from graphs.chat.history import trim
from graphs.messages import read_message, stored_message
from graphs.providers.contract import Message, ModelRequest, Provider
from graphs.providers.tokens import estimate_input
from schema.errors import InputError
from schema.events import Event
from schema.queries.sessions.sessions import StoredMessage

STANDBY_S = 0.005  # after a job has begun, the next run is entered: not at once, its own way goes first


class Graphs:
    """The compiled graphs of a process. `close()` it in the loop that used it."""

    def __init__(self) -> None:
        self._chat = build_chat()
        self._standby: _Entered | None = None
        self._closed = False

    async def chat(self, question: Question) -> None:
        """Run the chat graph on `question`."""
        entered, self._standby = self._standby or self._enter(), None
        asyncio.get_running_loop().call_later(STANDBY_S, self._prepare)
        entered.question.set_result(question)
        await entered.run

    def _enter(self) -> "_Entered":
        loop = asyncio.get_running_loop()
        question: asyncio.Future[Question] = loop.create_future()
        run = loop.create_task(self._run(question), name="chat graph")
        return _Entered(question, run)

    async def _run(self, question: "asyncio.Future[Question]") -> None:
        await self._chat.ainvoke({}, context=ChatContext(question))

    def _prepare(self) -> None:
        if self._standby is None and not self._closed:
            self._standby = self._enter()

    async def close(self) -> None:
        """Leave the run that waits for a question."""
        self._closed = True
        if self._standby is not None:
            self._standby.run.cancel()
            await asyncio.wait({self._standby.run})


@dataclass(frozen=True)
class _Entered:
    """A run of the graph whose first node waits for its question. LangGraph takes 0.5 ms to get there, so one run is always
    entered ahead, and the way from a doorbell to the model is that much shorter."""

    question: "asyncio.Future[Question]"
    run: "asyncio.Task[None]"


@dataclass(frozen=True)
class ChatRun:
    """What a chat job asks for: `model` as `provider/name`, the conversation, and the options of the request."""

    model: str
    messages: list[Message]
    options: dict[str, Any]


def read_chat(model: str, payload: dict[str, Any], stored: Sequence[StoredMessage]) -> ChatRun:
    """Return the run of a chat job from its payload and the stored messages of its session, oldest first.

    Raises InputError for a payload that no provider could be asked with.
    """
    given = payload.get("messages")
    if given is not None:
        messages = [read_message(message, field=f"messages[{i}]") for i, message in enumerate(given)]
    else:
        messages = [stored_message(row.role, row.parts) for row in stored]
    return ChatRun(model, messages, payload.get("options") or {})


def read_options(model: str, options: dict[str, Any]) -> ModelRequest:
    """Return a request without messages. Raises InputError that names the option."""
    stop = options.get("stop")
    given = {**options, "model": model, "messages": (), "stop": [stop] if isinstance(stop, str) else stop or ()}
    try:
        return msgspec.convert(given, ModelRequest)
    except msgspec.ValidationError as error:
        raise InputError(f"An option of the request can't be used: {error}") from error


def estimate_prompt(payload: dict[str, Any], stored: Sequence[StoredMessage]) -> int:
    """About how many tokens a chat job asks with; 0 for one that can't be read."""
    try:
        return estimate_input(trim(read_chat("", payload, stored).messages))
    except InputError:
        return 0


async def run_chat(graphs: Graphs, provider: Provider, run: ChatRun, emit: Callable[[Event], None]) -> None:
    """Answer one chat, emitting its events as they happen; the last two are MessageCompleted and UsageRecorded.

    Raises ProviderError. Cancelling the task closes the provider's connection.
    """
    request = read_options(run.model.partition("/")[2], run.options)
    await graphs.chat(Question(run.messages, provider, request, run.model, emit))
