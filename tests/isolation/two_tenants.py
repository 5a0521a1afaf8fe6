"""Two tenants for the route matrix: A, who asks, and B, who owns one of everything that A must not reach.

A kind of thing is a method of `Holder` that makes a fresh one and returns how requests name it; the kinds that
`operation_table.py` names and the tables of the database are compared with it, so a new noun is seeded before its tests pass.
"""

import zlib
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import msgspec
import psycopg
from psycopg.types.json import Jsonb

from api.http.paging import write_cursor
from schema.egress_uses import EGRESS_USES
from schema.identity.api_keys import new_api_key, read_api_key
from schema.ids import new_id
from tests.api.people import PASSWORD, hashed
from tests.isolation import hooked_things, kept_for_clients, stored_responses, what_admins_ask
from tests.secret import VAULT
from tools.configured import ToolDefinition
from workers.webhooks.secrets import EndpointSecrets, seal_secrets
from workers.webhooks.signing import new_secret

NOWHERE = "http://127.0.0.1:9/v1"
JOBS = ("waiting job", "running job", "failed job", "ended job")
STATES = {"waiting job": "queued", "running job": "running", "failed job": "failed", "ended job": "succeeded"}
MODELS = {"a": "openai/text-100", "b": "openai/reasoning"}
SERVICES = {"a": "openrouter", "b": "anthropic"}

Row = dict[str, Any]


class Holder:
    """A tenant, or with `user_id` one person of it, and how its things are made. What can hold words holds `marker`."""

    def __init__(
        self, db: psycopg.Connection[Row], letter: str, *, tenant_id: UUID, user_id: UUID | None = None
    ) -> None:
        self.db, self.letter, self.tenant_id, self.user_id = db, letter, tenant_id, user_id
        self.marker = f"canary-{letter}-{uuid4().hex[:8]}"
        self.slug = self._slug(tenant_id)

    @classmethod
    def of_new_tenant(cls, db: psycopg.Connection[Row], letter: str, *, models: Sequence[str] = ()) -> "Holder":
        """Make a tenant that is granted these models, or the one of its letter, and may reach 127.0.0.1."""
        tenant_id, slug = new_id(), f"{letter}-{uuid4().hex[:8]}"
        db.execute("INSERT INTO tenants (id, slug, name) VALUES (%s, %s, %s)", (tenant_id, slug, slug))
        holder = cls(db, letter, tenant_id=tenant_id)
        db.execute("UPDATE tenants SET name = %s WHERE id = %s", (holder.marker, tenant_id))
        for model in models or (MODELS[letter],):
            holder.insert("grants", kind="model", name=model, overrides={})
        for use in EGRESS_USES:
            holder.insert("egress_grants", use=use, host="127.0.0.1/32")
        return holder

    def new(self, kind: str) -> str | None:
        """Make a fresh thing of a kind and return how a request names it; None where there is none to name yet."""
        return KINDS[kind](self)

    def insert(self, table: str, **columns: Any) -> None:
        """Add a row of this tenant."""
        row = {"tenant_id": self.tenant_id, **columns}
        values = [Jsonb(value) if isinstance(value, dict | list) else value for value in row.values()]
        places = ", ".join(["%s"] * len(row))
        self.db.execute(f"INSERT INTO {table} ({', '.join(row)}) VALUES ({places})", values)

    def session(self, *, shared: bool = False) -> str:
        session_id, parts = new_id(), [{"type": "text", "text": self.marker}]
        about: Row = {"shared_at": datetime.now(UTC)} if shared else {}
        self.insert("sessions", id=session_id, title=self.marker, turns=2, user_id=self.user_id, **about)
        place: Row = {"session_id": session_id, "role": "user", "parts": parts, "status": "completed"}
        for turn in (1, 2):
            self.insert("messages", id=new_id(), turn=turn, ordinal=0, **place)
        return str(session_id)

    def job(self, kind: str) -> str:
        job_id, session_id, state = new_id(), UUID(self.session()), STATES[kind]
        ended = state in ("failed", "succeeded")
        about: Row = {"kind": "chat", "queue": "chat", "priority": 5, "payload": {"options": {}}, "max_tries": 3}
        if state == "running":
            about |= {"lease_owner": "nobody", "lease_until": datetime.now(UTC) + timedelta(hours=1)}
        if ended:
            about |= {"finished_at": datetime.now(UTC), "result": {"text": self.marker}}
        deadline_at = datetime.now(UTC) + timedelta(hours=1)
        about |= {"state": state, "session_id": session_id, "turn": 2, "model": MODELS[self.letter], "attempt": 1}
        self.insert("jobs", id=job_id, **about, deadline_at=deadline_at, user_id=self.user_id)
        self.insert("attempts", job_id=job_id, attempt=1, worker=self.marker)
        if ended:
            frame = f'id: 2\nevent: job.succeeded\ndata: {{"job_id":"{job_id}","seq":2,"said":"{self.marker}"}}\n\n'
            self.insert("job_logs", job_id=job_id, last_seq=2, frames=zlib.compress(frame.encode()))
        return str(job_id)

    def user(self, role: str = "member", state: str = "active") -> UUID:
        user_id, email = new_id(), f"{self.marker}-{uuid4().hex[:12]}@example.com"
        about = {"role": role, "state": state, "password_hash": hashed(PASSWORD)}
        self.insert("users", id=user_id, email=email, name=self.marker, **about)
        return user_id

    def email(self) -> str:
        user_id = self.user()
        found = self.db.execute("SELECT email FROM users WHERE id = %s", (user_id,)).fetchone()
        assert found is not None
        return found["email"]

    def login(self, user_id: UUID) -> UUID:
        login_id, later = new_id(), datetime.now(UTC) + timedelta(days=1)
        self.insert("logins", id=login_id, user_id=user_id, expires_at=later, client=self.marker)
        self.insert("refresh_tokens", login_id=login_id, digest=uuid4().hex)
        self.insert("browser_sessions", id=new_id(), login_id=login_id, digest=uuid4().hex, expires_at=later)
        return login_id

    def api_key(self, **columns: Any) -> tuple[UUID, str]:
        key_id, key = new_id(), new_api_key()
        parts = read_api_key(key)
        assert parts is not None
        row = {"find": parts.find, "digest": parts.digest, "name": self.marker, "user_id": self.user_id, **columns}
        self.insert("api_keys", id=key_id, **row)
        later = datetime.now(UTC) + timedelta(days=1)
        self.insert("sign_in_codes", key_id=key_id, digest=uuid4().hex, expires_at=later)
        return key_id, key

    def service(self) -> str:
        service, credential_id = SERVICES[self.letter], new_id()
        sealed = VAULT.seal("sk-" + self.marker, tenant_id=self.tenant_id, owner_id=credential_id)
        self.db.execute("DELETE FROM credentials WHERE tenant_id = %s", (self.tenant_id,))
        columns = {"service": service, "key_id": sealed.key_id, "sealed": sealed.sealed, "created_by": self.marker}
        self.insert("credentials", id=credential_id, base_url=NOWHERE, **columns)
        return service

    def provider(self) -> str:
        provider_id, name = new_id(), f"{self.marker}-{uuid4().hex[:12]}"
        issuer = f"https://{name}.example.com"
        self.insert("identity_providers", id=provider_id, name=name, issuer=issuer, audience="x", jwks_url=NOWHERE)
        return str(provider_id)

    def grant(self) -> str:
        name = f"{self.marker}-{uuid4().hex[:12]}"
        self.insert("grants", kind="agent", name=name, overrides={}, created_by=self.marker)
        return name

    def egress_grant(self) -> str:
        host = f"{self.marker}-{uuid4().hex[:12]}.internal"
        self.insert("egress_grants", use="tools", host=host, created_by=self.marker)
        return host

    def spare_tenant(self) -> str:
        return Holder.of_new_tenant(self.db, self.letter).slug

    def audited(self) -> tuple[str, str]:
        actor, target = f"user:{uuid4()}", f"key:{uuid4()}"
        self.insert("audit_log", id=new_id(), actor=actor, action="key.created", target=target, result="ok")
        return actor, target

    def agent(self, name: str = "agent", *, enabled: bool = True) -> str:
        """One that is there already stays: errors tell what a tenant has, and must not differ from call to call."""
        about: Row = {
            "enabled": enabled,
            "description": self.marker,
            "prompt": self.marker,
            "examples": [],
            "models": [],
            "tools": [],
        }
        return self._configured("agents", name, **about)

    def tool(self, name: str = "tool") -> str:
        definition = {"kind": "HTTP_GET", "description": self.marker, "endpoint": f"{NOWHERE}/x"}
        whole = msgspec.convert({"name": f"{self.marker}-{name}", **definition}, ToolDefinition)
        return self._configured("tools", name, kind="HTTP_GET", definition=msgspec.to_builtins(whole))

    def data_source(self, name: str = "source") -> str:
        source_id = new_id()
        dsn = f"postgresql://reader:{self.marker}@127.0.0.1:9/shop"
        sealed = VAULT.seal(dsn, tenant_id=self.tenant_id, owner_id=source_id)
        about: Row = {"tables": ["shop.orders"], "key_id": sealed.key_id, "sealed": sealed.sealed}
        return self._configured("data_sources", name, id=source_id, **about)

    def pipeline(self) -> str:
        """One with two versions."""
        pipeline_id, name = new_id(), f"{self.marker}-{uuid4().hex[:12]}"
        definition = {"name": name, "start": "a", "steps": {"a": {"kind": "prompt", "prompt": self.marker}}}
        self.insert("pipelines", id=pipeline_id, name=name, version=2, definition=definition)
        for version in (1, 2):
            self.insert("pipeline_versions", pipeline_id=pipeline_id, version=version, definition=definition)
        return str(pipeline_id)

    def _configured(self, table: str, name: str, **columns: Any) -> str:
        name = f"{self.marker}-{name}"
        sql = f"SELECT 1 FROM {table} WHERE tenant_id = %s AND name = %s"
        if not self.db.execute(sql, (self.tenant_id, name)).fetchone():
            self.insert(table, **{"id": new_id(), "name": name, **columns})
        return name

    def collection(self) -> str:
        name, cut = f"{self.marker}-{uuid4().hex[:12]}", {"chunk_characters": 1000, "chunk_overlap": 200}
        self.insert("collections", id=new_id(), name=name, embedder="minilm", **cut, description=self.marker)
        return name

    def document(self, state: str = "ready", name: str = "") -> str:
        """One that is live, in a collection of its own; a person's is private."""
        document_id, job_id, collection = new_id(), UUID(self.job("ended job")), self.collection()
        found = self.db.execute("SELECT id FROM collections WHERE name = %s", (collection,)).fetchone()
        assert found is not None
        whose: Row = {"collection_id": found["id"], "user_id": self.user_id}
        about: Row = {"name": name or self.marker, "metadata": {"of": self.marker}, "newest_version": 1, "chunks": 2}
        self.insert("documents", id=document_id, live_version=1, created_by=self.marker, **about, **whose)
        of: Row = {
            "stored_as": f"{self.tenant_id}/{new_id()}",
            "size_bytes": 5,
            "sha256": b"s",
            "media_type": "text/plain",
        }
        self.insert("document_versions", document_id=document_id, version=1, job_id=job_id, place=0, state=state, **of)
        for place in (0, 1):
            chunk_id, span = new_id(), {"start": 0, "stop": 1, "digest": b"d"}
            where: Row = {"document_id": document_id, **whose}
            self.insert("chunks", id=chunk_id, place=place, text=self.marker, heading=self.marker, **span, **where)
            self.insert("chunk_vectors", chunk_id=chunk_id, space=self._space(), embedding="[1, 0]", **where)
        return str(document_id)

    def document_name(self) -> str:
        name = f"{self.marker}-{uuid4().hex[:12]}.txt"
        self.document(name=name)
        return name

    def _space(self) -> int:
        found = self.db.execute("SELECT open_vector_space('test/two', 2) AS id").fetchone()
        assert found is not None
        return found["id"]

    def answer(self, *, rated: bool = False) -> str:
        message_id, session_id = new_id(), UUID(self.session())
        place: Row = {"session_id": session_id, "turn": 1, "ordinal": 1, "role": "assistant", "status": "completed"}
        self.insert("messages", id=message_id, parts=[{"type": "text", "text": self.marker}], **place)
        if rated:
            self.insert("feedback", message_id=message_id, rating="up", comment=self.marker, user_id=self.user_id)
        return str(message_id)

    def memory(self) -> str:
        memory_id, vector = new_id(), {"embedder": "x/y", "embedding": "[1, 0]"}
        self.insert("memories", id=memory_id, user_id=self.user(), text=self.marker, **vector)
        return str(memory_id)

    def learned(self) -> None:
        """Make what is learned from answers."""
        found = self.db.execute("SELECT id FROM messages WHERE tenant_id = %s", (self.tenant_id,)).fetchone()
        assert found is not None
        self.insert("feedback", message_id=found["id"], rating="up", comment=self.marker)
        self.insert("learned_examples", message_id=found["id"], agent=self.marker, question=self.marker)
        vector: Row = {"embedder": "x/y", "embedding": "[1, 0]"}
        self.insert("memories", id=new_id(), user_id=self.user(), text=self.marker, **vector)
        later = datetime.now(UTC) + timedelta(days=1)
        about: Row = {"agent": self.marker, "scope": "", "config_version": "0", "digest": self.marker, **vector}
        self.insert("cached_answers", id=new_id(), question=self.marker, answer={}, expires_at=later, **about)

    def everything(self) -> None:
        """Make what requests don't name, so that a tenant has a row in every table."""
        job_id = UUID(self.job("running job"))
        self.provider()
        keyed: Row = {"route": "POST /api/chat", "fingerprint": self.marker}
        self.insert("idempotency_keys", key=self.marker, job_id=job_id, **keyed)
        sealed = VAULT.seal(self.marker, tenant_id=self.tenant_id, owner_id=job_id)
        self.insert("job_secrets", job_id=job_id, key_id=sealed.key_id, sealed=sealed.sealed)
        used: Row = {"jobs": 1, "input_tokens": 77, "output_tokens": 77, "cost_nanos": 77}
        self.insert("usage_records", id=new_id(), day=date.today(), model=self.marker, agent=self.marker, **used)
        self.insert("usage_days", day=date.today(), **used, own_key_input_tokens=0, own_key_output_tokens=0)
        self.insert("tallies", what="sessions", minute=datetime.now(UTC), n=77)
        self.insert("tally_marks", counted_before=new_id())
        counted: Row = {"kind": "chat", "at": datetime.now(UTC)}
        self.insert("job_samples", state="failed", input_tokens=77, output_tokens=77, cost_nanos=77, **counted)
        self.insert("performance_counts", grain="minute", measure="failed", bucket=0, n=77, **counted)
        self.login(self.user())
        self.insert("tool_effects", job_id=job_id, call_id=self.marker, tool=self.marker, attempt=1)
        self.learned()
        hooked_things.delivery(self)
        hooked_things.trigger(self)
        sealed = seal_secrets(VAULT, EndpointSecrets(new_secret()), self.tenant_id, self.tenant_id)
        self.insert("callback_secrets", key_id=sealed.key_id, sealed=sealed.sealed)
        self.agent("another", enabled=False)  # so that nobody's list of models has it
        self.tool("another")
        self.data_source("another")
        self.insert("configurations", settings={"persona": {"system_prompt": self.marker}})
        self.pipeline()
        self.schedule()
        self.dataset()
        draft: Row = {
            "version": 1,
            "place": 0,
            "text": self.marker,
            "heading": "",
            "start": 0,
            "stop": 1,
            **{"digest": b"d", "space": self._space(), "embedding": "[1, 0]"},
        }
        self.insert("chunk_drafts", document_id=UUID(self.document("running")), **draft)
        self.insert("file_removals", stored_as=self.marker, due_at=datetime.now(UTC))

    def benchmark(self) -> str:
        """One that has ended, with a call and its result."""
        benchmark_id, model = UUID(self.job("ended job")), self.marker
        self.db.execute("UPDATE jobs SET kind = 'benchmark' WHERE id = %s", (benchmark_id,))
        about: Row = {"models": [model], "settings": {"quality": {"measure": "answers"}}, "total": 1}
        self.insert("benchmarks", id=benchmark_id, user_id=self.user_id, **about)
        figures: Row = dict.fromkeys(("iterations", "succeeded", "input_tokens", "output_tokens", "cost_usd"), 0)
        figures |= {"errors": {}, **dict.fromkeys(("first_token_ms", "tokens_per_second", "total_ms", "estimated"))}
        call: Row = {"model": model, "number": 1, "prompt": 0, "attempt": 1, "started_at": datetime.now(UTC)}
        for place in (0, 1):
            self.insert("benchmark_iterations", benchmark_id=benchmark_id, place=place, total_ms=7.0, **call)
            self.insert("benchmark_items", benchmark_id=benchmark_id, place=place, question="q", outcome={}, attempt=1)
        self.insert("benchmark_results", benchmark_id=benchmark_id, model=model, figures=figures)
        return str(benchmark_id)

    def dataset(self) -> str:
        """One with two questions."""
        dataset_id, name = new_id(), f"{self.marker}-{uuid4().hex[:12]}"
        self.insert("datasets", id=dataset_id, name=name, version=1, items=2, created_by=self.marker)
        of: Row = {"dataset_id": dataset_id, "version": 1, "item": {"question": "q", "agent": "a"}}
        for place in (0, 1):
            self.insert("dataset_items", place=place, **of)
        return name

    def schedule(self) -> str:
        """One that was due twice, and may be run."""
        schedule_id, model, user_id = new_id(), MODELS[self.letter], self.user_id or self.user()
        compiled: Row = {"kind": "chat", "right": "chat", "rights": ["chat"], "payload": {}, "model": model}
        compiled |= {"models": [model], "parts": [{"type": "text", "text": self.marker}]}
        about: Row = {"name": self.marker, "job": {"message": self.marker}, "compiled": compiled, "kind": "chat"}
        about |= {"cron": "0 8 1 1 *", "timezone": "UTC", "on_missed": "skip", "on_overlap": "skip", "session": "new"}
        about |= {"created_by": f"user:{user_id}", "issuer": "x", "state": "paused"}
        self.insert("schedules", id=schedule_id, user_id=user_id, **about)
        for day in (1, 2):
            due_at = datetime(2026, 5, day, tzinfo=UTC)
            self.insert("schedule_runs", schedule_id=schedule_id, due_at=due_at, outcome="missed")
        return str(schedule_id)

    def _slug(self, tenant_id: UUID) -> str:
        found = self.db.execute("SELECT slug FROM tenants WHERE id = %s", (tenant_id,)).fetchone()
        assert found is not None
        return found["slug"]


KINDS: dict[str, Callable[[Holder], str | None]] = {
    **{kind: lambda holder, kind=kind: holder.job(kind) for kind in JOBS},
    "job as response": stored_responses.add_response,
    "item of a job": stored_responses.add_item,
    "session": Holder.session,
    "shared session": lambda holder: holder.session(shared=True),
    "answer": Holder.answer,
    "rated answer": lambda holder: holder.answer(rated=True),
    "same answer": lambda _: None,  # one of `path.session_id`, which is copied as a whole without
    "memory": Holder.memory,
    "place of a memory": lambda holder: write_cursor("memories", UUID(holder.memory())),
    "user": lambda holder: str(holder.user()),
    "key": lambda holder: str(holder.api_key()[0]),
    "email": Holder.email,
    "new email": lambda _: f"{uuid4().hex}@example.com",
    "service": Holder.service,
    "provider": Holder.provider,
    "grant": Holder.grant,
    "egress grant": Holder.egress_grant,
    "model": lambda holder: MODELS[holder.letter],
    "agent": Holder.agent,
    "tool": Holder.tool,
    "spare tool": lambda holder: holder.tool(uuid4().hex[:12]),
    "data source": Holder.data_source,
    "pipeline": Holder.pipeline,
    "benchmark": Holder.benchmark,
    "pair of benchmarks": lambda holder: f"{holder.benchmark()},{holder.benchmark()}",
    "schedule": Holder.schedule,
    "dataset": Holder.dataset,
    **{f"other {kind}": lambda _: None for kind in ("collection", "pipeline", "dataset", "model", "conversation")},
    **hooked_things.KINDS,
    "collection": Holder.collection,
    "document": Holder.document,
    **kept_for_clients.KINDS,
    "failed document": lambda holder: holder.document("failed"),
    "document name": Holder.document_name,
    "tenant": lambda holder: holder.slug,
    "spare tenant": Holder.spare_tenant,
    "same tenant": lambda _: None,  # what `path.tenant` is
    "actor": lambda holder: holder.audited()[0],
    "target": lambda holder: holder.audited()[1],
    **what_admins_ask.KINDS,
}
"""How a fresh thing of each kind is made."""

UNKNOWN: dict[str, Callable[[], str]] = {
    "email": lambda: f"{uuid4().hex}@example.com",
    "new email": lambda: f"{uuid4().hex}@example.com",
    "service": lambda: "cohere",
    "grant": lambda: uuid4().hex,
    "egress grant": lambda: f"{uuid4().hex}.internal",
    "place of a memory": lambda: write_cursor("memories", uuid4()),
    **{kind: lambda: f"nobody-{uuid4().hex}" for kind in ("agent", "tool", "spare tool", "data source", "collection")},
    **{kind: lambda: f"nobody-{uuid4().hex}" for kind in ("document name", "dataset")},
    **{f"other {kind}": lambda: f"nobody-{uuid4().hex}" for kind in ("collection", "pipeline", "dataset")},
    **{kind: lambda: f"openai/{uuid4().hex}" for kind in ("model", "other model")},
    "pair of benchmarks": lambda: f"{uuid4()},{uuid4()}",
    **{kind: lambda: f"nobody-{uuid4().hex[:8]}" for kind in ("tenant", "spare tenant", "same tenant")},
    "job as response": lambda: f"resp_{uuid4().hex}",
    "file": lambda: f"file-{uuid4().hex}",
    "batch": lambda: f"batch_{uuid4().hex}",
    "batch of messages": lambda: f"msgbatch_{uuid4().hex}",
    **{kind: lambda: f"conv_{uuid4().hex}" for kind in ("conversation", "other conversation")},
    "item of a job": lambda: f"msg_{uuid4().hex}_0",
    "actor": lambda: f"user:{uuid4()}",
    "target": lambda: f"key:{uuid4()}",
}
"""How a thing of a kind is named that nobody has; an id where nothing stands here."""
