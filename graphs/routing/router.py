"""Decides which of a tenant's agents answers an utterance, or none, or whether the user must be asked.

    only codes                → the last agent, or the only one with such codes, else a question
    same as an example        → its agent: a route that was corrected once stays right
    what is asked for         → what is told beside it, or said not to be wanted, is left out (`language/foreground.py`)
    several requests          → several intents, if different agents are likely for them
    vague                     → a question
    clear at a glance         → that agent, or plain chat, by the vectors of its words, without the embedder
    sure                      → that agent, or plain chat
    not sure                  → `needs_model` with the best two or three, and a question

Probabilities come from the frame (`frames.py`) and the topic (`scoring.py`). Works without an embedder, on words alone. Not
for: calling a model (`clarify.py`), or requests that name an agent.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import msgspec
import structlog

from graphs.language.detection import Language, detect_language
from graphs.language.foreground import requests_in
from graphs.language.patterns import codes_in
from graphs.language.tokenization import MAX_UTTERANCE_CHARS, clean_utterance
from graphs.routing import ambiguity
from graphs.routing.candidate_set import CandidateSet, Prediction
from graphs.routing.clarify import Choices, clarifying_question
from graphs.routing.classifiers import Array
from graphs.routing.contract import Candidate, Context, Intent, Route, Scored
from graphs.routing.fitted import Fitted
from graphs.routing.scoring import confidence
from graphs.routing.semantic import TextEmbedder, VectorCache, VectorStore, WordVectorEmbedder, word_vectors_of
from schema.errors import HeadraceError
from schema.ttl_cache import TtlCache

MAX_CACHED_ITEMS = 20_000
"""Texts in the cached candidate sets, the most recently used ones; about 8 KB each."""
MAX_CHOICES = 3
MAX_CHOOSERS, MAX_CHOSEN, CHOSEN_S = 64, 200, 3600.0
"""What models have chosen where the router was unsure: of so many tenants' models, so many questions of the last hour."""
MAX_LIKENED = 512
"""Descriptions of tools whose words' vectors are remembered."""
MAX_LOOKED_BACK = 3
"""Earlier messages that are routed to find who answered, where nobody says it."""
VECTORS_WAIT_S = 0.3
"""How long a question waits for the vectors of its agents' texts: as long as a new process reads those that are kept. Texts
that nobody has embedded take longer (20 ms each, idle); until they are there, the vectors of words decide."""

log = structlog.get_logger(__name__)


CONTINUED = "The message continues the conversation with this agent."


@dataclass(frozen=True, slots=True)
class Thresholds:
    """Probabilities. From `sure` on, nobody is asked, and from `vague` on the user is, without a model; a part of a message is
    an intent of its own from `part` on. What is less likely than `choice` is not offered as a choice. What is `clear` at a
    glance, an agent's or nobody's, needs no vector of the whole text. Fitted by `tests/routing`."""

    sure: float = 0.85
    vague: float = 0.7
    clear: float = 0.93
    clear_nobody: float = 0.8
    part: float = 0.4
    choice: float = 0.08


class Router:
    """The router of a process, with the candidate sets that were used last. Candidates are passed with each question: a
    changed agent or a new example makes another set, and counts at once."""

    def __init__(
        self,
        embedder: TextEmbedder | None = None,
        thresholds: Thresholds | None = None,
        *,
        store: VectorStore | None = None,
        glance: WordVectorEmbedder | None = None,
        known: Fitted | None = None,
    ) -> None:
        self.thresholds = thresholds or Thresholds()
        self._glance, self._fitted = glance, known
        self._vectors = VectorCache(embedder, store) if embedder else None
        self._candidate_sets: TtlCache[tuple[Candidate, ...], CandidateSet] = TtlCache(
            MAX_CACHED_ITEMS, weigh=lambda candidate_set: len(candidate_set.items)
        )
        self._chosen: TtlCache[str, Choices] = TtlCache(MAX_CHOOSERS)
        self._glanced: TtlCache[str, Array] = TtlCache(MAX_LIKENED)
        self._training: dict[tuple[Candidate, ...], asyncio.Task[None]] = {}

    async def prepare(self, candidates: Sequence[Candidate]) -> None:
        """Prepare a set now, vectors included: at start-up, or after a change of agents. Raises what the embedder raises."""
        made = await self._candidate_set(tuple(candidates))
        if self._vectors is not None and not made.has_vectors:
            await asyncio.shield(self._training_of(tuple(candidates), made))

    def chosen_by(self, chooser: str) -> Choices:
        """Return what a tenant's model has chosen of late."""
        if (found := self._chosen.get(chooser)) is None:
            self._chosen.put(chooser, found := TtlCache(MAX_CHOSEN, CHOSEN_S))
        return found

    async def warm(self) -> None:
        """Have the embedder loaded, so that no question waits for it. Raises what the embedder raises."""
        if self._vectors is not None:
            await self._vectors.embed_utterances(["ok"])

    def likeness(self, text: str, others: Sequence[str]) -> list[float]:
        """Return the cosine of a text's words with those of each of `others`, which are remembered; 0 without such vectors."""
        if self._glance is None:
            return [0.0] * len(others)
        found = word_vectors_of(self._glance, [text])[0]
        return [float(found @ self._glanced_vector(self._glance, one)) for one in others]

    def _glanced_vector(self, glance: WordVectorEmbedder, text: str) -> Array:
        if (vector := self._glanced.get(text)) is None:
            self._glanced.put(text, vector := word_vectors_of(glance, [text])[0])
        return vector

    async def route(self, text: str, candidates: Sequence[Candidate], context: Context | None = None) -> Route:
        """Route one utterance among these candidates. An embedder that fails is logged, and words decide."""
        utterance, text, context = text, clean_utterance(text), context or Context()
        language = _language(text, context)
        if not text or not any(c.name for c in candidates):
            return Route(
                None, 1.0, language, (), "There is no agent to choose from." if text else "The message is empty."
            )
        candidate_set = await self._candidate_set(tuple(candidates))
        if (route := self._route_codes(candidate_set, text, context, language)) is not None:
            return route
        if (owner := candidate_set.find_example_owner(text)) is not None:
            return _route_by_example(owner, utterance, language)
        parts = requests_in(text)
        asked = ". ".join(parts)
        parts = parts if len(utterance) <= MAX_UTTERANCE_CHARS else ()  # a truncated text is not split
        last = await self._last_agent(tuple(candidates), candidate_set, context)
        if len(parts) < 2 and (clear := self._predict_at_a_glance(candidate_set, asked, last, text)) is not None:
            return _with_full_text(self._decide(clear, candidate_set, language, last, clear=True), utterance)
        predictions = await self._predict(
            tuple(candidates), candidate_set, [asked, *parts] if len(parts) > 1 else [asked], last, text
        )
        if (split_route := self._split_intents(predictions[1:], candidate_set.agents, language)) is not None:
            return split_route
        return _with_full_text(self._decide(predictions[0], candidate_set, language, last), utterance)

    async def _last_agent(
        self, candidates: tuple[Candidate, ...], candidate_set: CandidateSet, context: Context
    ) -> str | None:
        """Return the agent that answered before; if nobody says it, the one that earlier messages were most likely for."""
        if context.last_agent is not None or not context.last_messages:
            return context.last_agent
        for message in reversed(context.last_messages[-MAX_LOOKED_BACK:]):
            asked = ". ".join(requests_in(clean_utterance(message)))
            before = self._predict_at_a_glance(candidate_set, asked, None, asked)
            if before is None:
                before = (await self._predict(candidates, candidate_set, [asked], None, asked))[0]
            if before.score_at(0) >= max(before.small_talk, before.ambiguous):
                return before.ranked[0].agent
        return None

    def _route_codes(
        self, candidate_set: CandidateSet, text: str, context: Context, language: Language
    ) -> Route | None:
        """Route an utterance that is only a number or a code: to the last agent, or to the only one with such codes."""
        if not ambiguity.is_only_codes(text):
            return None
        agents = candidate_set.agents
        if any(c.name == context.last_agent for c in agents):
            return _route_to(context.last_agent or "", 0.8, language, text, CONTINUED)
        found = codes_in(text)
        known = zip(agents, candidate_set.lexical.codes, strict=False)
        matching = [agent for agent, codes in known if codes.knows_one_of(found)]
        if len(matching) == 1:
            return _route_to(matching[0].name, 0.75, language, text, "Only this agent knows codes of this form.")
        return _ask_user(
            matching[:3] or agents[:3], language, tuple(Scored(c.name, 1 / len(matching)) for c in matching[:3])
        )

    async def _predict(
        self,
        candidates: tuple[Candidate, ...],
        candidate_set: CandidateSet,
        texts: list[str],
        last: str | None,
        whole: str,
    ) -> list[Prediction]:
        """Predict each text; the first is `whole` without what is not asked for."""
        vectors = await self._embed(candidates, candidate_set, texts)
        if vectors is None and candidate_set.glance is not None and self._glance is not None:
            candidate_set, vectors = candidate_set.glance, word_vectors_of(self._glance, texts)
        return [
            candidate_set.predict(text, None if vectors is None else vectors[at], last, whole=None if at else whole)
            for at, text in enumerate(texts)
        ]

    def _predict_at_a_glance(
        self, candidate_set: CandidateSet, text: str, last: str | None, whole: str
    ) -> Prediction | None:
        """Predict a text by the vectors of its words, which takes a millisecond; None if it isn't clear from them."""
        if self._glance is None or candidate_set.glance is None:
            return None
        (vector,) = word_vectors_of(self._glance, [text])
        found = candidate_set.glance.predict(text, vector, last, whole=whole)
        clear = found.score_at(0) >= self.thresholds.clear or found.small_talk >= self.thresholds.clear_nobody
        return found if clear else None

    async def _embed(
        self, candidates: tuple[Candidate, ...], candidate_set: CandidateSet, texts: list[str]
    ) -> Array | None:
        if self._vectors is None or not await self._ensure_vectors(candidates, candidate_set):
            return None
        try:
            return await self._vectors.embed_utterances(texts)
        except HeadraceError as exc:
            log.warning("routing_embed_failed", code=exc.code)
            return None

    def _split_intents(
        self, clauses: Sequence[Prediction], agents: Sequence[Candidate], language: Language
    ) -> Route | None:
        """Return several intents if different agents are likely for different clauses; other clauses join the one before."""
        intents: list[Intent] = []
        lead, sure = "", 1.0
        for part in clauses:
            agent = part.ranked[0].agent if part.score_at(0) >= self.thresholds.part else ""
            if agent:
                sure = min(sure, part.score_at(0))
            if intents and agent in ("", intents[-1].agent):
                intents[-1] = Intent(intents[-1].agent, f"{intents[-1].text}. {part.text}")
            elif agent:
                intents.append(Intent(agent, f"{lead}{part.text}"))
            else:
                lead = f"{lead}{part.text}. "
        if len(intents) < 2:
            return None
        reason = f"The message contains {len(intents)} requests."
        found = Route(intents[0].agent, confidence(sure), language, tuple(intents), reason)
        if sure >= self.thresholds.sure:
            return found
        names = dict.fromkeys(intent.agent for intent in intents)
        best = tuple(Scored(name, sure) for name in names)[:MAX_CHOICES]
        question = clarifying_question([one for one in agents if one.name in names][:MAX_CHOICES], language)
        return msgspec.structs.replace(found, needs_model=True, clarify=question, best=best)

    def _decide(
        self,
        prediction: Prediction,
        candidate_set: CandidateSet,
        language: Language,
        last: str | None,
        *,
        clear: bool = False,
    ) -> Route:
        first = prediction.ranked[0]
        if prediction.ambiguous >= self.thresholds.vague:
            likely = tuple(s for s in prediction.ranked[:MAX_CHOICES] if s.score >= self.thresholds.choice)
            by_name = {c.name: c for c in candidate_set.agents}
            return _ask_user([by_name[s.agent] for s in likely], language, likely)
        if not clear and max(first.score, prediction.small_talk) < self.thresholds.sure:
            return self._route_to_model(prediction, candidate_set.agents, language)
        if prediction.small_talk > first.score:
            reason = f"The {prediction.basis} of the message fit no agent, so the model answers alone."
            return Route(
                None, confidence(prediction.small_talk), language, (), reason, best=prediction.ranked[:MAX_CHOICES]
            )
        reason = f"The {prediction.basis} of the message fit this agent."
        if first.agent == last and ambiguity.is_short(prediction.text):
            reason = CONTINUED
        return _route_to(first.agent, confidence(first.score), language, prediction.text, reason, prediction.ranked)

    def _route_to_model(self, prediction: Prediction, agents: Sequence[Candidate], language: Language) -> Route:
        """Return the best guess, plain chat included, with the choices for a model and a question for the user."""
        least = self.thresholds.choice
        best = tuple(s for s in prediction.ranked[:MAX_CHOICES] if s.score >= least) or prediction.ranked[:1]
        by_name = {c.name: c for c in agents}
        question = clarifying_question([by_name[s.agent] for s in best], language)
        reason = f"The {prediction.basis} of the message fit several agents."
        if prediction.small_talk > best[0].score:
            return Route(None, confidence(prediction.small_talk), language, (), reason, True, question, best)
        intents = (Intent(best[0].agent, prediction.text),)
        return Route(best[0].agent, confidence(best[0].score), language, intents, reason, True, question, best)

    async def _candidate_set(self, candidates: tuple[Candidate, ...]) -> CandidateSet:
        return await self._candidate_sets.load(candidates, lambda: asyncio.to_thread(self._make_set, candidates))

    def _make_set(self, candidates: tuple[Candidate, ...]) -> CandidateSet:
        made = CandidateSet(candidates, self._fitted)
        if self._glance is not None:
            made.add_glance(word_vectors_of(self._glance, [item.text for item in made.items]))
        return made

    async def _ensure_vectors(self, candidates: tuple[Candidate, ...], candidate_set: CandidateSet) -> bool:
        """Whether vectors can be used. Missing ones are computed, in the background if that takes long."""
        if candidate_set.has_vectors or self._vectors is None:
            return candidate_set.has_vectors
        await asyncio.wait({self._training_of(candidates, candidate_set)}, timeout=VECTORS_WAIT_S)
        return candidate_set.has_vectors

    def _training_of(self, candidates: tuple[Candidate, ...], candidate_set: CandidateSet) -> asyncio.Task[None]:
        """Return the task that trains a set on its vectors, one for all who wait for it."""
        if (training := self._training.get(candidates)) is None:
            training = self._training[candidates] = asyncio.create_task(self._train(candidate_set))
            training.add_done_callback(partial(self._trained, candidates))
        return training

    def _trained(self, candidates: tuple[Candidate, ...], training: asyncio.Task[None]) -> None:
        self._training.pop(candidates, None)
        if not training.cancelled() and (error := training.exception()) is not None:
            log.warning("routing_embed_failed", code=getattr(error, "code", type(error).__name__))

    async def _train(self, candidate_set: CandidateSet) -> None:
        assert self._vectors is not None, "only asked for with an embedder"
        vectors = await self._vectors.embed_examples([item.text for item in candidate_set.items])
        await asyncio.to_thread(candidate_set.train_on_vectors, vectors)


def _language(text: str, context: Context) -> Language:
    found = detect_language(text)
    wordless = ambiguity.is_only_codes(text) or not any(c.isalpha() for c in text)
    if wordless and context.last_messages:
        return detect_language(context.last_messages[-1])
    return found


def _route_by_example(owner: str, utterance: str, language: Language) -> Route:
    if not owner:
        return Route(None, 0.99, language, (), "An example of small talk says the same, so the model answers alone.")
    return _route_to(owner, 0.99, language, utterance, "One of this agent's examples says the same.")


def _with_full_text(route: Route, utterance: str) -> Route:
    """Give a single intent the full text, including what the router cut off."""
    return msgspec.structs.replace(
        route, intents=tuple(Intent(prediction.agent, utterance) for prediction in route.intents)
    )


def _route_to(
    agent: str, score: float, language: Language, text: str, reason: str, best: tuple[Scored, ...] = ()
) -> Route:
    return Route(agent, score, language, (Intent(agent, text),), reason, best=best[:3])


def _ask_user(candidates: Sequence[Candidate], language: Language, best: tuple[Scored, ...]) -> Route:
    question = clarifying_question(candidates, language)
    return Route(None, 0.5, language, (), "The message does not say what it is about.", clarify=question, best=best)
