"""How the operations are called that were made for the console (`operation_table.py`)."""

from tests.isolation.call_shapes import Call, thing, word

JOBS = {"query.session_id": word("session"), "query.agent": word("agent"), "query.model": word("model")}
JOBS_PLAIN = "query.error query.id_prefix query.since query.until"
SESSION = {"path.session_id": thing("session")}

WIDGET = {"path.widget_id": thing("widget")}
WIDGET_PLAIN = "body.name body.origins[] body.title body.greeting"
EMBEDDED = {
    f"{method} /api/embed/{{key}}{path}" for method, path in (("GET", ""), ("GET", "/events"), ("POST", "/stop"))
}
EMBEDDED |= {f"{method} /api/embed/{{key}}/messages" for method in ("GET", "POST")}
"""What visitors of widgets call (`tests/api/widgets/`): the key in the path is public."""

CALLS: dict[str, Call] = {
    "POST /api/auth/codes": Call("self", gets=403),  # of a user: only keys have codes
    "GET /api/events": Call(  # a right one never ends
        "jobs.read", {}, "query.after header.Last-Event-ID", {"query.after": "x"}, 400
    ),
    "GET /api/jobs": Call("jobs.read", JOBS, f"{JOBS_PLAIN} query.cursor"),
    "GET /api/admin/agents/{name}/versions": Call("agents.manage", {"path.name": thing("agent")}),
    "POST /api/admin/agents/{name}/restore": Call(
        "agents.manage", {"path.name": thing("agent")}, send={"body.version": 1}
    ),
    "GET /api/widgets": Call("keys.manage", plain="query.cursor"),
    "POST /api/widgets": Call(
        "keys.manage",
        {"body.agent": word("agent")},
        WIDGET_PLAIN,
        {"body.name": "w", "body.origins": ["https://a.example"]},
        201,
    ),
    "GET /api/widgets/{widget_id}": Call("keys.manage", WIDGET),
    "PATCH /api/widgets/{widget_id}": Call(
        "keys.manage", WIDGET | {"body.agent": word("agent")}, WIDGET_PLAIN, {"body.name": "w"}
    ),
    "DELETE /api/widgets/{widget_id}": Call("keys.manage", WIDGET, gets=204),
    "GET /api/jobs/count": Call("jobs.read", JOBS, JOBS_PLAIN),
}
