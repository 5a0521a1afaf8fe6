"""The file of a batch: what is wrong with it is said by line, and nothing else of it is touched."""

import json
from pathlib import Path
from typing import Any

import pytest

from workers.batches import lines
from workers.batches.lines import LineError, check_file, read_lines

CHAT = "/v1/chat/completions"
GOOD: dict[str, Any] = {"custom_id": "a", "method": "POST", "url": CHAT, "body": {"model": "m"}}


def kept(folder: Path, *said: dict[str, Any] | bytes) -> Path:
    """A file with these lines."""
    path = folder / "requests.jsonl"
    path.write_bytes(b"\n".join(one if isinstance(one, bytes) else json.dumps(one).encode() for one in said))
    return path


@pytest.mark.parametrize(
    ("said", "code", "param"),
    [
        (b"{", "invalid_json_line", None),
        (b"[]", "invalid_json_line", None),
        (b'{"custom_id": "\xff"}', "invalid_json_line", None),
        ({**GOOD, "custom_id": None}, "missing_required_parameter", "custom_id"),
        ({**GOOD, "custom_id": 7}, "invalid_custom_id", "custom_id"),
        ({**GOOD, "custom_id": "x\0"}, "invalid_custom_id", "custom_id"),
        ({**GOOD, "custom_id": "first"}, "duplicate_custom_id", "custom_id"),
        ({**GOOD, "method": "GET"}, "invalid_method", "method"),
        ({**GOOD, "url": "/v1/embeddings"}, "mismatched_endpoint", "url"),
        ({**GOOD, "colour": "red"}, "unknown_parameter", "colour"),
        (json.dumps(GOOD).replace("{", '{"custom_id": "b", ', 1).encode(), "repeated_parameter", "custom_id"),
        (json.dumps(GOOD)[:-1].encode() + b', "body": {"model": "n"}}', "repeated_parameter", "body"),
        (b"{" + b", ".join(b'"k%d": 1' % n for n in range(1001)) + b"}", "unknown_parameter", None),
        ({**GOOD, "body": []}, "invalid_body", "body"),
        ({name: value for name, value in GOOD.items() if name != "body"}, "invalid_body", "body"),
        ({**GOOD, "body": {"stream": True}}, "invalid_body", "body.stream"),
        ({**GOOD, "body": {"background": True}}, "invalid_body", "body.background"),
    ],
)
def test_a_line_that_is_wrong_is_named(
    tmp_path: Path, said: dict[str, Any] | bytes, code: str, param: str | None
) -> None:
    total, (error,) = check_file(kept(tmp_path, {**GOOD, "custom_id": "first"}, b"", said, GOOD), CHAT)
    assert (3, code, 3, param) == (total, error.code, error.line, error.param)


def test_a_body_stays_as_it_was_sent(tmp_path: Path) -> None:
    body = b'{"z": 1.0,  "a": [1e400, "\xe1\xba\xbf"]}'
    said = b'{"body": %s, "custom_id": "a", "url": "%s", "method": "POST"}' % (body, CHAT.encode())
    path = kept(tmp_path, b"\xef\xbb\xbf" + said, b"", said.replace(b'"a",', b'"b",'))
    assert (2, []) == check_file(path, CHAT)
    pages = list(read_lines(path, CHAT, at_once=1))
    assert [(1, "a", body.decode()), (3, "b", body.decode())] == [(o.place, o.custom_id, o.body) for (o,) in pages]


def test_a_file_without_requests_or_with_too_many_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert ["empty_file"] == [error.code for error in check_file(kept(tmp_path, b" ", b""), CHAT)[1]]
    monkeypatch.setattr(lines, "MAX_LINES", 2)
    many = kept(tmp_path, *({**GOOD, "custom_id": str(n)} for n in range(3)))
    assert [("too_many_requests", 3)] == [(error.code, error.line) for error in check_file(many, CHAT)[1]]
    monkeypatch.setattr(lines, "MAX_LINE_BYTES", 200)
    long = kept(tmp_path, {**GOOD, "body": {"x": "y" * 500}}, {**GOOD, "custom_id": "b"})
    assert (2, [LineError("line_too_long", "A line has at most 200 bytes.", 1)]) == check_file(long, CHAT)
