"""LlamaIndex with headrace as an OpenAI-like server: chats and completions of texts, streamed and not, tools, an agent of
LlamaIndex that calls them, embeddings, and an answer from an index of documents."""

import asyncio
import os

from llama_index.core import Document, Settings, VectorStoreIndex
from llama_index.core.agent.workflow import FunctionAgent
from llama_index.core.llms import ChatMessage
from llama_index.core.tools import FunctionTool
from llama_index.embeddings.openai_like import OpenAILikeEmbedding
from llama_index.llms.openai_like import OpenAILike

URL, KEY = f"{os.environ['HEADRACE_URL']}/v1", os.environ["HEADRACE_API_KEY"]
WORDS = "water flows down the channel"


def model(name: str, **more: object) -> OpenAILike:
    return OpenAILike(model=name, api_base=URL, api_key=KEY, max_retries=0, timeout=100, is_chat_model=True, **more)


def get_weather(city: str) -> str:
    """Return the weather of a city."""
    return f"rain in {city}"


async def call_tools() -> None:
    weather = FunctionTool.from_defaults(get_weather)
    obedient = model("openai/obedient", is_function_calling_model=True)
    answer = obedient.chat_with_tools([weather], user_msg='CALL get_weather {"city": "Hanoi"}')
    (call,) = obedient.get_tool_calls_from_response(answer)
    assert (call.tool_name, call.tool_kwargs) == ("get_weather", {"city": "Hanoi"}), call

    for streaming in (True, False):
        agent = FunctionAgent(tools=[weather], llm=obedient, streaming=streaming)
        told = await agent.run('CALL get_weather {"city": "Hanoi"}')
        assert str(told) == "DONE", told
        assert "rain in Hanoi" in str(told.tool_calls[0].tool_output), told.tool_calls


def main() -> None:
    spoken = model("openai/text-5")
    said = [ChatMessage(role="system", content="Be brief."), ChatMessage(role="user", content="hi")]
    assert spoken.chat(said).message.content == WORDS
    assert "".join(part.delta or "" for part in spoken.stream_chat(said)) == WORDS

    written = OpenAILike(model="openai/text-4", api_base=URL, api_key=KEY, max_retries=0, is_chat_model=False)
    assert written.complete("Once upon").text == "water flows down the"
    assert "".join(part.delta or "" for part in written.stream_complete("Once upon")) == "water flows down the"

    asyncio.run(call_tools())

    clerk = model("agent/Clerk").complete('CALL mathematics {"operation": "evaluate", "expression": "2+2"}')
    assert clerk.text == "DONE", clerk

    Settings.llm = spoken
    Settings.embed_model = OpenAILikeEmbedding(model_name="minilm", api_base=URL, api_key=KEY, max_retries=0)
    index = VectorStoreIndex.from_documents([Document(text="The gate is green."), Document(text="Mills grind corn.")])
    found = index.as_query_engine(similarity_top_k=1).query("Which colour has the gate?")
    assert str(found) == WORDS, found
    assert found.source_nodes[0].text == "The gate is green.", found.source_nodes
    print("9 checks passed")


main()
