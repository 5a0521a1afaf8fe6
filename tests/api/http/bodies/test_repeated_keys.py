"""A key that is there twice is refused by name, at any depth of a usual body and at the top of a large one."""

import json

import httpx
import pytest

from api.http.bodies.json_body import read_body
from api.http.bodies.repeated_keys import WHOLE_BYTES, reject_repeated_keys
from api.openai.schemas import CompletionIn
from schema.errors import InputError

LONG = "x" * WHOLE_BYTES


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ('{"message":"a","message":"b"}', "message"),
        ('{"message":"a","model":"m","m\\u0065ssage":"a"}', "message"),
        ('{"message":[{"type":"text","text":"a","text":"b"}]}', "text"),
        (f'{{"message":"a","model":"{LONG}","message":"b"}}', "message"),
    ],
)
async def test_a_repeated_key_is_refused_by_name(api: httpx.AsyncClient, body: str, field: str) -> None:
    answer = await api.post("/api/chat", content=body, headers={"Content-Type": "application/json"})
    if len(body) > WHOLE_BYTES:  # its model is too long as well
        with pytest.raises(InputError) as refused:
            reject_repeated_keys(body.encode())
        assert field == refused.value.field
        return
    problem = answer.json()
    assert (400, field) == (answer.status_code, problem["errors"][0]["field"])
    assert f"{field} is there twice in one object. Send each key once." == problem["detail"]


async def test_a_repeated_key_is_refused_under_v1(api: httpx.AsyncClient) -> None:
    body = '{"model":"a","model":"b","messages":[{"role":"user","content":"hi"}]}'
    answer = await api.post("/v1/chat/completions", content=body, headers={"Content-Type": "application/json"})
    assert (400, "model") == (answer.status_code, answer.json()["error"]["param"])


@pytest.mark.parametrize(
    "value",
    [
        {"a": {"b": 1}, "b": [{"b": 1}, {"b": 1}]},
        {"a": 1.5e300, "b": -0, "c": 10**4500, "d": None, "e": True, "f": "a:b"},
        [{"a": 1}, {"a": 1}],
        {str(number): LONG for number in range(2)},
    ],
)
def test_keys_of_different_objects_may_be_the_same(value: object) -> None:
    body = json.dumps(value) if not isinstance(value, dict) or "c" not in value else '{"c":' + "9" * 4500 + "}"
    reject_repeated_keys(body.encode())


def test_a_large_body_of_many_keys_is_refused_before_they_are_all_looked_at() -> None:
    body = b"{" + b",".join(b'"k%d":0' % number for number in range(100_000)) + b"}"
    with pytest.raises(InputError, match="more than 1,000 fields"):
        reject_repeated_keys(body)


def test_a_body_of_openai_s_shape_is_read_as_before() -> None:
    read = read_body(b'{"model":"auto","messages":[{"role":"user","content":"hi"}]}', CompletionIn)
    assert "auto" == read.model
