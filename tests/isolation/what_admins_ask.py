"""How the operations of the platform's admins are called (`operation_table.py`)."""

from tests.isolation.call_shapes import AUDIT, AUDIT_PLAIN, KEY_PLAIN, PERSON, USER_PLAIN, Call, thing, word

SPARE = {"path.tenant": thing("spare tenant")}
TENANT = {"path.tenant": thing("tenant")}
TENANT_PLAIN = """body.slug body.name body.default_model body.models[] body.agents[] body.tools[] body.owner.email
  body.owner.name body.owner.password"""

CALLS: dict[str, Call] = {
    "GET /api/admin/tenants": Call("tenants.manage", plain="query.search query.cursor"),
    "POST /api/admin/tenants": Call(
        "tenants.manage", plain=TENANT_PLAIN, send={"body.slug": "new-{fresh}", "body.name": "New"}, gets=201
    ),
    "GET /api/admin/tenants/{tenant}": Call("tenants.manage", TENANT),
    "PATCH /api/admin/tenants/{tenant}": Call(
        "tenants.manage", SPARE, "body.name body.default_model", {"body.name": "New"}
    ),
    "DELETE /api/admin/tenants/{tenant}": Call(
        "tenants.manage", SPARE | {"query.confirm": word("same tenant")}, gets=202
    ),
    "POST /api/admin/tenants/{tenant}/suspend": Call("tenants.manage", SPARE),
    "POST /api/admin/tenants/{tenant}/resume": Call("tenants.manage", SPARE),
    "GET /api/admin/tenants/{tenant}/grants": Call("tenants.manage", TENANT),
    "PUT /api/admin/tenants/{tenant}/grants/{kind}/{name}": Call(
        "tenants.manage",
        TENANT,
        "path.name body.overrides.renderer body.overrides.output_schema body.overrides.models[]",
        {"path.kind": "agent", "path.name": "a-{fresh}"},
    ),
    "DELETE /api/admin/tenants/{tenant}/grants/{kind}/{name}": Call(
        "tenants.manage", TENANT | {"path.name": thing("grant")}, send={"path.kind": "agent"}, gets=204
    ),
    "GET /api/admin/tenants/{tenant}/egress": Call("tenants.manage", TENANT),
    "PUT /api/admin/tenants/{tenant}/egress/{use}/{host}": Call(
        "tenants.manage", TENANT, "path.host", {"path.use": "tools", "path.host": "h-{fresh}.internal"}
    ),
    "DELETE /api/admin/tenants/{tenant}/egress/{use}/{host}": Call(
        "tenants.manage", TENANT | {"path.host": thing("egress grant")}, send={"path.use": "tools"}, gets=204
    ),
    "GET /api/admin/tenants/{tenant}/users": Call(
        "tenants.manage", TENANT | {"query.search": word("email")}, "query.cursor"
    ),
    "POST /api/admin/tenants/{tenant}/users": Call(
        "tenants.manage", TENANT | {"body.email": word("new email")}, USER_PLAIN, gets=201
    ),
    "GET /api/admin/tenants/{tenant}/users/{user_id}": Call("tenants.manage", TENANT | PERSON),
    "DELETE /api/admin/tenants/{tenant}/users/{user_id}": Call("tenants.manage", TENANT | PERSON, gets=204),
    "PATCH /api/admin/tenants/{tenant}/users/{user_id}": Call(
        "tenants.manage", TENANT | PERSON, USER_PLAIN, {"body.name": "New"}
    ),
    "GET /api/admin/tenants/{tenant}/keys": Call("tenants.manage", TENANT, "query.cursor"),
    "POST /api/admin/tenants/{tenant}/keys": Call(
        "tenants.manage", TENANT, KEY_PLAIN, {"body.name": "k", "body.for_tenant": True}, 201
    ),
    "DELETE /api/admin/tenants/{tenant}/keys/{key_id}": Call(
        "tenants.manage", TENANT | {"path.key_id": thing("key")}, gets=204
    ),
    "GET /api/admin/tenants/{tenant}/usage": Call("tenants.manage", TENANT),
    "GET /api/admin/tenants/{tenant}/audit": Call("tenants.manage", TENANT | AUDIT, AUDIT_PLAIN),
    "GET /api/admin/tenants/{tenant}/metrics": Call("tenants.manage", TENANT),
    "GET /api/admin/audit": Call("tenants.manage", AUDIT, AUDIT_PLAIN),
    "GET /api/debug/routes": Call("operations.read"),
    "GET /api/admin/health/checks": Call("operations.read", plain="query.part query.cursor"),
    "GET /api/performance/summary": Call("usage.read"),
    "GET /api/performance/series": Call("usage.read"),
    "GET /api/admin/models": Call("models.manage"),
    "GET /api/admin/models/{name}": Call("models.manage", {"path.name": word("price")}),
    "PUT /api/admin/models/{name}": Call(
        "models.manage",
        plain="path.name body.fallbacks[] body.like",
        send={"path.name": "some/model-{fresh}", "body.input_usd": 1, "body.output_usd": 1},
    ),
    "DELETE /api/admin/models/{name}": Call("models.manage", {"path.name": word("price")}, gets=204),
}
