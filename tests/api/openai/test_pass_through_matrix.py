"""Every parameter of the `openai` package's methods, and what the model server gets of it: nothing is dropped in silence."""

import inspect
import json
from functools import reduce
from pathlib import Path
from typing import Any
from uuid import uuid4

import openai
import pytest
from openai import AsyncOpenAI

from tests.api.conftest import Running
from tests.api.openai.pass_through import CONVERSATION, FILE, ITEMS, METHODS, RESPONSE, SAID, TRANSPORT, Row

ROOT = Path(__file__).parents[3]
CASES = [(method, name) for method, rows in METHODS.items() for name in rows]
BASES: dict[str, dict[str, Any]] = {
    "chat.completions.create": {"model": "openai/text-1", "messages": [{"role": "user", "content": SAID}]},
    "embeddings.create": {"model": "openai/text-embedding-3-small", "input": SAID},
    "responses.create": {"model": "openai/text-1", "input": SAID},
    "completions.create": {"model": "openai/text-1", "prompt": SAID},
    "batches.create": {"completion_window": "24h", "endpoint": "/v1/embeddings", "input_file_id": FILE},
    "conversations.create": {},
    "conversations.items.create": {"conversation_id": CONVERSATION, "items": ITEMS},
}


def method_of(sdk: Any, name: str) -> Any:
    return reduce(getattr, name.split("."), sdk)


def parameters(name: str) -> set[str]:
    """The parameters that the installed package's method has."""
    return set(inspect.signature(method_of(AsyncOpenAI(api_key="k"), name)).parameters) - TRANSPORT


@pytest.mark.parametrize("method", METHODS)
def test_each_parameter_of_the_package_is_decided_about(method: str) -> None:
    rows = METHODS[method]
    assert set() == parameters(method) - rows.keys()
    assert [] == [name for name, row in rows.items() if (row.kind == "same") == bool(row.why)]


def test_each_deviation_is_documented() -> None:
    """After a change, write them anew with `python -m tests.api.openai.test_pass_through_matrix`."""
    assert deviations() in (ROOT / "docs" / "api.md").read_text()


def deviations() -> str:
    """The table of `docs/api.md`."""
    lines = ["| method | parameter | what becomes of it |", "|---|---|---|"]
    words = {"becomes": "changed", "here": "honoured here", "named": "ignored, and named", "refused": "refused"}
    lines += [
        f"| `{method}` | `{name}` | {words[row.kind]}: {row.why} |"
        for method, rows in METHODS.items()
        for name, row in rows.items()
        if row.kind != "same"
    ]
    return "\n".join(lines) + "\n"


def with_said(value: Any, said: str) -> Any:
    return json.loads(json.dumps(value).replace(SAID, said))


async def send(running: Running, method: str, name: str, row: Row, said: str) -> dict[str, str]:
    """Send one request with the parameter and return the headers of its answer."""
    base = with_said(BASES[method] | (row.needs or {}) | {name: row.sent}, said)
    known = parameters(method)
    body = {key: value for key, value in base.items() if key in known}
    more = {key: value for key, value in base.items() if key not in known}  # of a newer package than this one
    async with AsyncOpenAI(base_url=f"{running.url}/v1", api_key=running.tenant.key, max_retries=0) as sdk:
        body = await with_ids(sdk, body)
        owner, _, verb = method.rpartition(".")
        raw = getattr(method_of(sdk, owner).with_raw_response, verb)
        answer = await raw(**body, **({"extra_body": more} if more else {}))
        if body.get("stream"):
            async for _ in answer.parse():
                pass
        return dict(answer.headers)


async def with_ids(sdk: AsyncOpenAI, body: dict[str, Any]) -> dict[str, Any]:
    """Put ids of what was made for this into a request."""
    if FILE in body.values():
        made = await sdk.files.create(file=("a.jsonl", b"{}\n"), purpose="batch")
        return body | {"input_file_id": made.id}
    made = dict[str, str]()
    if CONVERSATION in body.values():
        made[CONVERSATION] = (await sdk.conversations.create()).id
    if RESPONSE in body.values():
        made[RESPONSE] = (await sdk.responses.create(model="openai/text-1", input="hi")).id
    return {name: made.get(value, value) if isinstance(value, str) else value for name, value in body.items()}


def arrived(running: Running, said: str) -> dict[str, Any]:
    return next(record.body for record in reversed(running.models.requests) if said in json.dumps(record.body))


def is_embedding(record: Any) -> bool:
    return record.path.endswith("/embeddings")


@pytest.mark.parametrize(("method", "name"), CASES, ids=lambda value: value)
async def test_a_parameter_arrives_or_its_deviation_is_told(running: Running, method: str, name: str) -> None:
    row, said = METHODS[method][name], f"said {uuid4()}"
    if row.kind == "refused":
        with pytest.raises((openai.BadRequestError, openai.NotFoundError)) as raised:
            await send(running, method, name, row, said)
        assert name in (raised.value.param or "")
        return
    headers = await send(running, method, name, row, said)
    told = [one.strip() for one in headers.get("x-headrace-ignored", "").split(",") if one]
    assert (name in told) == (row.kind == "named"), told
    if row.kind in ("same", "becomes"):
        if method == "embeddings.create":
            body = next(record.body for record in reversed(running.models.requests) if is_embedding(record))
        else:
            body = arrived(running, said)
        expected = with_said({name: row.sent} if row.kind == "same" else row.arrives, said)
        first = expected.pop("first", None)
        assert expected == {key: body.get(key) for key in expected}
        assert first in (None, body.get("messages", [None])[0])
        assert json.dumps(expected) == json.dumps({key: body.get(key) for key in expected})  # in the same order


async def test_what_the_package_doesnt_know_passes_on_in_its_order(running: Running) -> None:
    said, more = str(uuid4()), {"top_k": 5, "chat_template_kwargs": {"enable_thinking": False, "a": 1}}
    async with AsyncOpenAI(base_url=f"{running.url}/v1", api_key=running.tenant.key) as sdk:
        messages: Any = [{"role": "user", "content": said}]
        await sdk.chat.completions.create(model="openai/text-1", messages=messages, extra_body=more)
    body = arrived(running, said)
    assert json.dumps(more) == json.dumps({name: body.get(name) for name in more})


if __name__ == "__main__":
    page = ROOT / "docs" / "api.md"
    lines = page.read_text().splitlines(keepends=True)
    start = next(i for i, line in enumerate(lines) if line.startswith("| method | parameter |"))
    end = next(i for i in range(start, len(lines)) if not lines[i].startswith("|"))
    page.write_text("".join([*lines[:start], deviations(), *lines[end:]]))
