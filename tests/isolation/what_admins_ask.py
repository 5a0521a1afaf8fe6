"""How the operations of the platform's admins are called (`operation_table.py`), and what they alone have."""

from collections.abc import Callable
from typing import Any
from uuid import uuid4

from schema.ids import new_id
from tests.isolation.call_shapes import AUDIT, AUDIT_PLAIN, KEY_PLAIN, PERSON, USER_PLAIN, Call, thing, word
from tests.secret import VAULT
from workers.certificates.issuing import make_self_signed

SPARE = {"path.tenant": thing("spare tenant")}
TENANT = {"path.tenant": thing("tenant")}
TENANT_PLAIN = """body.slug body.name body.default_model body.models[] body.agents[] body.tools[] body.owner.email
  body.owner.name body.owner.password"""

CERTIFICATE = {"path.name": word("certificate")}
PEM, PEM_KEY = make_self_signed(["a.example"], days=30, kind="ecdsa_p256")
PAIR = {"body.certificate": PEM, "body.key": PEM_KEY}
PAIR_PLAIN = "body.certificate body.key"
NEW_NAMES = {"body.name": "c-{fresh}", "body.names": ["a.example"]}


def price(holder: Any) -> str:
    name = f"some/{uuid4().hex}"
    holder.db.execute("INSERT INTO models (name, input_usd, output_usd) VALUES (%s, 1, 1)", (name,))
    return name


def certificate(holder: Any) -> str:
    name = f"c-{uuid4().hex}"
    about = "INSERT INTO certificates (id, name, origin, names, key_kind, key_id, sealed, not_before, not_after)"
    values = "(%s, %s, 'self_signed', '[\"a.example\"]', 'ecdsa_p256', %s, %s, now(), now() + interval '30 days')"
    holder.db.execute(f"{about} VALUES {values}", (new_id(), name, VAULT.newest, b"sealed"))
    return name


KINDS: dict[str, Callable[[Any], str]] = {"price": price, "certificate": certificate}
"""As in `two_tenants.py`; tenants have none, so nobody's are somebody else's."""

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
    "GET /api/admin/certificates": Call("certificates.manage"),
    "POST /api/admin/certificates": Call(
        "certificates.manage", plain=f"body.name {PAIR_PLAIN}", send=PAIR | {"body.name": "c-{fresh}"}, gets=201
    ),
    "POST /api/admin/certificates/check": Call("certificates.manage", plain=PAIR_PLAIN, send=PAIR),
    "POST /api/admin/certificates/self-signed": Call(
        "certificates.manage", plain="body.name body.names[]", send=NEW_NAMES, gets=201
    ),
    "POST /api/admin/certificates/requests": Call(
        "certificates.manage", plain="body.name body.names[] body.organization", send=NEW_NAMES, gets=201
    ),
    "POST /api/admin/certificates/acme": Call(
        "certificates.manage",
        plain="body.name body.names[]",
        send=NEW_NAMES | {"body.terms_accepted": True},
        gets=201,
    ),
    "GET /api/admin/certificates/{name}": Call("certificates.manage", CERTIFICATE),
    "PUT /api/admin/certificates/{name}": Call("certificates.manage", CERTIFICATE, PAIR_PLAIN, PAIR),
    "POST /api/admin/certificates/{name}/renew": Call("certificates.manage", CERTIFICATE),
    "DELETE /api/admin/certificates/{name}": Call("certificates.manage", CERTIFICATE, gets=204),
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
