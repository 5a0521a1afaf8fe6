"""The clients, a row each. One more is a row and a folder of its name with a `check.py` or `check.mjs`.

A check reads HEADRACE_URL and HEADRACE_API_KEY, uses the client as its documentation says, and ends with status 0. Its last
line of output is shown: how much it checked. What there is to talk to is in `stage.py`.
"""

import re
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Client:
    """A client: what it is called, what it is written in, its packages (the first names its version), what is checked, and how
    long that may take."""

    name: str
    language: Literal["python", "node"]
    packages: tuple[str, ...]
    checks: str
    timeout_s: int = 300

    @property
    def folder(self) -> str:
        """The folder of its check, which other versions of it share: `vercel_ai` of `vercel_ai@6`."""
        return self.name.partition("@")[0]

    @property
    def package(self) -> str:
        """The name of its first package, without the version that is asked for."""
        return re.sub(r"(?<=.)@.*", "", self.packages[0])


NODE = "node@24"
"""Newer packages need a newer Node than machines have; npm brings it along."""

AGENTS = "Runner.run, run_streamed, function tools, an agent, two turns"
LANGCHAIN = "ChatOpenAI(use_responses_api=True): tools, stream, conversation, an agent"
VERCEL = "generateText, streamText, tools in two steps, item references, an agent"
OPENAI = "responses: create, stream, retrieve with starting_after, cancel, delete, input items"
ANTHROPIC = (
    "messages: create, stream, thoughts, tools in two steps, an agent, batches (Python), count_tokens, models, errors"
)
LLM = "prompts streamed and not, a conversation that goes on, completions of texts"
LLAMA_INDEX = "chats, completions of texts, tools, FunctionAgent, embeddings, an index that is asked"
OPEN_WEBUI = "in Chromium: seven turns whose first is known, titles without the agent, a file, a stop (7 GB)"
WEBHOOKS = "1,000 webhooks verified, with both secrets while one is rotated; tampered and stale ones refused"

CLIENTS = (
    Client("openai_agents", "python", ("openai-agents",), AGENTS),
    Client("langchain_responses", "python", ("langchain-openai",), LANGCHAIN),
    Client("vercel_ai", "node", ("ai@7", "@ai-sdk/openai@4", "zod", NODE), VERCEL),
    Client("vercel_ai@6", "node", ("ai@6", "@ai-sdk/openai@3", "zod"), VERCEL),
    Client("openai_node", "node", ("openai@7", NODE), OPENAI),
    Client("standardwebhooks_node", "node", ("standardwebhooks@1",), WEBHOOKS),
    Client("openai_node@6", "node", ("openai@6",), OPENAI),
    Client("llm_cli", "python", ("llm",), LLM),
    Client(
        "llama_index",
        "python",
        ("llama-index-core", "llama-index-llms-openai-like", "llama-index-embeddings-openai-like"),
        LLAMA_INDEX,
    ),
    Client("anthropic_python", "python", ("anthropic",), ANTHROPIC),
    Client("open_webui", "python", ("open-webui", "playwright"), OPEN_WEBUI, timeout_s=1500),
    Client("anthropic_node", "node", ("@anthropic-ai/sdk@1", NODE), ANTHROPIC),
)
