"""How benchmarks, schedules and triggers are called: a part of the table in `operation_table.py`."""

from tests.isolation.call_shapes import CALLBACK_PLAIN, Call, thing, word

BENCHMARK = {"path.benchmark_id": thing("benchmark")}
SCHEDULE = {"path.schedule_id": thing("schedule")}
SCHEDULED = {
    **{"body.job.model": word("model"), "body.job.agent": word("agent"), "body.job.collections[]": thing("collection")},
    **{"body.job.model_name": word("other model"), "body.job.models[]": word("other model")},
    **{"body.job.pipeline": word("other pipeline"), "body.job.collection": word("other collection")},
}
ADDRESSES_PLAIN = "body.job.urls[] body.job.metadata body.job.name"
PROMPTS = {"body.job.dataset": word("other dataset")}
SCHEDULE_PLAIN = f"""{ADDRESSES_PLAIN}
  body.name body.cron body.timezone body.job.message body.job.input body.job.prompt body.job.prompts[]
  body.job.callback_url body.job.callback_events[] body.callback_url body.callback_events[]"""
TRIGGER = {"path.trigger_id": thing("trigger")}
TRIGGERED = {name: ref for name, ref in SCHEDULED.items() if "model_name" not in name and "models" not in name}
TRIGGER_PLAIN = (
    f"{ADDRESSES_PLAIN} body.name body.job.message body.job.input body.callback_url body.callback_events[] body.secret"
)
CALLED = {"body.name": "t", "body.job.kind": "chat", "body.job.message": "hi {{$.x}}"}
EACH_MORNING = {"body.name": "s", "body.cron": "0 8 * * *", "body.job.kind": "chat", "body.job.message": "hi"}

DATASET = {"path.name": thing("dataset")}
QUALITY = {
    **{"body.dataset": thing("dataset"), "body.model": word("other model"), "body.judge": word("other model")},
    "body.collections[]": thing("other collection"),
}
ITEMS = """body.items[].question body.items[].agent body.items[].passages[] body.items[].answer.value
  body.items[].answer.rubric"""

CALLS: dict[str, Call] = {
    **dict.fromkeys(("GET /metrics", "GET /metrics/prometheus"), Call("operations.read")),
    "GET /api/datasets": Call("agents.manage", plain="query.cursor"),
    "POST /api/datasets": Call(
        "agents.manage",
        plain=f"body.name body.jsonl body.csv {ITEMS}",
        send={"body.name": "d-{fresh}", "body.jsonl": '{"question": "hi", "agent": "x"}'},
        gets=201,
    ),
    "POST /api/feedback/dataset": Call("agents.manage", plain="body.name", send={"body.name": "d-{fresh}"}, gets=201),
    "GET /api/datasets/{name}": Call("agents.manage", DATASET),
    "DELETE /api/datasets/{name}": Call("agents.manage", DATASET, gets=204),
    "GET /api/datasets/{name}/items": Call("agents.manage", DATASET, "query.cursor"),
    "POST /api/benchmark/quality": Call("agents.manage", QUALITY, send={"body.measure": "routing"}, gets=202),
    "GET /api/benchmarks/{benchmark_id}/items": Call("benchmarks.read", BENCHMARK, "query.cursor"),
    "GET /api/benchmarks/{benchmark_id}/changes": Call(
        "benchmarks.read", BENCHMARK | {"query.since": thing("benchmark")}
    ),
    "POST /api/benchmark/llm": Call(
        "benchmarks.run",
        {
            "body.model_name": word("model"),
            "body.models[]": word("other model"),
            "query.model_name": word("model"),
            "body.dataset": thing("other dataset"),
        },
        f"body.prompt body.prompts[] query.prompt {CALLBACK_PLAIN}",
        gets=202,
    ),
    "GET /api/benchmarks": Call("benchmarks.read", {"query.model": word("model")}, "query.cursor"),
    "GET /api/benchmarks/compare": Call("benchmarks.read", {"query.ids": thing("pair of benchmarks")}),
    "GET /api/benchmarks/history": Call("benchmarks.read", {"query.model": word("model")}, "query.cursor"),
    "GET /api/benchmarks/{benchmark_id}": Call("benchmarks.read", BENCHMARK),
    "GET /api/benchmarks/{benchmark_id}/iterations": Call("benchmarks.read", BENCHMARK, "query.cursor"),
    "GET /api/triggers": Call("triggers.manage", plain="query.cursor"),
    "POST /api/triggers": Call("triggers.manage", TRIGGERED, TRIGGER_PLAIN, CALLED, 201),
    "GET /api/triggers/{trigger_id}": Call("triggers.manage", TRIGGER),
    "PUT /api/triggers/{trigger_id}": Call("triggers.manage", TRIGGER | TRIGGERED, TRIGGER_PLAIN, CALLED),
    "DELETE /api/triggers/{trigger_id}": Call("triggers.manage", TRIGGER, gets=204),
    "POST /api/triggers/{trigger_id}/rotate-secret": Call("triggers.manage", TRIGGER),
    "GET /api/triggers/{trigger_id}/calls": Call("triggers.manage", TRIGGER),
    "GET /api/schedules": Call("schedules.read", plain="query.cursor"),
    "POST /api/schedules": Call("schedules.write", SCHEDULED | PROMPTS, SCHEDULE_PLAIN, EACH_MORNING, 201),
    "GET /api/schedules/{schedule_id}": Call("schedules.read", SCHEDULE),
    "PUT /api/schedules/{schedule_id}": Call(
        "schedules.write", SCHEDULE | SCHEDULED | PROMPTS, SCHEDULE_PLAIN, EACH_MORNING
    ),
    "DELETE /api/schedules/{schedule_id}": Call("schedules.write", SCHEDULE, gets=204),
    "POST /api/schedules/{schedule_id}/pause": Call("schedules.write", SCHEDULE),
    "POST /api/schedules/{schedule_id}/resume": Call("schedules.write", SCHEDULE),
    "POST /api/schedules/{schedule_id}/run": Call("schedules.write", SCHEDULE, gets=202),
    "GET /api/schedules/{schedule_id}/runs": Call("schedules.read", SCHEDULE, "query.cursor"),
}
