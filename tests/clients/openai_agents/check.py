"""Runs agents of openai-agents over headrace: function tools, streams, conversations, and an agent of headrace."""

import asyncio
import os

from agents import (
    Agent,
    OpenAIConversationsSession,
    OpenAIResponsesModel,
    Runner,
    function_tool,
    set_tracing_disabled,
)
from openai import AsyncOpenAI

CALL = 'CALL get_weather {"city": "Hanoi"}'
SUM = 'CALL mathematics {"operation": "evaluate", "expression": "2+2"}'
asked: list[str] = []


@function_tool
def get_weather(city: str) -> str:
    """Return the weather of a city."""
    asked.append(city)
    return "rain"


def agent(client: AsyncOpenAI, model: str, **more: object) -> Agent:
    return Agent(
        name="checker", instructions="Help.", model=OpenAIResponsesModel(model=model, openai_client=client), **more
    )


async def main() -> None:
    set_tracing_disabled(True)
    url, key = f"{os.environ['HEADRACE_URL']}/v1", os.environ["HEADRACE_API_KEY"]
    async with AsyncOpenAI(base_url=url, api_key=key, max_retries=0) as client:
        caller = agent(client, "openai/obedient", tools=[get_weather])
        result = await Runner.run(caller, CALL)
        assert (result.final_output, asked) == ("DONE", ["Hanoi"]), (result.final_output, asked)

        streamed = Runner.run_streamed(caller, CALL)
        kinds = [event.type async for event in streamed.stream_events()]
        assert (streamed.final_output, asked) == ("DONE", ["Hanoi", "Hanoi"])
        assert {"raw_response_event", "run_item_stream_event"} <= set(kinds)

        talker = agent(client, "openai/text-5")
        first = await Runner.run(talker, "hi")
        second = await Runner.run(talker, "and?", previous_response_id=first.last_response_id)
        third = await Runner.run(talker, [*second.to_input_list(), {"role": "user", "content": "more"}])
        assert first.final_output == second.final_output == third.final_output == "water flows down the channel"

        thinker = Runner.run_streamed(agent(client, "openai/reasoning"), "why?")
        thoughts = [event async for event in thinker.stream_events() if "reasoning" in str(event)]
        assert thinker.final_output == "water flows down the channel"
        assert thoughts

        clerk = await Runner.run(agent(client, "agent/Clerk"), SUM)
        kinds = [item.type for response in clerk.raw_responses for item in response.output]
        assert clerk.final_output == "DONE", clerk.final_output
        assert "mcp_call" in kinds, kinds

        session = OpenAIConversationsSession(openai_client=client)
        for said in ("hi", "and?"):
            again = await Runner.run(talker, said, session=session)
            assert again.final_output == "water flows down the channel"
        kept = await session.get_items()
        assert [item["role"] for item in kept] == ["user", "assistant"] * 2, kept
        popped = await session.pop_item()
        assert popped is not None
        assert popped["role"] == "assistant"
        assert len(await session.get_items()) == 3
        asked.clear()
        called = await Runner.run(caller, CALL, session=session)
        assert (called.final_output, asked) == ("DONE", ["Hanoi"]), called.final_output
        await session.clear_session()
    print("6 checks passed")


asyncio.run(main())
