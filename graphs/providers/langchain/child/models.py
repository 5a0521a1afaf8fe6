"""Makes the models of one process from their classes, once each, and calls them."""

import asyncio
import inspect
from collections.abc import AsyncIterator
from math import isfinite
from typing import Any, cast

import msgspec
from langchain_core.embeddings import Embeddings
from langchain_core.language_models import BaseChatModel

from graphs.providers.contract import ModelRequest
from graphs.providers.langchain.child.as_chunks import let_stream_anything
from graphs.providers.langchain.child.messages import langchain_messages
from graphs.providers.langchain.frames import Call, Described
from graphs.providers.langchain.options import EXTRAS, OPTIONS, field_of
from tools.langchain.child import ClassCall, build, find_beside, load_class

MAX_MADE = 256
DEFAULTS = {"max_retries": 0, "stream_usage": True}
"""Arguments of many classes. Retries are headrace's, which knows how long a client waits; usage is what answers are paid by."""


MANY_MAKERS = frozenset({"langchain_core", "langchain_community", "langchain_classic"})
"""Packages with classes that don't say why an answer ended; those of one vendor do."""


class OptionRefused(Exception):
    """The class can't do what a request asks for."""


class ToolsRefused(Exception):
    """The class can't be given tools."""


class VectorsRefused(Exception):
    """An embedder returned what can't be compared."""


class Models:
    """The models that were made in this process."""

    def __init__(self) -> None:
        self._made: dict[bytes, Any] = {}
        self._lock = asyncio.Lock()

    async def get(self, made: ClassCall) -> Any:
        """Return the model, which is made in a thread. Raises whatever its class raises."""
        key = msgspec.json.encode(made)
        async with self._lock:
            if key not in self._made:
                if len(self._made) >= MAX_MADE:
                    self._made.clear()
                self._made[key] = await asyncio.to_thread(_build, made)
            return self._made[key]


def _build(made: ClassCall) -> Any:
    find_beside(made.folder)
    fields = getattr(load_class(made.class_name), "model_fields", {})
    defaults = {name: value for name, value in DEFAULTS.items() if name in fields}
    model = build(msgspec.structs.replace(made, arguments={**defaults, **made.arguments}))
    if not isinstance(model, BaseChatModel | Embeddings):
        raise TypeError(f"{made.class_name} is neither a chat model (BaseChatModel) nor an embedder (Embeddings)")
    return model


def says_why(model: Any) -> bool:
    """Whether an answer without a reason for its end was cut."""
    package = type(model).__module__.partition(".")[0]
    return package.startswith("langchain_") and package not in MANY_MAKERS


def describe(id: int, model: Any) -> Described:
    """Return what a model is, and what it takes."""
    if not isinstance(model, BaseChatModel):
        return Described(id, "embeddings")
    profile: dict[str, Any] = dict(cast(Any, getattr(model, "profile", None)) or {})
    window = profile.get("max_input_tokens")
    return Described(
        id,
        "chat",
        takes=sorted(_takes(model)),
        tools=type(model).bind_tools is not BaseChatModel.bind_tools,
        images=profile.get("image_inputs"),
        context_tokens=window if type(window) is int and window > 0 else None,
    )


def _takes(model: BaseChatModel) -> set[str]:
    fields = type(model).model_fields
    taken = {name for name in OPTIONS | EXTRAS if field_of(name, fields) is not None}
    return taken | ({"parallel_tool_calls"} if _takes_parallel(model) else set())


def _takes_parallel(model: BaseChatModel) -> bool:
    return "parallel_tool_calls" in inspect.signature(type(model).bind_tools).parameters


def answer(call: Call, model: Any) -> AsyncIterator[Any]:
    """Return the chunks of an answer. Raises OptionRefused or ToolsRefused."""
    request = call.request
    if request is None or not isinstance(model, BaseChatModel):
        raise OptionRefused("it is an embedder, and answers no messages")
    fields = _fields(request, model)
    asked = model.model_copy(update=fields)
    let_stream_anything(asked)
    messages = langchain_messages(request.messages, call.name)
    options: dict[str, Any] = {"response_format": _format(request, model)} if request.response_format else {}
    stop = list(request.stop) or None
    return _with_tools(request, asked).astream(messages, stop=stop, **options)


def _fields(request: ModelRequest, model: BaseChatModel) -> dict[str, Any]:
    known = type(model).model_fields
    given = {name: value for name in OPTIONS if (value := getattr(request, name)) is not None}
    given |= {name: request.extra[name] for name in EXTRAS & request.extra.keys()}
    return {field: value for name, value in given.items() if (field := field_of(name, known)) is not None}


def _format(request: ModelRequest, model: BaseChatModel) -> Any:
    """Return the response format as LangChain passes it to its classes: as the client sent it."""
    if type(model).with_structured_output is BaseChatModel.with_structured_output:
        raise OptionRefused("it takes no `response_format`")
    return request.response_format


def _with_tools(request: ModelRequest, model: BaseChatModel) -> Any:
    if not request.tools or request.tool_choice == "none":
        return model
    options: dict[str, Any] = {}
    if request.parallel_tool_calls is not None and _takes_parallel(model):
        options["parallel_tool_calls"] = request.parallel_tool_calls
    try:
        bound = model.bind_tools(list(request.tools), **options)
        if (choice := _choice(request.tool_choice)) is None:
            return bound
        chosen = model.bind_tools(list(request.tools), tool_choice=choice, **options)
    except NotImplementedError as error:
        raise ToolsRefused("it can't be given tools") from error
    if cast(Any, chosen).kwargs == cast(Any, bound).kwargs:
        raise OptionRefused("it takes no `tool_choice`; leave it at auto")
    return chosen


def _choice(said: Any) -> str | None:
    """Return a choice in LangChain's words; None for the model's own."""
    match said:
        case "required":
            return "any"
        case {"function": {"name": str(name)}}:
            return name
        case _:
            return None


async def embed(call: Call, model: Any) -> list[list[float]]:
    """Return one vector per text. Raises OptionRefused for what is no embedder, VectorsRefused for vectors that are none."""
    if not isinstance(model, Embeddings):
        raise OptionRefused("it is a chat model, and embeds nothing")
    if call.purpose == "query":
        return _numbers([await model.aembed_query(text) for text in call.texts])
    return _numbers(await model.aembed_documents(call.texts))


def _numbers(vectors: Any) -> list[list[float]]:
    try:
        found = [[float(one) for one in vector] for vector in vectors]
    except (TypeError, ValueError) as error:
        raise VectorsRefused("is no list of numbers") from error
    if not all(isfinite(one) for vector in found for one in vector):
        raise VectorsRefused("is no number: it has NaN or infinity in it")
    return found
