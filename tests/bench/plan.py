"""How much is measured: everything in half an hour, or the quick set in four minutes."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Counts, and durations in seconds. Figures are medians over `runs`, each of which asks direct and through.

    `singles`: requests one after another per run. `paced_s`: how long 50 tokens/s are streamed after the ramp.
    `flat_out_s`: how long chats per second are counted. `answers`: saturating streams, of `answer_tokens` each.
    `open_streams` are opened over `ramp_per_s` and stay open together for `hold_s`; `joined` are clients that follow `sources`
    jobs, and `rejoin` are clients that come back at once. `flood`: jobs of tenant A;
    `quiet` probes of tenant B before it, `drain_s` of them after its last submit. `chunks`: how many are searched;
    `files` of one batch are ingested. `past`: how many jobs have ended before, in turn.
    `rest_s`: how long nothing happens before memory is measured. `users` of a hundred tenants ask for as long as they think
    `thoughts` times; in a `hurry` so many times fewer of them think so many times shorter. `waiting_tenants` all have jobs
    that wait.
    """

    name: str
    runs: int = 3
    singles: int = 150
    clients: int = 100
    paced_s: float = 8.0
    flat_out_s: float = 4.0
    flat_out_clients: tuple[int, ...] = (1, 10, 100)
    answers: int = 100
    answer_tokens: int = 2000
    open_streams: tuple[int, ...] = (500, 2000)
    ramp_per_s: float = 100.0
    hold_s: float = 10.0
    joined: int = 10_000
    sources: int = 200
    rejoin: int = 2000
    flood: int = 10_000
    quiet: int = 300
    drain_s: float = 15.0
    chunks: tuple[int, ...] = (10_000, 100_000, 1_000_000)
    files: int = 100
    past: tuple[int, ...] = (10_000, 100_000, 1_000_000)
    rest_s: float = 330.0
    users: tuple[int, ...] = (1000, 2500, 5000, 10_000)
    hurry: int = 1
    thoughts: float = 2.0
    waiting_tenants: tuple[int, ...] = (100, 1000, 10_000)


FULL = Plan(name="full")
QUICK = Plan(
    name="quick",
    runs=1,
    paced_s=3.0,
    flat_out_s=1.5,
    open_streams=(500,),
    joined=1000,
    hold_s=4.0,
    flood=2000,
    quiet=100,
    drain_s=5.0,
    chunks=(10_000,),
    files=30,
    past=(10_000, 40_000),
    rest_s=90.0,
    users=(300, 1000),
    hurry=10,
    thoughts=5.0,
    waiting_tenants=(100, 1000),
)
TINY = Plan(name="tiny", runs=1, singles=5, chunks=(10_000,), files=4)
