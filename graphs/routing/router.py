"""Decides which of a tenant's agents answers an utterance, or nobody, or that it must be asked.

    codes only                → the last agent, the only one who knows such codes, else a question
    an example says the same  → its agent: what was corrected once is right from then on
    words say it surely       → done, in a millisecond
    otherwise                 → meaning is asked too (a few ms more)
    vague, and nobody sure    → the last agent, else a question
    sure / nobody / unsure    → the agent / plain chat / `needs_model` with the two or three best, and a question

Several requests in one utterance are cut apart (`parts.py`) and become several intents where different agents are sure
of them. Works without an embedder, on words alone. Not for: calling a model (`asking.py`), nor an agent that the
request names: then nobody needs to be asked.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

import msgspec
import structlog

from graphs.language.clauses import split
from graphs.language.detection import Language, detect_language
from graphs.language.patterns import codes_in, mark_codes
from graphs.language.tokenization import LONGEST, read
from graphs.routing import ambiguity
from graphs.routing.candidate_set import CandidateSet, Judged
from graphs.routing.clarify import question
from graphs.routing.contract import Candidate, Context, Intent, Route, Scored
from graphs.routing.semantic import Embeds, Vectors
from schema.errors import HeadraceError
from schema.ttl_cache import TtlCache

KEPT_ITEMS = 20_000
"""Texts in the panels that are kept, the last used ones; about 8 KB each."""
WAITED_FOR = 32
"""Missing vectors for which a question waits; more are made in the background, and words decide until then."""

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Thresholds:
    """Probabilities. From `sure` on an agent takes it, unless another comes within `apart`; below `out` nobody does.
    Words alone decide from `plain` on; that nobody is meant they can't say. Something vague, or an
    afterthought, needs `vague`."""

    sure: float = 0.45
    apart: float = 0.1
    out: float = 0.35
    plain: float = 0.95
    vague: float = 0.97


class Router:
    """The panels of the sets of candidates that were seen last; one per process. Candidates come with each question:
    a changed agent or a new example is another set, and counts at once."""

    def __init__(self, embedder: Embeds | None = None, thresholds: Thresholds | None = None) -> None:
        self.thresholds = thresholds or Thresholds()
        self._vectors = Vectors(embedder) if embedder else None
        self._panels: TtlCache[tuple[Candidate, ...], CandidateSet] = TtlCache(
            KEPT_ITEMS, weigh=lambda panel: len(panel.items)
        )
        self._learning: dict[tuple[Candidate, ...], asyncio.Task[None]] = {}

    async def prepare(self, candidates: Sequence[Candidate]) -> None:
        """Make a set ready now, vectors included; for a start, or after agents were changed. Raises what the embedder
        raises."""
        await self._learn(await self._panel(tuple(candidates)))

    async def route(self, text: str, candidates: Sequence[Candidate], context: Context | None = None) -> Route:
        """The decision for one utterance among these candidates. Raises nothing of its own; an embedder that fails is
        logged, and words decide."""
        said, text, context = text, read(text), context or Context()
        language = _language(text, context)
        if not text or not any(c.name for c in candidates):
            return Route(None, 1.0, language, (), "nothing to choose from" if text else "empty")
        panel = await self._panel(tuple(candidates))
        if (asked := self._codes_only(panel, text, context, language)) is not None:
            return asked
        if (owner := panel.owner_of(text)) is not None:
            return _said_before(owner, said, language)
        parts = split(text) if len(said) <= LONGEST else ()  # what was cut off is nobody's part
        judged = await self._judge(tuple(candidates), panel, [text, *parts] if len(parts) > 1 else [text])
        if (several := self._several(judged[1:], language)) is not None:
            return several
        return _in_full(self._decide(judged[0], panel, context, language), said)

    def _codes_only(self, panel: CandidateSet, text: str, context: Context, language: Language) -> Route | None:
        """What is nothing but a number or a code: goes on with the last agent, or with the only one who knows such."""
        if not ambiguity.is_only_codes(text):
            return None
        agents = panel.agents
        if any(c.name == context.last_agent for c in agents):
            return _to(context.last_agent or "", 0.8, language, text, "goes on with the last agent")
        found = codes_in(mark_codes(text))
        knowing = [c for c, known in zip(agents, panel.lexical.codes, strict=False) if known & found]
        if len(knowing) == 1:
            return _to(knowing[0].name, 0.75, language, text, "only this agent knows such a code")
        return _ask(knowing[:3] or agents[:4], language, tuple(Scored(c.name, 1 / len(knowing)) for c in knowing[:3]))

    async def _judge(self, candidates: tuple[Candidate, ...], panel: CandidateSet, texts: list[str]) -> list[Judged]:
        judged = [panel.judge(text) for text in texts]
        unclear = [place for place, one in enumerate(judged) if not self._is_plain(one)]
        if self._vectors is None or not unclear or not await self._knows_meaning(candidates, panel):
            return judged
        try:
            spoken = await self._vectors.spoken([texts[place] for place in unclear])
        except HeadraceError as exc:
            log.warning("routing_embed_failed", code=exc.code)
            return judged
        for place, meaning in zip(unclear, spoken, strict=True):
            judged[place] = panel.judge(texts[place], meaning)
        return judged

    def _is_plain(self, one: Judged) -> bool:
        limits, first, second = self.thresholds, one.at(0), one.at(1)
        return first >= limits.plain and second <= 0.2

    def _is_sure(self, one: Judged) -> bool:
        return one.at(0) >= self.thresholds.sure and one.at(0) - one.at(1) >= self.thresholds.apart

    def _several(self, parts: Sequence[Judged], language: Language) -> Route | None:
        """Several intents, if different agents are sure of different parts; the other parts go with the one before."""
        intents: list[Intent] = []
        lead, sure = "", 1.0
        for part in parts:
            agent = part.best[0].agent if self._is_sure(part) else ""
            if agent:
                sure = min(sure, part.at(0))
            if intents and agent in ("", intents[-1].agent):
                intents[-1] = Intent(intents[-1].agent, f"{intents[-1].text}. {part.text}")
            elif agent:
                intents.append(Intent(agent, f"{lead}{part.text}"))
            else:
                lead = f"{lead}{part.text}. "
        if len(intents) < 2:
            return None
        return Route(intents[0].agent, sure, language, tuple(intents), f"{len(intents)} intents")

    def _decide(self, one: Judged, panel: CandidateSet, context: Context, language: Language) -> Route:
        limits, first, agents = self.thresholds, one.best[0], panel.agents
        is_vague = ambiguity.is_ambiguous(one.text) or one.vague > max(first.score, 2 * one.talk)
        last = next((c for c in agents if c.name == context.last_agent), None)
        leans = is_vague or (last is not None and ambiguity.is_afterthought(one.text))
        if self._is_sure(one) and (first.score >= limits.vague or not leans):
            return _to(first.agent, first.score, language, one.text, one.by, one.best)
        if last and (is_vague or ambiguity.follows_on(one.text, one.talk)):
            return _to(last.name, 0.7, language, one.text, "goes on with the last agent", one.best)
        if is_vague:
            return _ask(agents[:4], language, ())
        if first.score < limits.out:
            return Route(None, 1 - first.score, language, (), f"nobody's, by {one.by}", best=one.best[:3])
        return self._unsure(one, agents, language)

    def _unsure(self, one: Judged, agents: Sequence[Candidate], language: Language) -> Route:
        best = tuple(s for s in one.best[:3] if s.score >= self.thresholds.out / 2) or one.best[:1]
        by_name = {c.name: c for c in agents}
        asked = question([by_name[s.agent] for s in best[:2]], language)
        intents = (Intent(best[0].agent, one.text),)
        return Route(best[0].agent, best[0].score, language, intents, f"unsure, by {one.by}", True, asked, best)

    async def _panel(self, candidates: tuple[Candidate, ...]) -> CandidateSet:
        return await self._panels.load(candidates, lambda: asyncio.to_thread(CandidateSet, candidates))

    async def _knows_meaning(self, candidates: tuple[Candidate, ...], panel: CandidateSet) -> bool:
        """Whether vectors can be judged. Few missing ones are made now, many in the background."""
        if panel.knows_meaning or self._vectors is None:
            return panel.knows_meaning
        if (learning := self._learning.get(candidates)) is None:
            learning = self._learning[candidates] = asyncio.create_task(self._learn_quietly(panel))
            learning.add_done_callback(lambda _: self._learning.pop(candidates, None))
        if self._vectors.missing([item.text for item in panel.items]) <= WAITED_FOR:
            await asyncio.shield(learning)
        return panel.knows_meaning

    async def _learn_quietly(self, panel: CandidateSet) -> None:
        try:
            await self._learn(panel)
        except HeadraceError as exc:
            log.warning("routing_embed_failed", code=exc.code)

    async def _learn(self, panel: CandidateSet) -> None:
        if self._vectors and not panel.knows_meaning:
            await asyncio.to_thread(panel.learn_meaning, await self._vectors.of([item.text for item in panel.items]))


def _language(text: str, context: Context) -> Language:
    found = detect_language(text)
    wordless = ambiguity.is_only_codes(text) or not any(c.isalpha() for c in text)
    if wordless and context.last_messages:
        return detect_language(context.last_messages[-1])
    return found


def _said_before(owner: str, said: str, language: Language) -> Route:
    if not owner:
        return Route(None, 0.99, language, (), "nobody's, an example says the same")
    return _to(owner, 0.99, language, said, "an example says the same")


def _in_full(route: Route, said: str) -> Route:
    """One intent is all that was said, also what the router did not look at."""
    return msgspec.structs.replace(route, intents=tuple(Intent(one.agent, said) for one in route.intents))


def _to(agent: str, score: float, language: Language, text: str, reason: str, best: tuple[Scored, ...] = ()) -> Route:
    return Route(agent, score, language, (Intent(agent, text),), reason, best=best[:3])


def _ask(among: Sequence[Candidate], language: Language, best: tuple[Scored, ...]) -> Route:
    asked = question(among, language)
    return Route(None, 0.5, language, (), "does not say what it is about", clarify=asked, best=best)
