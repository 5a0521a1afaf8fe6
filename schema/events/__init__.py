"""The events of a job's stream, one typed struct each, and their encoding.

Event numbers (`seq`) have no gaps within a job, over all attempts: 1, 2, 3 … They are assigned when the event is written,
because adjacent deltas are merged on the way to Redis. A *frame* is one event in the format of Server-Sent Events:

    id: 7
    event: message.delta
    data: {"job_id":"…","seq":7,"at":"2026-01-31T12:00:00.123Z","text":"Hello"}

Not here: who writes (`workers/stream/relay.py`) and who reads (`workers/stream/follow.py`).
"""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Annotated, Any, NamedTuple
from uuid import UUID

import msgspec
from msgspec import Meta

from schema.events.answers import ChoiceDelta, MessageCompleted, MessageDelta, UsageRecorded
from schema.events.base import Event, Reason, RoutingScore
from schema.states import CancelMode


class JobQueued(Event, frozen=True):
    """The job was accepted and is stored."""

    type = "job.queued"
    kind: Annotated[str, Meta(description="What the job does: `chat`, `pipeline`, `ingestion`, `benchmark`.")]
    session_id: Annotated[str | None, Meta(description="The session that the job belongs to.")] = None
    model: Annotated[str | None, Meta(description="The model as `provider/name`.")] = None
    agent: Annotated[str | None, Meta(description="The agent, or `auto` while none has been chosen.")] = None


class JobStarted(Event, frozen=True):
    """A worker has claimed the job. `attempt` is the attempt's number; a later one has a higher number."""

    type = "job.started"
    attempt: Annotated[int, Meta(description="The attempt's number: 1, or more if nobody answered the first call.")]
    worker: Annotated[str, Meta(description="The name of the worker process.")]


class JobProgress(Event, frozen=True):
    """Progress of something that takes long, such as the download of a model; `done` and `total` are in the unit that `text`
    names. With a `document_id` it concerns that document, else the whole job."""

    type = "job.progress"
    text: Annotated[str, Meta(description="What is in progress, for people.")]
    done: Annotated[int | None, Meta(description="How much is done, in the unit that `text` names.")] = None
    total: Annotated[int | None, Meta(description="The total, if known.")] = None
    document_id: Annotated[
        str | None, Meta(description="The document that this concerns; if absent, the whole job.")
    ] = None


class JobRestarted(Event, frozen=True):
    """An earlier attempt failed or was lost, and another one takes over. Discard the text after event `discard_after`; it is
    sent again."""

    type = "job.restarted"
    attempt: Annotated[int, Meta(description="The attempt that takes over.")]
    reason: Annotated[
        str,
        Meta(
            description="Why the previous attempt did not finish, as an error's code; `retried` if it ended and somebody asked "
            "for the job again."
        ),
    ]
    discard_after: Annotated[
        int,
        Meta(description="Discard all message and reasoning text after the event with this number; it is sent again."),
    ]
    worker: Annotated[str, Meta(description="The name of the worker process.")]


class AgentRouted(Event, frozen=True):
    """The agent and graph that will answer, and why they were chosen."""

    type = "agent.routed"
    agent: Annotated[str, Meta(description="The agent that will answer.")]
    graph: Annotated[str, Meta(description="The graph that it runs.")]
    reason: Annotated[str, Meta(description="Why this agent was chosen.")] = ""
    scores: Annotated[
        list[RoutingScore] | None,
        Meta(description="How likely the router found each agent, the likeliest first; none where an agent was named."),
    ] = None


class PlanCreated(Event, frozen=True):
    """The steps that a planning graph is going to take."""

    type = "plan.created"
    steps: Annotated[list[str], Meta(description="The planned steps, in order.")]


class ReasoningDelta(Event, frozen=True):
    """More of the model's reasoning, if it shows any. `signature` ends a thought that its provider has signed; it is all there
    is of one that the provider hides (`redacted`)."""

    type = "reasoning.delta"
    text: Annotated[str, Meta(description="Append this to the reasoning so far.")]
    signature: Annotated[str, Meta(description="The provider's signature of the thought that ends here.")] = ""
    redacted: Annotated[bool, Meta(description="Whether the thought is hidden: `signature` is all of it.")] = False


class ToolStarted(Event, frozen=True):
    """A tool call starts; `call_id` is unique in the job."""

    type = "tool.started"
    call_id: Annotated[str, Meta(description="The id of the call, unique in the job.")]
    name: Annotated[str, Meta(description="The tool.")]
    arguments: Annotated[dict[str, Any], Meta(description="The arguments of the call.")] = {}  # noqa: RUF012 -- copied


class ToolFinished(Event, frozen=True):
    """A tool call has ended; if it failed, `ok` is false and `output` says why."""

    type = "tool.finished"
    call_id: Annotated[str, Meta(description="The id of the call, as in `tool.started`.")]
    name: Annotated[str, Meta(description="The tool.")]
    ok: Annotated[bool, Meta(description="Whether the call succeeded.")]
    output: Annotated[str, Meta(description="What the tool returned, or why the call failed.")] = ""
    duration_ms: Annotated[int, Meta(description="How long the call took, in milliseconds.")] = 0


class CitationAdded(Event, frozen=True):
    """The answer is based on this passage, which it cites as [`number`]."""

    type = "citation.added"
    document_id: Annotated[str, Meta(description="The cited document.")]
    number: Annotated[int | None, Meta(description="The number that the answer cites it by, as in `[1]`.")] = None
    document: Annotated[str, Meta(description="The document's name.")] = ""
    chunk_id: Annotated[str, Meta(description="The cited passage's id.")] = ""
    page: Annotated[int | None, Meta(description="The page, where the document has pages.")] = None
    heading: Annotated[str | None, Meta(description="The headings above the passage.")] = None
    passage: Annotated[str, Meta(description="The text of the passage.")] = ""
    score: Annotated[float | None, Meta(description="How relevant the passage is, from 0 to 1.")] = None


class DocumentReady(Event, frozen=True):
    """A version of a document is searchable from now on. `embedded` of its `chunks` were newly embedded; the vectors of the
    others were known. `notes` say what was left out."""

    type = "document.ready"
    document_id: Annotated[str, Meta(description="The document.")]
    name: Annotated[str, Meta(description="The document's name.")]
    version: Annotated[int, Meta(description="The version that is searched from now on.")]
    chunks: Annotated[int, Meta(description="How many passages it has.")]
    embedded: Annotated[int, Meta(description="How many of them were newly embedded.")]
    pages: Annotated[int | None, Meta(description="How many pages it has, where it has pages.")] = None
    notes: Annotated[list[str], Meta(description="What was left out, for people.")] = []  # noqa: RUF012 -- copied


class DocumentFailed(Event, frozen=True):
    """A version of a document can't be made searchable, with the reason. An older version stays searchable."""

    type = "document.failed"
    document_id: Annotated[str, Meta(description="The document.")]
    name: Annotated[str, Meta(description="The document's name.")]
    version: Annotated[int, Meta(description="The version that could not be read.")]
    error: Annotated[Reason, Meta(description="Why it could not be read.")]


class BenchmarkIteration(Event, frozen=True):
    """A call of a model was measured. An attempt that takes over repeats those of earlier ones, with the same `place`."""

    type = "benchmark.iteration"
    model: Annotated[str, Meta(description="The model, as `provider/name`.")]
    place: Annotated[int, Meta(description="Place of the call in the benchmark, from 0; unique in the job.")]
    number: Annotated[int, Meta(description="Which of the model's calls it is, from 1.")]
    total_ms: Annotated[float, Meta(description="Milliseconds to the end of the answer.")]
    first_token_ms: Annotated[float | None, Meta(description="Milliseconds to the first token.")] = None
    tokens_per_second: Annotated[float | None, Meta(description="Speed between the first and the last token.")] = None
    input_tokens: Annotated[int, Meta(description="Tokens that were sent.")] = 0
    output_tokens: Annotated[int, Meta(description="Tokens that came back.")] = 0
    cost_usd: Annotated[float, Meta(description="What the call cost, in US dollars.")] = 0.0
    error: Annotated[Reason | None, Meta(description="Why the call failed, if it did.")] = None
    done: Annotated[int, Meta(description="How many calls have ended.")] = 0
    total: Annotated[int, Meta(description="How many there are.")] = 0


class BenchmarkItem(Event, frozen=True):
    """A question of a dataset was judged. An attempt that takes over repeats those of earlier ones, with the same `place`."""

    type = "benchmark.item"
    place: Annotated[int, Meta(description="Place of the question in the dataset, from 0; unique in the job.")]
    correct: Annotated[bool | None, Meta(description="Whether it came out right; null if nobody could tell.")] = None
    outcome: Annotated[dict[str, Any] | None, Meta(description="What was expected, and what came.")] = None
    done: Annotated[int, Meta(description="How many questions were judged.")] = 0
    total: Annotated[int, Meta(description="How many there are.")] = 0


class JobSucceeded(Event, frozen=True):
    """The job succeeded. This is the last event."""

    type = "job.succeeded"
    ends = True


class JobFailed(Event, frozen=True):
    """The job has no tries left, or failed in a way that a retry can't fix. This is the last event."""

    type = "job.failed"
    ends = True
    error: Annotated[Reason, Meta(description="Why the job failed.")]


class JobCancelled(Event, frozen=True):
    """The job was cancelled. This is the last event. `kept` says what became of the text so far."""

    type = "job.cancelled"
    ends = True
    kept: Annotated[
        CancelMode, Meta(description="What became of the text so far: `keep` stored it, `forget` removed it.")
    ] = "keep"


EVENTS: dict[str, type[Event]] = {
    event.type: event
    for event in (
        JobQueued,
        JobStarted,
        JobProgress,
        JobRestarted,
        AgentRouted,
        PlanCreated,
        MessageDelta,
        ChoiceDelta,
        ReasoningDelta,
        ToolStarted,
        ToolFinished,
        CitationAdded,
        DocumentReady,
        DocumentFailed,
        BenchmarkIteration,
        BenchmarkItem,
        MessageCompleted,
        UsageRecorded,
        JobSucceeded,
        JobFailed,
        JobCancelled,
    )
}

_encoder = msgspec.json.Encoder()
_decoders = {name: msgspec.json.Decoder(event) for name, event in EVENTS.items()}


class Frame(NamedTuple):
    """One event of a stream; `data` is its JSON."""

    seq: int
    type: str
    data: bytes


def timestamp(moment: datetime | None = None) -> str:
    """Return a UTC time as ISO 8601 with milliseconds."""
    moment = moment or datetime.now(UTC)
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def encode_frame(event: Event, job_id: UUID | str, seq: int, at: str) -> bytes:
    """Return `event` as one Server-Sent Events frame; JSON never contains a raw line break, so a frame can't be forged."""
    fields = _encoder.encode(event)
    fields = b"," + fields[1:] if fields != b"{}" else b"}"
    return b'id: %d\nevent: %s\ndata: {"job_id":"%s","seq":%d,"at":"%s"%s\n\n' % (
        seq,
        event.type.encode(),
        str(job_id).encode(),
        seq,
        at.encode(),
        fields,
    )


def split_frames(chunk: bytes) -> list[bytes]:
    """Return the frames of a chunk of whole frames, each with its blank line."""
    return [frame + b"\n\n" for frame in chunk.split(b"\n\n") if frame]


def frame_seq(frame: bytes) -> int:
    """Return the number of a frame."""
    return int(frame[4 : frame.index(b"\n")])


def read_frames(chunk: bytes) -> Iterator[Frame]:
    """Yield the frames of a chunk of whole frames, without comments and frames that have no number."""
    for raw in chunk.split(b"\n\n"):
        if raw.startswith(b"id: "):
            seq, name, data = raw.split(b"\n", 2)
            yield Frame(int(seq[4:]), name[7:].decode(), data[6:])


def decode_event(frame: Frame) -> Event:
    """Return the typed event of a frame, without `job_id`, `seq` and `at`."""
    return _decoders[frame.type].decode(frame.data)
