"""Sends to a running API what its own OpenAPI document allows and what it forbids, and tells where the answers are others than
the document says.

A run has three parts: the document's examples, the edges of every parameter and field, and drawn ones. Each answer is looked at
by all of CHECKS; ids that answers hold are used in later requests. The same seed makes the same requests.
"""

import re
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

import schemathesis
from schemathesis.config import SchemathesisConfig
from schemathesis.engine import events, from_schema
from schemathesis.engine.recorder import ScenarioRecorder
from schemathesis.generation.meta import CoveragePhaseData, CoverageScenario

from tests.api.documented_errors import undocumented
from tests.waiting import PATIENCE_S

CHECKS = [
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
    "negative_data_rejection",
    "missing_required_header",
    "unsupported_method",
    "allow_header_conformance",
    "ignored_auth",
]
"""Not `positive_data_acceptance`: rules about several fields, and names that must be there, can't be said in a schema, and
a 400, 409 or 422 for them is right (schemathesis#2906)."""

REFUSED = [400, 401, 403, 404, 405, 409, 413, 415, 422, 429]
"""What a request that the document forbids may get. 409, 422 and 429: what is wrong besides may be seen first."""

REQUEST_S = PATIENCE_S

PATIENT = 15
"""By how much a run may be longer, on a slow machine, before it is ended although it has not seen enough."""

WHOLE_OBJECTS = 4
"""How many times as many edges are tried of what is no single field, such as the combinations of optional ones."""

ANSWER_EVENTS = {200, 400, 401, 405}
"""Statuses without which a run has not seen enough: one in which everything was refused would find nothing."""


@dataclass
class Findings:
    """What a run has found: each failure once, as a sentence with a request that shows it; requests by operation and status."""

    failures: dict[tuple[str, str, str], str] = field(default_factory=dict)
    answers: Counter[tuple[str, int]] = field(default_factory=Counter)

    @property
    def cases(self) -> int:
        return self.answers.total()

    @property
    def tried(self) -> int:
        """How many operations have answered."""
        return len({operation for operation, _ in self.answers})

    @property
    def never_done(self) -> set[str]:
        """The operations that have only refused."""
        return {operation for operation, _ in self.answers} - {name for name, status in self.answers if status < 300}

    @property
    def is_telling(self) -> bool:
        """Whether a run without failures means something: most operations were done, and the usual refusals seen."""
        return set(self.statuses()) >= ANSWER_EVENTS and len(self.never_done) < 0.4 * self.tried

    @property
    def report(self) -> str:
        """The failures for people to read; empty when there are none."""
        return "\n\n".join(f"{' · '.join(name)}\n{said}" for name, said in self.failures.items())

    def statuses(self) -> Counter[int]:
        """How often each status was answered."""
        counts: Counter[int] = Counter()
        for (_, status), count in self.answers.items():
            counts[status] += count
        return counts


@dataclass(frozen=True)
class Share:
    """One of so many parts of the API's paths."""

    parts: int = 1
    number: int = 0

    def of(self, paths: Iterable[str]) -> set[str]:
        """Return the paths that lie in it. A collection and its members (`/api/jobs`, `/api/jobs/{id}`) lie together: the ids
        that one answers are what the others need."""
        nouns: dict[str, list[str]] = {}
        for path in sorted(paths):
            nouns.setdefault("/".join(path.split("/{")[0].split("/")[:4]), []).append(path)
        return {path for noun in list(nouns)[self.number :: self.parts] for path in nouns[noun]}


def explore(
    url: str,
    key: str,
    key_id: str,
    *,
    paths: str,
    examples: int,
    most_s: int,
    repeats: int | None = None,
    share: Share = Share(),
) -> Findings:
    """Explore the operations whose path matches `paths` and lies in `share`, calling with `key`; `examples` are drawn for each
    operation, and at most `repeats` edges of a kind tried at each of its parameters and fields. After `most_s` the run ends,
    but not before each operation was tried: a slow machine takes longer and sees as much."""
    config = _config(key, examples)
    schema = schemathesis.openapi.from_url(f"{url}/schema/openapi.json", config=config, timeout=PATIENCE_S)
    chosen = share.of(path for path in schema.raw_schema["paths"] if re.search(paths, path))
    schema = schema.include(lambda one: one.operation.path in chosen)

    @schemathesis.hook
    def before_call(context: Any, case: Any, kwargs: Any) -> None:
        if (case.path_parameters or {}).get("key_id") == key_id:
            case.path_parameters["key_id"] = str(uuid4())  # revoking the key that we call with would end the run

    tried: Counter[tuple[Any, ...]] = Counter()

    @schemathesis.hook
    def filter_case(context: Any, case: Any) -> bool:
        if repeats is None or (edge := _edge(case)) is None:
            return True
        tried[edge] += 1
        return tried[edge] <= (repeats if case.meta.phase.data.location else WHOLE_OBJECTS * repeats)

    try:
        return _run(schema, most_s)
    finally:
        schemathesis.hooks.unregister(before_call)
        schemathesis.hooks.unregister(filter_case)


def _edge(case: Any) -> tuple[Any, ...] | None:
    """What a case of the second part tries, and where; None for those of the others."""
    found = getattr(case.meta.phase, "data", None) if case.meta else None
    if not isinstance(found, CoveragePhaseData):
        return None
    is_method = found.scenario == CoverageScenario.UNSPECIFIED_HTTP_METHOD
    where = case.method if is_method else (found.parameter_location, found.parameter, found.location)
    return case.operation.label, found.scenario, where


def _run(schema: schemathesis.BaseSchema, most_s: int) -> Findings:
    found, began, all_operations = Findings(), time.monotonic(), schema.statistic.operations.selected
    stream = from_schema(schema).execute()
    for event in stream:
        if isinstance(event, events.FatalError):
            raise event.exception
        if isinstance(event, events.NonFatalError):
            found.failures[event.label, "could not be tried", type(event.value).__name__] = str(event.value)[:1000]
        if isinstance(event, events.ScenarioFinished):
            _take(found, event.recorder)
        took_s, enough = time.monotonic() - began, found.tried >= 0.95 * all_operations and found.is_telling
        if took_s > most_s and (enough or took_s > PATIENT * most_s):
            stream.stop()
    return found


def _config(key: str, examples: int) -> SchemathesisConfig:
    said = {
        "seed": 20_26,
        "cache": {"enabled": False},
        "headers": {"Authorization": f"Bearer {key}"},
        "request-timeout": REQUEST_S,
        "continue-on-failure": True,
        "generation": {"max-examples": examples, "deterministic": True, "no-shrink": True},
        "checks": {"negative_data_rejection": {"expected-statuses": [str(status) for status in REFUSED]}},
        "phases": {"stateful": {"enabled": False}},
    }
    config = SchemathesisConfig.from_dict(said)
    config.projects.default.checks.update(included_check_names=CHECKS)
    return config


def _take(found: Findings, recorder: ScenarioRecorder) -> None:
    for case_id, exchange in recorder.interactions.items():
        node = recorder.cases.get(case_id)
        if exchange.response is not None and node is not None:
            label, answer = node.value.operation.label, exchange.response
            found.answers[label, answer.status_code] += 1
            method, path = label.split(" ", 1)
            code = undocumented(method, path, answer.content or b"") if answer.status_code >= 400 else None
            if code is not None:
                found.failures[label, "error code", code] = f"{code} ({answer.status_code}) is not in the document"
    for case_id, checks in recorder.checks.items():
        for check in checks:
            if check.failure_info is not None and not _is_right_after_all(
                recorder, case_id, check.failure_info.failure
            ):
                failure = check.failure_info.failure
                name = (recorder.cases[case_id].value.operation.label, check.name, failure.title)
                found.failures.setdefault(name, f"{failure.message[:1500]}\n{check.failure_info.code_sample[:1500]}")


def _is_right_after_all(recorder: ScenarioRecorder, case_id: str, failure: Any) -> bool:
    """Whether the exploration knows less than the document: in a form every value arrives as text, and an empty one counts
    as absent; the `data` of an event, which the document describes parsed, is text in the stream."""
    if failure.title == "SSE event violates schema":
        return '"event"' in failure.message and '"id"' in failure.message
    in_form = recorder.cases[case_id].value.media_type == "multipart/form-data"
    return in_form and ("Incorrect type" in failure.message or "collection: Value not matching" in failure.message)
