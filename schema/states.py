"""The states of a job and the moves between them. Every move is a compare-and-set in `schema/queries/`.

      queued ──dispatch──► dispatched ──claim──► running ──finish──► succeeded | failed | cancelled
        ▲  ◄──no answer──────┘                     │
        └──────── retry, lost lease, hand-back ────┘

`dispatched` is the inner half of `queued`: a doorbell has been rung and no worker has come yet. Users see `queued`.
"""

from typing import Literal, LiteralString, cast, get_args

State = Literal["queued", "dispatched", "running", "succeeded", "failed", "cancelled"]
PublicState = Literal["queued", "running", "succeeded", "failed", "cancelled"]

STATES: tuple[State, ...] = get_args(State)
WAITING: tuple[State, ...] = ("queued", "dispatched")
IN_FLIGHT: tuple[State, ...] = ("dispatched", "running")
LIVE: tuple[State, ...] = ("queued", "dispatched", "running")
TERMINAL: frozenset[State] = frozenset({"succeeded", "failed", "cancelled"})


def _as_sql(states: tuple[State, ...]) -> LiteralString:
    return cast(LiteralString, f"({', '.join(map(repr, states))})")


# Literals, because with parameters the planner can't tell that a partial index serves.
WAITING_SQL, IN_FLIGHT_SQL, LIVE_SQL = _as_sql(WAITING), _as_sql(IN_FLIGHT), _as_sql(LIVE)

MOVES: dict[State, frozenset[State]] = {
    "queued": frozenset({"dispatched", "failed", "cancelled"}),
    "dispatched": frozenset({"queued", "running", "failed", "cancelled"}),
    "running": frozenset({"queued", "succeeded", "failed", "cancelled"}),
    "succeeded": frozenset(),
    "failed": frozenset({"queued"}),  # driven again by hand
    "cancelled": frozenset({"queued"}),  # driven again by hand
}

FileState = Literal["queued", "running", "ready", "failed", "cancelled"]
"""Of a version of a document: its job waits, or hasn't come to it; it is read and embedded; it is what searches see, or was;
it can't be read, with the reason; somebody stopped it. The last two wait again when they are tried again."""

FILE_STATES: tuple[FileState, ...] = get_args(FileState)

Priority = Literal["high", "normal", "low"]
PRIORITIES: dict[Priority, int] = {"high": 0, "normal": 5, "low": 9}  # smaller goes first

OnBusy = Literal["queue", "reject", "interrupt", "rollback"]
CancelMode = Literal["keep", "forget"]  # what becomes of the words already said

WaitingFor = Literal["worker", "tenant_cap", "session", "retry", "tenant"]
"""`tenant`: it is suspended."""


def public_state(state: State) -> PublicState:
    """Return the state that users see."""
    return "queued" if state == "dispatched" else state


def priority_name(rank: int) -> Priority:
    """Return the name of a stored priority."""
    return next(name for name, value in PRIORITIES.items() if value == rank)
