"""Builds a complete message in Anthropic's format from a job's events."""

from typing import Any

import msgspec

from api.anthropic.message_fold import message_id, stop_of, tool_use, usage_out
from api.anthropic.schemas import AssistantMessageOut
from api.anthropic.signatures import sign
from api.chat.await_answer import ANSWER_EVENTS, Answer
from graphs.providers.anthropic.thoughts import interleave, thought_blocks
from schema.events import JobRestarted, MessageCompleted, ReasoningDelta, decode_event, read_frames
from workers.stream.follow import Follower

RELEVANT_EVENTS = ANSWER_EVENTS | {JobRestarted.type, ReasoningDelta.type}
Json = dict[str, Any]


async def collect_message(follower: Follower, model: str, *, native: bool) -> AssistantMessageOut:
    """Follow a job to its end and return its message. Raises JobEnded if it fails or is cancelled."""
    answer, thoughts = Answer(str(follower.job_id)), list[tuple[int, str]]()
    async with follower:
        async for chunk in follower.chunks(heartbeat_s=None):
            for frame in read_frames(chunk):
                if frame.type not in RELEVANT_EVENTS:
                    continue
                event = decode_event(frame)
                answer.add(event)
                if isinstance(event, ReasoningDelta):
                    thoughts.append((frame.seq, event.text))
                elif isinstance(event, JobRestarted):
                    thoughts = [thought for thought in thoughts if thought[0] <= event.discard_after]
    message = answer.message or MessageCompleted(text="")
    return AssistantMessageOut(
        id=message_id(follower.job_id),
        model=answer.usage.model if answer.usage else model,
        content=_blocks(message, "".join(text for _, text in thoughts), model.partition("/")[0], native=native),
        usage=usage_out(answer.usage),
        **stop_of(message),
    )


def _blocks(message: MessageCompleted, thought: str, vendor: str, *, native: bool) -> list[Json]:
    calls = [{**tool_use(call, vendor), "input": _input(call)} for call in message.tool_calls or ()]
    if native and (signed := thought_blocks(message.extra or {})):
        return interleave(message.text, calls, signed)
    said = message.text if native else message.text + (message.refusal or "")
    thinking = [{"type": "thinking", "thinking": thought, "signature": sign(vendor)}] if thought else []
    return [*thinking, *([{"type": "text", "text": said}] if said else []), *calls]


def _input(call: Json) -> Json:
    """Return a call's arguments as an object, which clients expect; text that is none under a name of its own."""
    text = (call.get("function") or {}).get("arguments") or "{}"
    try:
        read = msgspec.json.decode(text)
    except msgspec.DecodeError:
        read = None
    return read if isinstance(read, dict) else {"arguments": text}
