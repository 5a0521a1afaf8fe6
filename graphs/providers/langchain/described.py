"""What the classes of the listed models say of themselves, for a process that calls none of them: the API lists models, and
says which options of a request have no effect.
"""

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import aclosing

import structlog

from graphs.providers.langchain.failures import error_from
from graphs.providers.langchain.frames import Call, Described, Failed
from graphs.providers.langchain.listing import LangChainModel
from graphs.providers.langchain.process import ModelProcess
from schema.errors import ProviderError

DESCRIBE_S = 120.0
"""The packages of all are imported, on a machine that starts other processes at the same time."""

log = structlog.get_logger(__name__)

_described: dict[str, Described] = {}
_broken: dict[str, str] = {}


def describe_listed_models(models: Sequence[LangChainModel], env: Mapping[str, str]) -> None:
    """Ask the classes, in one process that ends then; call it once, before the event loop starts. A model that can't be made is
    logged, and not listed."""
    _described.clear()
    _broken.clear()
    if models:
        _described.update(asyncio.run(_describe(models, ModelProcess(env))))


def described_model(name: str) -> Described | None:
    """Return what the class of `langchain/name` says; None if it wasn't asked."""
    return _described.get(name)


def broken_model(name: str) -> str:
    """Return why `langchain/name` can't be made, as a sentence; empty if it can, or wasn't asked."""
    return _broken.get(name, "")


async def _describe(models: Sequence[LangChainModel], process: ModelProcess) -> dict[str, Described]:
    found: dict[str, Described] = {}
    try:
        async with asyncio.timeout(DESCRIBE_S):
            for model in models:
                if (said := await _ask(process, model)) is not None:
                    found[model.name] = said
    except (TimeoutError, ProviderError) as error:
        log.error("langchain_models_refused", reason=type(error).__name__)
    finally:
        await process.close()
    return found


async def _ask(process: ModelProcess, model: LangChainModel) -> Described | None:
    async with aclosing(process.call(Call(0, model.name, model.made, "describe"))) as replies:
        reply = await anext(replies)
    if isinstance(reply, Described):
        return reply
    reason = error_from(reply, model, has_output=False).message if isinstance(reply, Failed) else "it answered oddly"
    _broken[model.name] = reason
    log.error("langchain_model_refused", model=model.name, class_name=model.made.class_name, reason=reason)
    return None
