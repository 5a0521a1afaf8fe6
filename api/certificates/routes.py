"""Routes of certificates, for platform admins: upload, check, make, request, renew, replace and delete them.

Whatever is stored can be served: it was checked, and OpenSSL took it. This process serves it before it answers; others within
seconds (`api/tls/live.py`).
"""

import asyncio
from datetime import UTC, datetime
from typing import Annotated, Any, cast
from uuid import UUID

import structlog
from litestar import Response, Router, delete, get, post, put
from litestar.params import JSONBody, PathParameter

from api.audit.log import record
from api.auth.principals import MayManageCertificates, Principal
from api.certificates.schemas import (
    EXAMPLE,
    FACTS_EXAMPLE,
    KEY_EXAMPLE,
    PEM_EXAMPLE,
    REQUEST_EXAMPLE,
    WAITING_EXAMPLE,
    AcmeIn,
    CertificateIn,
    CertificateOut,
    CertificatesOut,
    CheckIn,
    CheckOut,
    ReplacementIn,
    RequestIn,
    SelfSignedIn,
    state_of,
)
from api.grants.tenant_rows import check_name, require_name
from api.http.errors import problems
from api.http.rows import from_row
from api.openapi.headers import LOCATION_HEADER
from api.openapi.operations import described
from api.resources import AppResources, Resources
from schema.errors import Conflict, InputError, NotFound, Unavailable
from schema.ids import new_id
from schema.postgres.connections import tenant_tx
from schema.queries.certificates import certificates as queries
from schema.queries.certificates.certificates import Certificate, Origin
from schema.vault import PLATFORM, Sealed
from workers.certificates.checking import check_pair
from workers.certificates.issuing import KeyKind, make_request, make_self_signed
from workers.certificates.names import checked_names

log = structlog.get_logger()

TAGS = ["certificates"]
PATH = "/{name:str}"
CertificateName = Annotated[str, PathParameter(description="The certificate's name.")]
NONE = "There is no such certificate. GET /api/admin/certificates lists them."
TAKEN = "A certificate named {name!r} already exists. PUT /api/admin/certificates/{name} replaces it, or choose another name."
CHANGED = "The certificate was changed meanwhile. Look at it again, and repeat what is still right."
TERMS = (
    "terms_accepted must be true: the authority in HEADRACE_ACME_DIRECTORY issues certificates to those alone who agree to its "
    "terms of service."
)
WILDCARD = (
    "{name} has a wildcard, which an authority can't check over HTTP (HTTP-01). Name each host, or upload a certificate that "
    "was had by DNS."
)
NEW_EXAMPLE = {"name": "public", "certificate": PEM_EXAMPLE, "key": KEY_EXAMPLE}
ACME_EXAMPLE = WAITING_EXAMPLE | {"origin": "acme", "state": "waiting", "next_try_at": "2026-11-02T08:15:30Z"}


@get("/", opt=described(response={"items": [EXAMPLE]}), summary="List certificates", tags=TAGS)
async def list_certificates(principal: MayManageCertificates, resources: AppResources) -> CertificatesOut:
    """Lists the certificates of the installation, without their keys."""
    async with _reading(resources) as db:
        rows = await queries.list_certificates(db)
    return CertificatesOut([_out(row) for row in rows])


@get(PATH, opt=described(response=EXAMPLE), responses=problems("not_found"), summary="Get a certificate", tags=TAGS)
async def get_certificate(
    name: CertificateName, principal: MayManageCertificates, resources: AppResources
) -> CertificateOut:
    """Returns a certificate without its key."""
    return _out(await _require(resources, name))


@post(
    "/check",
    status_code=200,
    opt=described(
        example={"certificate": PEM_EXAMPLE, "key": KEY_EXAMPLE}, response=FACTS_EXAMPLE | {"notes": ["It is …"]}
    ),
    summary="Check a certificate",
    tags=TAGS,
)
async def check_certificate(data: JSONBody[CheckIn], principal: MayManageCertificates) -> CheckOut:
    """Says what is wrong with a certificate and its key, or what it is for. Stores nothing."""
    checked = await asyncio.to_thread(check_pair, data.certificate, data.key)
    return from_row(CheckOut, checked)


@post(
    "/",
    status_code=201,
    opt=described(response_headers=LOCATION_HEADER, example=NEW_EXAMPLE, response=EXAMPLE),
    responses=problems("conflict"),
    summary="Upload a certificate",
    tags=TAGS,
)
async def upload_certificate(
    data: JSONBody[CertificateIn], principal: MayManageCertificates, resources: AppResources
) -> Response[CertificateOut]:
    """Checks a certificate with its key, and serves it to clients that ask for one of its names."""
    checked = await asyncio.to_thread(check_pair, data.certificate, data.key)
    return await _add(resources, principal, data.name, "uploaded", checked.key, **checked.columns)


@post(
    "/self-signed",
    status_code=201,
    opt=described(
        response_headers=LOCATION_HEADER,
        example={"name": "internal", "names": ["chat.internal"]},
        response=EXAMPLE | {"origin": "self_signed"},
    ),
    responses=problems("conflict"),
    summary="Make a self-signed certificate",
    tags=TAGS,
)
async def make_self_signed_certificate(
    data: JSONBody[SelfSignedIn], principal: MayManageCertificates, resources: AppResources
) -> Response[CertificateOut]:
    """Makes a key and a certificate that it signs itself: for a network whose clients are given it to trust."""
    check_name(data.name)
    names = checked_names(data.names)
    pem, key = await asyncio.to_thread(make_self_signed, names, days=data.days, kind=data.key_kind)
    checked = await asyncio.to_thread(check_pair, pem, key)
    return await _add(resources, principal, data.name, "self_signed", checked.key, **checked.columns)


@post(
    "/requests",
    status_code=201,
    opt=described(
        response_headers=LOCATION_HEADER,
        example={"name": "public", "names": ["chat.example.com"]},
        response=REQUEST_EXAMPLE,
    ),
    responses=problems("conflict"),
    summary="Request a certificate",
    tags=TAGS,
)
async def request_certificate(
    data: JSONBody[RequestIn], principal: MayManageCertificates, resources: AppResources
) -> Response[CertificateOut]:
    """Makes a key, which stays here, and the request (`csr`) that an authority signs. Send what it returns with
    `PUT /api/admin/certificates/{name}`, without a key."""
    check_name(data.name)
    names = checked_names(data.names)
    made = await asyncio.to_thread(make_request, names, kind=data.key_kind, organization=data.organization)
    return await _add(
        resources, principal, data.name, "requested", made.key, names=names, csr=made.csr, key_kind=made.key_kind
    )


@post(
    "/acme",
    status_code=201,
    opt=described(
        response_headers=LOCATION_HEADER,
        example={"name": "public", "names": ["chat.example.com"], "terms_accepted": True},
        response=ACME_EXAMPLE,
    ),
    responses=problems("conflict"),
    summary="Order a certificate",
    tags=TAGS,
)
async def order_certificate(
    data: JSONBody[AcmeIn], principal: MayManageCertificates, resources: AppResources
) -> Response[CertificateOut]:
    """Lets the scheduler get a certificate from the authority in `HEADRACE_ACME_DIRECTORY` (by default Let's Encrypt), and
    renew it when a third of its time is left. The authority calls each host at port 80, so that must lead here."""
    check_name(data.name)
    names = checked_names(data.names)
    if wild := next((name for name in names if name.startswith("*.")), None):
        raise InputError(WILDCARD.format(name=wild), field="names")
    if not data.terms_accepted:
        raise InputError(TERMS, field="terms_accepted")
    made = await asyncio.to_thread(make_request, names, kind="ecdsa_p256")
    return await _add(resources, principal, data.name, "acme", made.key, names=names, key_kind=made.key_kind)


@put(
    PATH,
    opt=described(example={"certificate": PEM_EXAMPLE}, response=EXAMPLE),
    responses=problems("not_found", "conflict"),
    summary="Replace a certificate",
    tags=TAGS,
)
async def replace_certificate(
    name: CertificateName, data: JSONBody[ReplacementIn], principal: MayManageCertificates, resources: AppResources
) -> CertificateOut:
    """Serves another certificate in place of this one: a renewed one, or what an authority made of a request. New connections
    get it at once; open ones go on."""
    row = await _require(resources, name)
    key = data.key or await _stored_key(resources, row)
    checked = await asyncio.to_thread(check_pair, data.certificate, key)
    origin: Origin | None = None if data.key is None and row.origin == "requested" else "uploaded"
    sealed = data.key and _seal(resources, checked.key, row.id)
    return await _replace(resources, principal, row, origin=origin, sealed=sealed or None, **checked.columns)


@post(
    f"{PATH}/renew",
    status_code=200,
    opt=described(response=EXAMPLE),
    responses=problems("not_found", "conflict"),
    summary="Renew a certificate",
    tags=TAGS,
)
async def renew_certificate(
    name: CertificateName, principal: MayManageCertificates, resources: AppResources
) -> CertificateOut:
    """Makes a self-signed certificate anew, for as long as before, or lets the authority be asked now. Others can't be renewed
    here: replace them."""
    row = await _require(resources, name)
    if row.origin == "acme":
        async with tenant_tx(resources.core.pool, PLATFORM) as db:
            row = await queries.renew_now(db, name)
            if row is None:
                raise Conflict(CHANGED)
            await record(db, principal, PLATFORM, "certificate.renewed", name)
        return _out(row)
    if row.origin != "self_signed" or row.not_before is None or row.not_after is None:
        raise Conflict(
            f"{name} was {row.origin}, so only its authority can renew it. Send the renewed one with PUT "
            f"/api/admin/certificates/{name}."
        )
    days = max(1, (row.not_after - row.not_before).days)
    pem, key = await asyncio.to_thread(make_self_signed, row.names, days=days, kind=cast(KeyKind, row.key_kind))
    checked = await asyncio.to_thread(check_pair, pem, key)
    sealed = _seal(resources, checked.key, row.id)
    return await _replace(resources, principal, row, sealed=sealed, **checked.columns)


@delete(PATH, responses=problems("not_found"), summary="Delete a certificate", tags=TAGS)
async def delete_certificate(name: CertificateName, principal: MayManageCertificates, resources: AppResources) -> None:
    """Deletes a certificate and its key. Without another one for its names, their clients get the oldest that is left; without
    any, TLS is no longer served."""
    require_name(name, NONE)
    async with tenant_tx(resources.core.pool, PLATFORM) as db:
        if not await queries.delete_certificate(db, name):
            raise NotFound(NONE)
        await record(db, principal, PLATFORM, "certificate.deleted", name)
    await _serve(resources)


async def _add(
    resources: Resources, principal: Principal, name: str, origin: Origin, key: str, **values: Any
) -> Response[CertificateOut]:
    check_name(name)
    certificate_id = new_id()
    sealed = _seal(resources, key, certificate_id)
    async with tenant_tx(resources.core.pool, PLATFORM) as db:
        row = await queries.add_certificate(db, certificate_id, name=name, origin=origin, sealed=sealed, **values)
        if row is None:
            raise Conflict(TAKEN.format(name=name))
        await record(db, principal, PLATFORM, "certificate.stored", name, _detail(row))
    await _serve(resources)
    return Response(_out(row), headers={"Location": f"/api/admin/certificates/{name}"})


async def _replace(resources: Resources, principal: Principal, was: Certificate, **values: Any) -> CertificateOut:
    async with tenant_tx(resources.core.pool, PLATFORM) as db:
        row = await queries.replace_certificate(db, was, **values)
        if row is None:
            raise Conflict(CHANGED)
        await record(db, principal, PLATFORM, "certificate.replaced", was.name, _detail(row))
    await _serve(resources)
    return _out(row)


async def _serve(resources: Resources) -> None:
    """Serve what is stored, if this process serves TLS; it is stored, whatever happens here."""
    if resources.settings.tls.port is None:
        return
    try:
        await resources.certificates.refresh()
    except Unavailable:
        log.warning("certificates_not_read")


def _reading(resources: Resources) -> Any:
    return tenant_tx(resources.core.pool, PLATFORM)


async def _require(resources: Resources, name: str) -> Certificate:
    require_name(name, NONE)
    async with _reading(resources) as db:
        row = await queries.find_certificate(db, name)
    if row is None:
        raise NotFound(NONE)
    return row


async def _stored_key(resources: Resources, row: Certificate) -> str:
    async with _reading(resources) as db:
        sealed = await queries.read_sealed_key(db, row.id)
    return resources.vault.open(sealed, tenant_id=PLATFORM, owner_id=row.id)


def _seal(resources: Resources, key: str, certificate_id: UUID) -> Sealed:
    return resources.vault.seal(key, tenant_id=PLATFORM, owner_id=certificate_id)


def _detail(row: Certificate) -> dict[str, Any]:
    until = row.not_after and row.not_after.isoformat()
    return {"origin": row.origin, "names": row.names, "fingerprint": row.fingerprint, "not_after": until}


def _out(row: Certificate) -> CertificateOut:
    return from_row(CertificateOut, row, state=state_of(row, datetime.now(UTC)))


routes = Router(
    "/admin/certificates",
    route_handlers=[
        list_certificates,
        check_certificate,
        make_self_signed_certificate,
        request_certificate,
        order_certificate,
        upload_certificate,
        get_certificate,
        replace_certificate,
        renew_certificate,
        delete_certificate,
    ],
)
