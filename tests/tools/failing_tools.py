"""LangChain tools that fail, each in its own way."""

import socket
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

from langchain_core.tools import BaseTool, ToolException


class Failing(BaseTool):
    name: str = "failing"
    description: str = "Fails"

    def _run(self, how: str) -> Any:
        match how:
            case "its own":
                raise RuntimeError("the pump is off")
            case "type":
                raise TypeError("the pump has no handle")
            case "value":
                raise ValueError("no such pump")
            case "said":
                raise ToolException("name a pump")
            case "exit":
                sys.exit("the pump is gone")
            case "no cache":
                return _without_a_cache()
            case _:
                return {("a", "b"): 1}


def _without_a_cache() -> None:
    with suppress(OSError):
        Path("cache").mkdir()
    raise ValueError("no such pump")


class Calling(BaseTool):
    """Is refused a connection while it is made."""

    name: str = "calling"
    description: str = "Calls"

    def __init__(self) -> None:
        super().__init__()
        socket.create_connection(("127.0.0.1", 9))

    def _run(self) -> str:
        return ""


class Leaving(Calling):
    def __init__(self) -> None:
        sys.exit("no licence")


class Keyed(Failing):
    key: int
