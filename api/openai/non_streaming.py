"""A whole answer in OpenAI's shape, put together from a job's events."""

from api.chat.await_answer import TELLING, Answer
from api.http.openai_chunks import CompletionOut, completion_out
from schema.events import JobRestarted, MessageCompleted, ReasoningDelta, decode_event, read_frames
from workers.stream.follow import Follower

HEARD = TELLING | {JobRestarted.type, ReasoningDelta.type}


async def collect_completion(follower: Follower, model: str) -> CompletionOut:
    """Follow a job to its end. Raises JobEnded when it fails or is cancelled."""
    answer = Answer(str(follower.job_id))
    thoughts: list[tuple[int, str]] = []
    async with follower:
        async for chunk in follower.chunks(heartbeat_s=None):
            for frame in read_frames(chunk):
                if frame.type in HEARD:
                    event = decode_event(frame)
                    answer.take(event)
                    if isinstance(event, ReasoningDelta):
                        thoughts.append((frame.seq, event.text))
                    elif isinstance(event, JobRestarted):
                        thoughts = [thought for thought in thoughts if thought[0] <= event.discard_after]
    reasoning = "".join(text for _, text in thoughts)
    return completion_out(follower.job_id, model, answer.message or MessageCompleted(text=""), answer.usage, reasoning)
