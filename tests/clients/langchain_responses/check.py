"""Uses ChatOpenAI with `use_responses_api=True`: answers, streams, tools, conversations, and an agent of headrace."""

import os

from langchain_core.messages import HumanMessage, ToolMessage
from langchain_openai import ChatOpenAI
from pydantic import BaseModel, Field

WORDS = "water flows down the channel"


class GetWeather(BaseModel):
    """Return the weather of a city."""

    city: str = Field(description="The city.")


def model(name: str, **more: object) -> ChatOpenAI:
    url, key = f"{os.environ['HEADRACE_URL']}/v1", os.environ["HEADRACE_API_KEY"]
    return ChatOpenAI(model=name, base_url=url, api_key=key, use_responses_api=True, max_retries=0, **more)


def main() -> None:
    answer = model("openai/text-5").invoke("hi")
    assert answer.text == WORDS, answer
    assert answer.usage_metadata is not None
    assert answer.usage_metadata["output_tokens"] == 5

    chunks = list(model("openai/text-5").stream("hi"))
    assert "".join(chunk.text for chunk in chunks) == WORDS

    thoughts = list(model("openai/reasoning", reasoning={"summary": "auto"}).stream("why?"))
    assert any("reasoning" in str(chunk.content) for chunk in thoughts)

    bound = model("openai/obedient").bind_tools([GetWeather])
    history = [HumanMessage('CALL GetWeather {"city": "Hanoi"}')]
    called = bound.invoke(history)
    (call,) = called.tool_calls
    assert (call["name"], call["args"]) == ("GetWeather", {"city": "Hanoi"})
    final = bound.invoke([*history, called, ToolMessage("rain", tool_call_id=call["id"])])
    assert final.text == "DONE", final

    chained = model("openai/text-5", use_previous_response_id=True)
    first = chained.invoke("hi")
    assert chained.invoke([HumanMessage("hi"), first, HumanMessage("and?")]).text == WORDS

    clerk = model("agent/Clerk").invoke('CALL mathematics {"operation": "evaluate", "expression": "2+2"}')
    assert clerk.text == "DONE", clerk
    assert not clerk.tool_calls
    print("6 checks passed")


main()
