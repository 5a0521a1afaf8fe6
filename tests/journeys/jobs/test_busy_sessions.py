"""A second message while the first is being answered: `on_busy` says what becomes of both."""

from tests.counterparts.behaviours import text
from tests.journeys.client import Client, Stream, event_types

LONG = "text-90-at-60"


async def begin(client: Client, model: str = LONG) -> tuple[Stream, str]:
    """Begin a conversation and return its stream in the middle, and its session."""
    stream = await client.ask(model, "First.")
    await stream.until("message.delta", 5)
    return stream, stream.events[0].data["session_id"]


async def test_a_queued_message_waits_for_the_one_before_it(client: Client):
    stream, session_id = await begin(client)
    second = await client.submit("text-5", "Second.", session_id=session_id)
    assert "session" == (await client.job(second["job_id"]))["waiting_for"]
    await stream.rest()
    await client.ended(second["job_id"])

    assert [
        ("user", "First."), ("assistant", text(90)), ("user", "Second."), ("assistant", text(5)),
    ] == await client.said(session_id)  # fmt: skip


async def test_a_rejected_message_leaves_no_trace(client: Client):
    stream, session_id = await begin(client)
    body = {"message": "Second.", "model": "openai/text-5", "session_id": session_id, "on_busy": "reject"}

    status, said = await client.post("/api/chat", body)

    assert (409, "session_busy") == (status, said["code"])
    await stream.rest()
    assert [("user", "First."), ("assistant", text(90))] == await client.said(session_id)


async def test_an_interrupted_answer_is_kept_as_far_as_it_was_said(client: Client):
    stream, session_id = await begin(client, "text-6000-at-60")
    second = await client.submit("text-5", "Second.", session_id=session_id, on_busy="interrupt")
    events = await stream.rest()
    await client.ended(second["job_id"])

    assert "job.cancelled" == events[-1].type
    said = await client.said(session_id)
    assert [("user", "First."), ("user", "Second."), ("assistant", text(5))] == [said[0], *said[2:]]
    assert said[1][0] == "assistant"
    assert text(6000).startswith(said[1][1])


async def test_a_rolled_back_turn_is_forgotten(client: Client):
    stream, session_id = await begin(client, "text-6000-at-60")
    second = await client.submit("text-5", "Second.", session_id=session_id, on_busy="rollback")
    events = await stream.rest()
    await client.ended(second["job_id"])

    assert "job.cancelled" == event_types(events)[-1]
    assert [("user", "Second."), ("assistant", text(5))] == await client.said(session_id)


async def test_many_messages_to_one_session_are_answered_one_after_the_other(client: Client):
    stream, session_id = await begin(client, "text-30-at-60")
    jobs = [await client.submit("text-5", f"Number {n}.", session_id=session_id) for n in range(8)]
    await stream.rest()
    for job in jobs:
        await client.ended(job["job_id"])

    said = await client.said(session_id)
    assert ["user", "assistant"] * 9 == [role for role, _ in said]
    assert [f"Number {n}." for n in range(8)] == [words for _, words in said[2::2]]
