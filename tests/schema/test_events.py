"""Encoding of events as frames, and decoding."""

from uuid import UUID

import pytest

from schema import events
from schema.events import EVENTS, Event, decode_event, encode_frame, frame_seq, read_frames, split_frames

JOB = UUID("01900000-0000-7000-8000-000000000001")
AT = "2026-01-31T12:00:00.123Z"


def test_a_frame_is_a_valid_server_sent_event() -> None:
    frame = encode_frame(events.MessageDelta(text="Hi"), JOB, 7, AT)
    expected = f'id: 7\nevent: message.delta\ndata: {{"job_id":"{JOB}","seq":7,"at":"{AT}","text":"Hi"}}\n\n'
    assert expected == frame.decode()


def test_an_event_without_fields_is_valid_json() -> None:
    (frame,) = read_frames(encode_frame(events.JobSucceeded(), JOB, 1, AT))
    assert f'{{"job_id":"{JOB}","seq":1,"at":"{AT}"}}' == frame.data.decode()


@pytest.mark.parametrize("text", ["\n\nid: 9\nevent: job.succeeded\ndata: {}\n\n", "\r\n\r\n", "\u2028", "\x00", "é🌊"])
def test_text_cannot_forge_a_frame(text: str) -> None:
    (frame,) = read_frames(encode_frame(events.MessageDelta(text=text), JOB, 3, AT))
    assert events.MessageDelta(text=text) == decode_event(frame)


@pytest.mark.parametrize("event", EVENTS.values(), ids=lambda event: event.type)
def test_every_event_is_documented_and_named(event: type[Event]) -> None:
    assert event.__doc__
    assert event.type.count(".") == 1


def test_one_event_ends_a_job_in_each_way() -> None:
    assert {"job.succeeded", "job.failed", "job.cancelled"} == {e.type for e in EVENTS.values() if e.ends}


def test_frames_are_split_and_numbered() -> None:
    frames = [encode_frame(events.MessageDelta(text=str(n)), JOB, n, AT) for n in (1, 2, 3)]
    assert frames == split_frames(b"".join(frames))
    assert [1, 2, 3] == [frame_seq(frame) for frame in frames]


def test_comments_are_not_frames() -> None:
    frame = encode_frame(events.JobSucceeded(), JOB, 1, AT)
    assert [1] == [f.seq for f in read_frames(b": keep-alive\n\n" + frame)]
