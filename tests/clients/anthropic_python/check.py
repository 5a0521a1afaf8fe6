"""Uses Anthropic's package for Python: answers, streams, thoughts, tools, an agent, batches, counts, models and errors."""

import os
from urllib.request import Request, urlopen
from uuid import UUID

import anthropic
from anthropic import beta_tool

WORDS = "water flows down the channel"
ORDER = 'CALL get_weather {"city": "Hanoi"}'
BATCHED = {"good": "openai/text-5", "bad": "nobody/none"}
SUM = 'CALL mathematics {"operation": "evaluate", "expression": "2+2"}'

client = anthropic.Anthropic(
    base_url=os.environ["HEADRACE_URL"], api_key=os.environ["HEADRACE_API_KEY"], max_retries=0, timeout=60
)
seen: list[str] = []


@beta_tool
def get_weather(city: str) -> str:
    """Return the weather of a city.

    Args:
        city: The city.
    """
    seen.append(city)
    return "rain"


def ask(model: str, said: str, **more: object) -> dict[str, object]:
    return {"model": model, "max_tokens": 3000, "messages": [{"role": "user", "content": said}], **more}


def check_answers() -> None:
    whole = client.messages.create(**ask("openai/text-5", "hi", system="Be brief."))
    assert (WORDS, "end_turn", 5) == (whole.content[0].text, whole.stop_reason, whole.usage.output_tokens), whole
    with client.messages.stream(**ask("openai/text-5", "hi")) as stream:
        pieces = list(stream.text_stream)
        assert WORDS == "".join(pieces) == stream.get_final_text()
    with client.messages.stream(**ask("openai/reasoning", "why?")) as stream:
        thought, said = stream.get_final_message().content
    assert ("thinking", "text") == (thought.type, said.type)
    assert thought.signature
    turns = [{"role": "user", "content": "why?"}, {"role": "assistant", "content": [thought, said]}]
    again = [*turns, {"role": "user", "content": "and?"}]
    assert client.messages.create(model="openai/text-5", max_tokens=9, messages=again).content[0].text == WORDS


def check_tools() -> None:
    final = client.beta.messages.tool_runner(**ask("openai/obedient", ORDER, tools=[get_weather])).until_done()
    assert ("DONE", ["Hanoi"]) == (final.content[0].text, seen), final
    runner = client.beta.messages.tool_runner(**ask("openai/obedient", ORDER, tools=[get_weather], stream=True))
    ends = [stream.get_final_message().stop_reason for stream in runner]
    assert (["tool_use", "end_turn"], ["Hanoi"] * 2) == (ends, seen)
    with client.messages.stream(**ask("agent/Clerk", SUM)) as stream:
        clerk = stream.get_final_message()
    assert ("DONE", "end_turn") == (clerk.content[-1].text, clerk.stop_reason), clerk


def check_batches() -> None:
    requests = [{"custom_id": name, "params": ask(model, "hi")} for name, model in BATCHED.items()]
    batch = client.messages.batches.create(requests=requests)
    events = f"{os.environ['HEADRACE_URL']}/api/jobs/{UUID(batch.id.removeprefix('msgbatch_'))}/events"
    followed = Request(events, headers={"Authorization": f"Bearer {client.api_key}"})
    assert b"job.succeeded" in urlopen(followed, timeout=120).read()
    assert "ended" == client.messages.batches.retrieve(batch.id).processing_status
    told = {one.custom_id: one.result for one in client.messages.batches.results(batch.id)}
    assert {"good": "succeeded", "bad": "errored"} == {name: result.type for name, result in told.items()}
    assert told["good"].message.content[0].text == WORDS
    assert batch.id in [one.id for one in client.messages.batches.list()]
    assert client.messages.batches.delete(batch.id).id == batch.id


def check_the_rest() -> None:
    counted = client.messages.count_tokens(model="openai/text-5", messages=[{"role": "user", "content": "hi " * 100}])
    assert 30 < counted.input_tokens < 300, counted
    names = [model.id for model in client.models.list(limit=2)]
    assert len(names) == len(set(names)) > 2
    assert "agent/Clerk" in names
    strangers = client.with_options(api_key="hr_wrong")
    assert {"not_found_error"} == {error_of(client, "openai/nobody", stream=streams) for streams in (False, True)}
    assert "authentication_error" == error_of(strangers, "openai/text-5")


def error_of(asked: anthropic.Anthropic, model: str, **more: object) -> str | None:
    try:
        asked.messages.create(**ask(model, "hi", **more))
    except anthropic.APIStatusError as error:
        return error.type if error.request_id else None
    return None


check_answers()
check_tools()
check_batches()
check_the_rest()
print("14 checks passed")
