"""The states of a job and their transitions. Every transition is a compare-and-set in `schema/queries/`.

      queued ──dispatch──► dispatched ──claim──► running ──finish──► succeeded | failed | cancelled
        ▲  ◄──no answer──────┘                     │
        └──────── retry, lost lease, hand-back ────┘

`dispatched` is an internal part of `queued`: the doorbell was rung, but no worker has claimed the job yet. Users see `queued`.
"""

from typing import Literal, LiteralString, cast, get_args

State = Literal["queued", "dispatched", "running", "succeeded", "failed", "cancelled"]
PublicState = Literal["queued", "running", "succeeded", "failed", "cancelled"]

STATES: tuple[State, ...] = get_args(State)
WAITING: tuple[State, ...] = ("queued", "dispatched")
IN_FLIGHT: tuple[State, ...] = ("dispatched", "running")
LIVE: tuple[State, ...] = ("queued", "dispatched", "running")
TERMINAL: frozenset[State] = frozenset({"succeeded", "failed", "cancelled"})


def as_sql(names: tuple[str, ...]) -> LiteralString:
    """Return names of this code, of states or kinds, as a list of literals."""
    return cast(LiteralString, f"({', '.join(map(repr, names))})")


# Literals, because with parameters the planner can't use a partial index.
WAITING_SQL, IN_FLIGHT_SQL, LIVE_SQL = as_sql(WAITING), as_sql(IN_FLIGHT), as_sql(LIVE)

TRANSITIONS: dict[State, frozenset[State]] = {
    "queued": frozenset({"dispatched", "failed", "cancelled"}),
    "dispatched": frozenset({"queued", "running", "failed", "cancelled"}),
    "running": frozenset({"queued", "succeeded", "failed", "cancelled"}),
    "succeeded": frozenset(),
    "failed": frozenset({"queued"}),  # retried manually
    "cancelled": frozenset({"queued"}),  # retried manually
}

FileState = Literal["queued", "running", "ready", "failed", "cancelled"]
"""States of a version of a document. `queued`: waits for its job; `running`: is being read and embedded; `ready`: is, or was,
searchable; `failed`: can't be ingested, with an error; `cancelled`. The last two become `queued` again when retried."""

FILE_STATES: tuple[FileState, ...] = get_args(FileState)

ScheduleState = Literal["active", "paused", "ended"]
"""States of a schedule. `paused`: by somebody, or by itself, and then it says why; `ended`: no due time is left."""

SCHEDULE_STATES: tuple[ScheduleState, ...] = get_args(ScheduleState)

RunOutcome = Literal["submitted", "waiting", "skipped", "missed", "refused"]
"""What became of a due time. `waiting`: for the job before it; `skipped`: that job had not ended; `missed`: no scheduler was
there; `refused`: a limit, or the owner may not do it any more."""

OnMissed = Literal["skip", "run_once"]
OnOverlap = Literal["skip", "queue", "cancel_previous"]
ScheduleSession = Literal["new", "continue"]

Priority = Literal["high", "normal", "low"]
PRIORITIES: dict[Priority, int] = {"high": 0, "normal": 5, "low": 9}  # smaller goes first

OnBusy = Literal["queue", "reject", "interrupt", "rollback"]
CancelMode = Literal["keep", "forget"]  # what becomes of the text so far

WaitingFor = Literal["worker", "tenant_cap", "session", "retry", "time", "tenant"]
"""`time`: for its `run_at`; `tenant`: the tenant is suspended."""


def public_state(state: State) -> PublicState:
    """Return the state that users see."""
    return "queued" if state == "dispatched" else state


def priority_name(rank: int) -> Priority:
    """Return the name of a stored priority."""
    return next(name for name, value in PRIORITIES.items() if value == rank)
