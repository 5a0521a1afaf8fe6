"""Builds a complete answer in OpenAI's format from a job's events."""

from api.chat.await_answer import ANSWER_EVENTS, Answer
from api.http.openai_chunks import CompletionOut, completion_out
from schema.events import JobRestarted, MessageCompleted, ReasoningDelta, decode_event, read_frames
from workers.stream.follow import Follower

RELEVANT_EVENTS = ANSWER_EVENTS | {JobRestarted.type, ReasoningDelta.type}


async def collect_completion(follower: Follower, model: str) -> CompletionOut:
    """Follow a job to its end. Raises JobEnded if it fails or is cancelled."""
    answer = Answer(str(follower.job_id))
    reasoning_parts: list[tuple[int, str]] = []
    async with follower:
        async for chunk in follower.chunks(heartbeat_s=None):
            for frame in read_frames(chunk):
                if frame.type in RELEVANT_EVENTS:
                    event = decode_event(frame)
                    answer.add(event)
                    if isinstance(event, ReasoningDelta):
                        reasoning_parts.append((frame.seq, event.text))
                    elif isinstance(event, JobRestarted):
                        reasoning_parts = [part for part in reasoning_parts if part[0] <= event.discard_after]
    reasoning = "".join(text for _, text in reasoning_parts)
    return completion_out(follower.job_id, model, answer.message or MessageCompleted(text=""), answer.usage, reasoning)
