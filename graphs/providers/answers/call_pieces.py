"""Puts tool calls together from the pieces that vendors send, and tells calls apart by id, number and completeness.

In OpenAI's protocol a call has a number, and an id and a name in its first piece. Servers were seen that number all calls 0,
number none, give no ids, repeat the name in each piece, send the whole arguments again at the end, or an empty object before
the real ones. Out of here come calls as the contract has them: numbered, each with an id of its own, a name said once, and
arguments that begin once.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import msgspec

from graphs.providers.calls.ids import make_call_id
from graphs.providers.contract import ModelRequest, ToolCallDelta

NOTHING = "{}"


@dataclass(frozen=True, slots=True)
class CallPiece:
    """A piece as the vendor sent it; what it didn't say is empty, `index` None."""

    index: int | None = None
    id: str = ""
    name: str = ""
    arguments: str = ""
    extra: dict[str, Any] = field(default_factory=dict)


@dataclass(slots=True)
class _Call:
    """A call so far. `id` is the vendor's. `is_open`: its arguments were an empty object, which may have been a stand-in."""

    number: int
    index: int | None
    id: str
    name: str
    arguments: str = ""
    is_open: bool = False

    @property
    def is_complete(self) -> bool:
        return self.is_open or _as_object(self.arguments) is not None

    def repeats(self, arguments: str) -> bool:
        """Whether these arguments are the ones that are here already."""
        return (
            not arguments.strip() or arguments == self.arguments or _as_object(arguments) == _as_object(self.arguments)
        )


class CallPieces:
    """The calls of one answer."""

    def __init__(self, request: ModelRequest) -> None:
        self._request = request
        self._calls: list[_Call] = []

    def __len__(self) -> int:
        return len(self._calls)

    def add(self, piece: CallPiece) -> ToolCallDelta | None:
        """Return what a piece adds; None if that is nothing."""
        call = self._find(piece)
        if call is not None:
            return self._continue(call, piece)
        return self._begin(piece) if piece.id or piece.name or piece.arguments.strip() else None

    def finish(self) -> Iterator[ToolCallDelta]:
        """Yield empty objects as the arguments of calls that have none: clients parse them."""
        for call in self._calls:
            if not call.arguments.strip():
                call.arguments, call.is_open = NOTHING, False
                yield ToolCallDelta(call.number, arguments=NOTHING)

    def _find(self, piece: CallPiece) -> _Call | None:
        """Return the call that a piece belongs to; None if it begins another."""
        if not self._calls:
            return None
        same_id = next((call for call in self._calls if piece.id and call.id == piece.id), None)
        if same_id is not None:
            return (
                same_id
                if not piece.name or (not _is_elsewhere(same_id, piece) and not _is_another(same_id, piece))
                else None
            )
        last = self._calls[-1]
        call = last if piece.index is None else self._at(piece.index)
        if call is None:
            return None if piece.id or piece.name else last
        if not piece.name:
            return call
        if piece.id and call.id:  # some servers make up a new id for each piece
            return call if piece.name == call.name and call.arguments and not call.is_complete else None
        return None if _is_another(call, piece) else call

    def _at(self, index: int) -> _Call | None:
        return next((call for call in reversed(self._calls) if call.index == index), None)

    def _begin(self, piece: CallPiece) -> ToolCallDelta:
        number = len(self._calls)
        is_taken = any(call.id == piece.id for call in self._calls)
        call = _Call(number, piece.index, piece.id, piece.name)
        self._calls.append(call)
        shown_id = piece.id if piece.id and not is_taken else make_call_id(self._request.messages, number)
        return ToolCallDelta(number, shown_id, piece.name, self._take_arguments(call, piece.arguments), piece.extra)

    def _continue(self, call: _Call, piece: CallPiece) -> ToolCallDelta | None:
        call.id = call.id or piece.id
        name = _rest_of_name(call, piece.name)
        call.name += name
        arguments = self._take_arguments(call, piece.arguments)
        if not (name or arguments or piece.extra):
            return None
        return ToolCallDelta(call.number, name=name, arguments=arguments, extra=piece.extra)

    def _take_arguments(self, call: _Call, arguments: str) -> str:
        if not call.arguments and arguments.strip() == NOTHING:
            call.is_open = True
            return ""
        if not arguments or (call.arguments and call.is_complete):
            return ""
        if arguments.strip():
            call.is_open = False
        call.arguments += arguments
        return arguments


def _is_elsewhere(call: _Call, piece: CallPiece) -> bool:
    return piece.index is not None and call.index is not None and piece.index != call.index


def _is_another(call: _Call, piece: CallPiece) -> bool:
    """Whether a piece with a name, at the place of `call`, begins another call."""
    if call.is_open:
        return piece.name != call.name or (piece.index is None and not call.repeats(piece.arguments))
    if call.is_complete:
        return piece.name != call.name or not call.repeats(piece.arguments)
    if call.arguments:
        return piece.name != call.name
    return piece.name != call.name and piece.index is None and bool(piece.arguments)


def _rest_of_name(call: _Call, name: str) -> str:
    """Return what a name adds to the one that is known: names come whole, again, or, rarely, in parts."""
    if not call.name:
        return name
    if not name or call.arguments or call.is_open or name == call.name:
        return ""
    return name.removeprefix(call.name)


def _as_object(arguments: str) -> dict[str, Any] | None:
    if not arguments.rstrip().endswith("}"):
        return None
    try:
        found = msgspec.json.decode(arguments)
    except (msgspec.DecodeError, RecursionError):
        return None
    return found if isinstance(found, dict) else None
