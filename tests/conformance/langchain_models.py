"""Models of LangChain's own packages that call the counterparts: any name is one, as the counterparts have it."""

from collections.abc import Iterator, Mapping
from typing import Any

from graphs.providers.contract import ProviderTimeouts
from graphs.providers.langchain.listing import LangChainModel
from graphs.providers.langchain.process import ModelProcess
from graphs.providers.langchain.provider import LangChain
from tests.counterparts.http_server import CounterpartServer
from tests.counterparts.ollama_server import OllamaServer
from tests.counterparts.openai.server import OpenAIServer
from tools.langchain.child import ClassCall

EMBEDDER = "embedder"


def made_for(server: CounterpartServer, name: str, **arguments: Any) -> ClassCall:
    """Return the class that calls a counterpart for a model, or to embed."""
    model = "text-1" if name == EMBEDDER else name
    if isinstance(server, OpenAIServer):
        given = {"model": model, "base_url": server.base_url, "api_key": "k", **arguments}
        if name == EMBEDDER:
            return ClassCall("langchain_openai:OpenAIEmbeddings", {**given, "check_embedding_ctx_length": False})
        return ClassCall("langchain_openai:ChatOpenAI", given)
    assert isinstance(server, OllamaServer)
    class_name = "OllamaEmbeddings" if name == EMBEDDER else "ChatOllama"
    return ClassCall(f"langchain_ollama:{class_name}", {"model": model, "base_url": server.url, **arguments})


class EveryModel(Mapping[str, LangChainModel]):
    """A list with every name on it."""

    def __init__(self, server: CounterpartServer) -> None:
        self._server = server

    def __getitem__(self, name: str) -> LangChainModel:
        return LangChainModel(name, made_for(self._server, name))

    def __iter__(self) -> Iterator[str]:
        return iter(["text-100", EMBEDDER])

    def __len__(self) -> int:
        return 2


class SharedProcess:
    """One process for the tests of a file, which import a package once."""

    def __init__(self) -> None:
        self._process: ModelProcess | None = None

    def provider(self, server: CounterpartServer, timeouts: ProviderTimeouts) -> LangChain:
        """Return the provider of all models of a counterpart."""
        if self._process is None:
            self._process = ModelProcess()
        return LangChain(EveryModel(server), timeouts=timeouts, process=self._process)

    async def close(self) -> None:
        """End the process."""
        if self._process is not None:
            await self._process.close()
            self._process = None
