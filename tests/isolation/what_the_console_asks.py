"""How the operations are called that were made for the console (`operation_table.py`)."""

from tests.isolation.call_shapes import Call, thing, word

JOBS = {"query.session_id": word("session"), "query.agent": word("agent"), "query.model": word("model")}
JOBS_PLAIN = "query.error query.id_prefix query.since query.until"
SESSION = {"path.session_id": thing("session")}

CALLS: dict[str, Call] = {
    "POST /api/auth/codes": Call("self", gets=403),  # of a user: only keys have codes
    "GET /api/events": Call(  # a right one never ends
        "jobs.read", {}, "query.after header.Last-Event-ID", {"query.after": "x"}, 400
    ),
    "GET /api/jobs": Call("jobs.read", JOBS, f"{JOBS_PLAIN} query.cursor"),
    "GET /api/jobs/count": Call("jobs.read", JOBS, JOBS_PLAIN),
}
