"""What a worker and its process of LangChain models say to each other: frames, each a length of four bytes and a JSON
object."""

import struct
from collections.abc import Callable
from typing import Any, Literal

import msgspec

from graphs.providers.contract import ModelRequest, Purpose
from tools.langchain.child import ClassCall

LENGTH = struct.Struct(">I")


class Call(msgspec.Struct, frozen=True, tag="call", omit_defaults=True):
    """Call number `id`, of the model `name` that is made as `made`. `request` is to be answered, or `texts` embedded; else the
    model is described."""

    id: int
    name: str
    made: ClassCall
    do: Literal["stream", "embed", "describe"]
    request: ModelRequest | None = None
    texts: list[str] = []
    purpose: Purpose = "passage"


class Cancel(msgspec.Struct, frozen=True, tag="cancel"):
    """The caller of this call has left."""

    id: int


class Began(msgspec.Struct, frozen=True, tag="began"):
    """The model is made, and is called now. `says_why`: its class also says why an answer ended."""

    id: int
    says_why: bool = False


class CalledTool(msgspec.Struct, frozen=True, omit_defaults=True):
    """A piece of a tool call, as the model's class gives it."""

    index: int | None = None
    id: str = ""
    name: str = ""
    arguments: str = ""


class Piece(msgspec.Struct, frozen=True, tag="piece", omit_defaults=True):
    """More of an answer. The last one has `is_last`, the counts of the whole, and `extra`, what must go back to the model."""

    id: int
    text: str = ""
    thought: str = ""
    refusal: str = ""
    calls: list[CalledTool] = []
    logprobs: list[dict[str, Any]] = []
    reason: str = ""
    model: str = ""
    fingerprint: str = ""
    is_last: bool = False
    counts: dict[str, int] = {}
    extra: dict[str, Any] = {}


class Described(msgspec.Struct, frozen=True, tag="described", omit_defaults=True):
    """What a class is, the options that it takes, and what it says of its model."""

    id: int
    kind: Literal["chat", "embeddings"]
    takes: list[str] = []
    tools: bool = True
    images: bool | None = None
    context_tokens: int | None = None


class Vectors(msgspec.Struct, frozen=True, tag="vectors"):
    """One vector per text."""

    id: int
    vectors: list[list[float]]


class Failed(msgspec.Struct, frozen=True, tag="failed", omit_defaults=True):
    """What was raised: `kinds` are the names of its class and those above it, and of what caused it; the rest is what the
    vendor's response said, where there is one. `where` is what was being done."""

    id: int
    where: Literal["build", "tools", "options", "vectors", "call"]
    kinds: list[str]
    message: str = ""
    status: int = 0
    headers: dict[str, str] = {}
    body: str = ""
    error: Any = None


class Numbered(msgspec.Struct, frozen=True):
    """The call of a reply that can't be read."""

    id: int


Asked = Call | Cancel
Reply = Began | Piece | Described | Vectors | Failed

decode_asked: Callable[[bytes], Asked] = msgspec.json.Decoder(Asked).decode
decode_reply: Callable[[bytes], Reply] = msgspec.json.Decoder(Reply).decode
decode_numbered: Callable[[bytes], Numbered] = msgspec.json.Decoder(Numbered).decode


def frame(message: Asked | Reply) -> bytes:
    """Return a message as it is written. Raises UnicodeEncodeError for half a surrogate pair."""
    data = msgspec.json.encode(message)
    return LENGTH.pack(len(data)) + data
