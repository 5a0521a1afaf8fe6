"""A response and its events, as a fold over the numbered events of its job.

Nothing else decides them: no clock, no reader's pace, no process. So whoever folds the same job gets the same bytes, live, when
resuming at another process, and after the end; `sequence_number` counts them from 0.

    job.queued       created, and queued or in_progress          job.succeeded    completed or incomplete
    *.delta          items of the output open and grow           job.failed       failed
    message.completed  the rest of the text; all items close     job.cancelled    incomplete, with the status cancelled

What a later attempt says again is swallowed, as in chat completions; where it differs, the response fails.
"""

from uuid import UUID

import msgspec

from api.http.vendor_formats.openai_chunks import answered_by
from api.openai.replay_dedup import ReplayDedup, ReplayMismatch
from api.openai.responses.call_items import FunctionCalls, ToolRuns
from api.openai.responses.event_writer import EventWriter
from api.openai.responses.failures import response_error
from api.openai.responses.message_items import MessageItems
from api.openai.responses.objects import (
    REPORTED,
    ConversationRefOut,
    IncompleteDetailsOut,
    ResponseErrorOut,
    ResponseOut,
    Status,
    response_id,
    unix_time,
    usage_out,
)
from api.openai.responses.reasoning_items import ReasoningItems
from api.openai.responses.stored_request import StoredRequest
from graphs.providers.answers.fields import records
from graphs.providers.extras import ITEM_PHASE
from graphs.providers.openai.annotations import ANNOTATIONS, flat
from schema.events import (
    CitationAdded,
    Event,
    Frame,
    JobCancelled,
    JobFailed,
    JobQueued,
    JobRestarted,
    JobStarted,
    JobSucceeded,
    MessageCompleted,
    MessageDelta,
    ReasoningDelta,
    ToolFinished,
    ToolStarted,
    UsageRecorded,
    decode_event,
)
from schema.sealed_reasoning import ReturnedReasoning, returned_reasoning

INCOMPLETE = {"length": "max_output_tokens", "content_filter": "content_filter"}
"""Why a model stopped early → what responses call it."""

RELEVANT_EVENTS = frozenset(
    event.type
    for event in (
        *(CitationAdded, JobCancelled, JobFailed, JobQueued, JobRestarted, JobStarted, JobSucceeded, MessageCompleted),
        *(MessageDelta, ReasoningDelta, ToolFinished, ToolStarted, UsageRecorded),
    )
)


class _Moment(msgspec.Struct):
    at: str


_read_moment = msgspec.json.Decoder(_Moment).decode


class ResponseFold:
    """One response. `status` is how far it is, `reason` why its job failed, `seq` the last event that was added."""

    def __init__(self, job_id: UUID, request: StoredRequest) -> None:
        self.job_id, self.request = job_id, request
        self.status: Status = "queued" if request.background else "in_progress"
        self.seq = 0
        self.failure: JobFailed | None = None
        self._writer = EventWriter(job_id)
        self._messages, self._reasoning = MessageItems(self._writer), ReasoningItems(self._writer)
        self._calls, self._tools = FunctionCalls(self._writer, request.namespaced), ToolRuns(self._writer)
        self._dedup = ReplayDedup()
        self._created_at = 0
        self._completed_at: int | None = None
        self._model = ""
        self._error: ResponseErrorOut | None = None
        self._incomplete: str | None = None
        self._completed = MessageCompleted(text="")
        self._usage: UsageRecorded | None = None
        self._thoughts: list[str] = []

    @property
    def ended(self) -> bool:
        """Whether the response has ended. Its job may go on: nobody is told what comes then."""
        return self.status not in ("queued", "in_progress")

    @property
    def job_ended(self) -> bool:
        """Whether the job has ended: it runs on where another attempt answered differently."""
        return self.ended and (self.status != "failed" or self.failure is not None)

    @property
    def number(self) -> int:
        """The `sequence_number` of the next event."""
        return self._writer.number

    def add(self, frame: Frame) -> list[bytes]:
        """Return the events that follow from the job's next one."""
        self.seq = frame.seq
        if self.ended or frame.type not in RELEVANT_EVENTS:
            return []
        try:
            self._apply(frame, decode_event(frame))
        except ReplayMismatch:
            message = "The answer was restarted and differs. Send the request again."
            self._fail(frame, ResponseErrorOut("stream_restarted", message))
        return self._writer.take()

    def tell_error(self, code: str, message: str) -> bytes:
        """Return an event that ends a stream early. It is not the response's: a stream that is opened later lacks it."""
        self._writer.tell("error", code=code, message=message, param=None)
        return b"".join(self._writer.take())

    def response(self) -> ResponseOut:
        """Return the response as it is now."""
        request = {name: getattr(self.request, name) for name in ECHOED}
        request |= {name: value for name in IF_SENT if (value := getattr(self.request, name)) is not None}
        if tier := self._completed.service_tier:
            request["service_tier"] = tier
        reported = self._completed.reported or {}
        return ResponseOut(
            **request,
            **{name: reported[name] for name in REPORTED if name in reported},
            id=response_id(self.job_id),
            created_at=self._created_at,
            completed_at=self._completed_at,
            status=self.status,
            error=self._error,
            incomplete_details=IncompleteDetailsOut(self._incomplete) if self._incomplete else None,
            model=answered_by(self._model, self._completed, self._usage),
            conversation=ConversationRefOut(self.request.conversation) if self.request.conversation else None,
            output=self._writer.items,
            usage=usage_out(self._usage, reported),
            notice=self._completed.notice or msgspec.UNSET,
        )

    def returned(self) -> ReturnedReasoning:
        """Return what goes back to the vendor with this response's messages."""
        return returned_reasoning(self._completed, "".join(self._thoughts), self._model.partition("/")[0])

    def _apply(self, frame: Frame, event: Event) -> None:
        match event:
            case MessageDelta():
                self._add_delta(frame.seq, event)
            case ReasoningDelta():
                self._add_reasoning(event)
            case ToolStarted():
                self._close_words()
                self._tools.start(event)
            case ToolFinished():
                self._tools.finish(event)
            case CitationAdded():
                self._messages.cite(event)
            case MessageCompleted():
                self._complete(event)
            case UsageRecorded():
                self._usage = event
            case JobQueued() | JobStarted() | JobRestarted():
                self._advance(frame, event)
            case JobSucceeded():
                self._succeed(frame)
            case JobFailed():
                self.failure = event
                self._fail(frame, response_error(event.error))
            case JobCancelled():
                self._end(frame, "cancelled", incomplete="cancelled")

    def _advance(self, frame: Frame, event: JobQueued | JobStarted | JobRestarted) -> None:
        if isinstance(event, JobQueued):
            self._created_at, self._model = unix_time(_read_moment(frame.data).at), event.model or ""
            self._tell("response.created")
            self._tell("response.queued" if self.request.background else "response.in_progress")
        elif self.status == "queued":
            self.status = "in_progress"
            self._tell("response.in_progress")
        if isinstance(event, JobRestarted):
            self._dedup.restart(event)

    def _add_delta(self, seq: int, event: MessageDelta) -> None:
        if event.text and (unsent := self._dedup.text(seq, event)):
            self._end_thought()
            self._messages.add_text(unsent)
        if event.refusal and (unsent := self._dedup.refusal(event)):
            self._end_thought()
            self._messages.add_refusal(unsent)
        if event.tool_calls:
            self._end_thought()
            if not self.request.seals_reasoning:
                self._messages.close()
            for piece in self._dedup.tool_calls(event):
                self._calls.add(piece)

    def _add_reasoning(self, event: ReasoningDelta) -> None:
        if unsent := self._dedup.reasoning(event):
            self._thoughts.append(unsent)
            self._messages.close()
            self._reasoning.add(unsent)

    def _complete(self, event: MessageCompleted) -> None:
        remaining = self._dedup.remaining_text(event)
        self._completed = event
        self._reasoning.close(event.sealed_reasoning if self.request.seals_reasoning else None)
        if remaining:
            self._messages.add_text(remaining)
        if event.refusal and (unsent := event.refusal.removeprefix(self._dedup.refused)):
            self._messages.add_refusal(unsent)
        for citation in event.citations or ():
            self._messages.cite(msgspec.convert(citation, CitationAdded))
        for annotation in records(event.extra, ANNOTATIONS):
            self._messages.annotate(flat(annotation))
        self._calls.add_whole(event.tool_calls or ())
        if not self._messages.said and not self._calls.made:
            self._messages.open_empty()
        if phase := (event.extra or {}).get(ITEM_PHASE):
            self._messages.set_phase(phase)
        self._messages.settle()
        self._close_all("incomplete" if event.finish_reason in INCOMPLETE else "completed")

    def _succeed(self, frame: Frame) -> None:
        incomplete = INCOMPLETE.get(self._completed.finish_reason)
        self._end(frame, "incomplete" if incomplete else "completed", incomplete=incomplete)

    def _fail(self, frame: Frame, error: ResponseErrorOut) -> None:
        self._error = error
        self._end(frame, "failed")

    def _end(self, frame: Frame, status: Status, *, incomplete: str | None = None) -> None:
        self._close_all("incomplete")
        self.status, self._incomplete = status, incomplete
        self._completed_at = unix_time(_read_moment(frame.data).at)
        # No SDK knows an event for cancelled responses, and some throw at one.
        self._tell("response.incomplete" if status == "cancelled" else f"response.{status}")

    def _end_thought(self) -> None:
        """End the reasoning before words or calls. Its item stays open where the blob that comes last belongs to it."""
        if self.request.seals_reasoning:
            self._reasoning.tell_text()
        else:
            self._reasoning.close()

    def _close_words(self) -> None:
        self._reasoning.close()
        self._messages.close()

    def _close_all(self, status: str) -> None:
        self._reasoning.close()
        self._messages.close(status)
        self._calls.close(status)
        self._tools.close()

    def _tell(self, kind: str) -> None:
        self._writer.tell(kind, response=self.response())


IF_SENT = frozenset({"prompt_cache_options", "prompt_cache_retention"})
ECHOED = (frozenset(StoredRequest.__struct_fields__) & frozenset(ResponseOut.__struct_fields__)) - {
    "conversation",
    *IF_SENT,
}
