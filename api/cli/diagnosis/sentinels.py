"""The sentinels that know Redis' master: whether each answers, whether they agree, and whether they could promote another."""

import asyncio
import os

from api.cli.diagnosis.findings import Finding
from workers.redis.address import RedisAddress, Sentinels
from workers.redis.connection import ReplyError
from workers.redis.sentinel import Place, ask, ask_sentinel

MIN_SENTINELS = 3
NOT_THERE = "Start it, or take it out of HEADRACE_REDIS_URL."


async def check_sentinels(address: RedisAddress) -> list[Finding]:
    """Ask each sentinel of an address."""
    known = address.sentinels
    assert known is not None
    asked = address.of_sentinels()
    answers = await asyncio.gather(*(_ask(each, address, known) for each in asked))
    found = [answer for answer in answers if isinstance(answer, Finding)]
    places = {answer for answer in answers if not isinstance(answer, Finding)}
    if len(places) > 1:
        named = " and ".join(sorted(f"{host}:{port}" for host, port in places))
        advice = "One of them is cut off from the others. Let all sentinels reach each other."
        found.append(Finding("sentinels", f"name different masters: {named}", advice))
    elif places:
        ((host, port),) = places
        found.append(
            Finding("sentinels", f"{len(asked) - len(found)} of {len(asked)} name {host}:{port} as the master")
        )
        found += await _could_promote(asked, known)
    if len(asked) < MIN_SENTINELS:
        advice = (
            "Where one is lost, the others must still be the majority: run three, on different machines, and name all."
        )
        found.append(Finding("sentinels", f"{len(asked)} in HEADRACE_REDIS_URL", advice, hint=True))
    return found


async def _ask(sentinel: RedisAddress, address: RedisAddress, known: Sentinels) -> Place | Finding:
    where = f"{sentinel.host}:{sentinel.port}"
    try:
        place = await ask_sentinel(sentinel, address)
    except ReplyError as error:
        return Finding("sentinel", f"{where} refuses: {error}", "Correct sentinel_password in HEADRACE_REDIS_URL.")
    except OSError as error:
        reason = os.strerror(error.errno).lower() if error.errno else "no answer in time"
        return Finding("sentinel", f"{where} can't be asked ({reason})", NOT_THERE)
    if place is None:
        advice = "Correct the name at the end of HEADRACE_REDIS_URL, or have the sentinels monitor it."
        return Finding("sentinel", f"{where} watches no master called {known.master_name}", advice)
    return place


async def _could_promote(asked: list[RedisAddress], known: Sentinels) -> list[Finding]:
    """Whether a failover would succeed, by what the first that answers says."""
    for sentinel in asked:
        try:
            (told,) = await ask(sentinel, ("SENTINEL", "MASTER", known.master_name))
            quorum = await _quorum(sentinel, known)
        except (OSError, ReplyError):
            continue
        facts = dict(zip(told[::2], told[1::2], strict=True))
        replicas = int(facts[b"num-slaves"])
        advice = "" if replicas else "Nothing could be promoted. Start a replica of the master."
        return [*quorum, Finding("sentinels", f"{replicas} replicas follow the master", advice)]
    return []


async def _quorum(sentinel: RedisAddress, known: Sentinels) -> list[Finding]:
    try:
        await ask(sentinel, ("SENTINEL", "CKQUORUM", known.master_name))
    except ReplyError as error:
        return [Finding("sentinels", f"could not promote another: {error}", "Start the sentinels that are missing.")]
    return [Finding("sentinels", "are enough to promote another")]
