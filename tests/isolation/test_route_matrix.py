"""Every operation of the API's document, with every bad caller, every role that may not, and every id of somebody else.

The document says what there is, `operation_table.py` how it is called, `two_tenants.py` holds what must stay out of reach.
"""

import base64
import json
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any
from uuid import UUID

import httpx
import pytest

from api.app import create_app
from api.http.paging import write_cursor
from api.settings import ApiSettings
from graphs.providers.settings import ProviderSettings
from schema.identity.rights import Right, rights_for_role
from tests.api.conftest import serving
from tests.counterparts.openai.server import OpenAIServer
from tests.isolation.call_shapes import Call
from tests.isolation.operation_calls import Caller, Matrix, Values, made_up, told, unknown
from tests.isolation.operation_table import CALLS, PUBLIC
from tests.isolation.routes import Operation, by_name, undocumented
from tests.isolation.two_tenants import KINDS, Holder
from tests.isolation.world import World, open_world
from tests.secret import VAULT
from tools.egress import EgressPolicy
from workers.storage.settings import StorageSettings

TABLE = "tests/isolation/operation_table.py"
GARBAGE = b'{"garbage": [\xff'


@pytest.fixture(scope="module")
async def matrix(database_url: str, redis_url: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Matrix]:
    async with OpenAIServer() as models:
        env = {
            "OPENAI_API_KEY": "sk-x",
            "OPENAI_BASE_URL": models.base_url,
            "HEADRACE_DEFAULT_MODEL": "openai/text-100",
        }
        settings = ApiSettings(
            database_url=database_url,
            redis_url=redis_url,
            vault=VAULT,
            egress=EgressPolicy.from_env({"HEADRACE_EGRESS_ALLOW": "127.0.0.1"}),
            providers=ProviderSettings.from_env(env),
            request_timeout_s=0.1,
            completion_timeout_s=0.1,
            storage=StorageSettings(folder=tmp_path_factory.mktemp("files")),
        )
        app = create_app(settings)
        with open_world(database_url, redis_url) as world:
            async with serving(app) as http:
                yield Matrix(http, app.state.resources, world)


@pytest.fixture(scope="module")
async def bad_callers(matrix: Matrix) -> list[Caller]:
    return await matrix.bad_callers()


@pytest.fixture(scope="module")
async def weak_callers(matrix: Matrix) -> dict[Right, list[Caller]]:
    return await matrix.weak_callers()


@pytest.fixture
def operation(request: pytest.FixtureRequest) -> Operation:
    return by_name()[request.param]


def every(chosen: Callable[[str, Call], bool] = lambda name, call: True) -> Any:
    """Every guarded operation, or those chosen by name and call. They are from the table, which is as complete as the document
    (the tests below see to it): the document takes seconds to make, which each process would spend while it collects tests."""
    names = [name for name, call in CALLS.items() if chosen(name, call)]
    return pytest.mark.parametrize("operation", names, indirect=True)


def in_question(*holds: str) -> Callable[[str, Call], bool]:
    """Chooses the operations with a field that names a thing of one of these sorts."""
    return lambda name, call: any(one in ref.kind for one in holds for ref in call.refers.values())


async def test_every_operation_and_every_field_of_it_is_in_the_table() -> None:
    guarded = by_name().keys() - PUBLIC
    missing = [f"{name}: add how it is called to CALLS in {TABLE}" for name in sorted(guarded - CALLS.keys())]
    for name in sorted(guarded & CALLS.keys()):
        operation, call = by_name()[name], CALLS[name]
        unclassified = operation.fields - call.refers.keys() - set(call.plain.split())
        missing += [
            f"{operation}: say in {TABLE} what {field} refers to, or that it is plain" for field in sorted(unclassified)
        ]
        missing += [
            f"{operation}: {field} is an id, so it can't be plain" for field in operation.ids - call.refers.keys()
        ]
    assert [] == missing


async def test_no_route_hides_from_the_document() -> None:
    assert [] == undocumented()


async def test_the_table_holds_nothing_that_is_gone() -> None:
    there = by_name()
    assert set() == (CALLS.keys() | PUBLIC) - there.keys()
    gone = {
        f"{name}: {field}"
        for name, call in CALLS.items()
        for field in {*call.refers, *call.plain.split()} - there[name].fields
    }
    assert set() == gone


async def test_every_operation_needs_the_right_that_the_table_says() -> None:
    assert {name: call.right for name, call in CALLS.items()} == {name: by_name()[name].right for name in CALLS}
    assert PUBLIC == {name for name, operation in by_name().items() if operation.right is None}


async def test_the_strangers_tenant_has_one_of_everything(matrix: Matrix) -> None:
    assert [] == matrix.world.empty_tables(), "seed it in tests/isolation/two_tenants.py (Holder.everything)"
    assert set() == {ref.kind for call in CALLS.values() for ref in call.refers.values()} - KINDS.keys()


@every()
async def test_nobody_gets_past_the_door(operation: Operation, matrix: Matrix, bad_callers: list[Caller]) -> None:
    for caller in bad_callers:
        answer = await matrix.call(operation, caller.headers, made_up(operation), content=GARBAGE)
        assert answer.status_code in caller.statuses, f"{operation} for {caller.name}: {answer.text}"
        _check_error(operation, answer, "unauthenticated" if answer.status_code == 401 else "tenant_suspended")


@every()
async def test_who_lacks_the_right_is_refused_before_the_body_is_read(
    operation: Operation, matrix: Matrix, weak_callers: dict[Right, list[Caller]]
) -> None:
    assert operation.right is not None
    for caller in weak_callers[operation.right]:
        answer = await matrix.call(operation, caller.headers, made_up(operation), content=GARBAGE)
        assert 403 == answer.status_code, f"{operation} for {caller.name}: {answer.text}"
        _check_error(operation, answer, "forbidden")


@every()
async def test_what_is_ones_own_is_reached(operation: Operation, matrix: Matrix) -> None:
    """So that what is refused below is refused for the id alone."""
    call = CALLS[str(operation)]
    answer = await matrix.call(operation, await matrix.leader(call), matrix.values(call, matrix.world.a))
    assert call.gets == answer.status_code, answer.text


@every(lambda name, call: bool(call.refers))
async def test_what_another_tenant_has_does_not_exist(operation: Operation, matrix: Matrix) -> None:
    call, world = CALLS[str(operation)], matrix.world
    before = world.digest()
    for place, ref in call.refers.items():
        if "tenant" in ref.kind and call.right not in rights_for_role("owner"):
            continue  # any tenant is an admin's business; an owner's is refused below
        for foreign in world.foreign.get(ref.kind, ()):
            answer = await _swapped(matrix, operation, place, foreign)
            _check_silence(matrix, answer, foreign)
            as_unknown = await _swapped(matrix, operation, place, strange := unknown(ref.kind))
            assert told(as_unknown, strange) == told(answer, foreign), f"{place} tells B's from one that nobody has"
            assert not ref.missing or answer.status_code == 404, f"{place}: {answer.status_code} {answer.text}"
    assert before == world.digest(), "what B has was changed"
    world.forget_names()


@every(lambda name, call: call.right not in rights_for_role("owner"))
async def test_an_owner_is_no_admin_of_any_tenant(operation: Operation, matrix: Matrix) -> None:
    call, world = CALLS[str(operation)], matrix.world
    before, owner = world.digest(), await matrix.person(world.a, "owner")
    foreign = {place: world.foreign[ref.kind][0] for place, ref in call.refers.items() if world.foreign.get(ref.kind)}
    for values in (matrix.values(call, world.a), matrix.values(call, world.a) | foreign):
        answer = await matrix.call(operation, owner, values)
        assert 403 == answer.status_code, answer.text
    assert before == world.digest()


def acts_on_users(name: str, call: Call) -> bool:
    """Whether an operation makes, changes, exports or erases users other than the caller."""
    about = call.right in ("users.manage", "privacy.manage", "sign_in.manage") or (
        call.right == "tenants.manage" and name.partition("{tenant}")[2].startswith("/users")
    )
    return about and (not name.startswith("GET ") or name.endswith("/export"))


@every(acts_on_users)
async def test_a_key_with_only_the_right_for_it_acts_on_no_user(operation: Operation, matrix: Matrix) -> None:
    call, world = CALLS[str(operation)], matrix.world
    role, home = ("owner", world.a) if call.right in rights_for_role("owner") else ("admin", world.platform)
    key = home.api_key(role=role, scopes=[call.right])[1]
    answer = await matrix.call(operation, {"X-API-Key": key}, matrix.values(call, world.a))
    assert 403 == answer.status_code, answer.text
    _check_error(operation, answer, "forbidden")


@every(in_question("session", "job", "key", "document"))
async def test_what_another_member_has_does_not_exist(operation: Operation, matrix: Matrix) -> None:
    call, world = CALLS[str(operation)], matrix.world
    if call.right not in rights_for_role("member"):
        return
    user_id = world.a.user("member")
    member = Holder(world.db, "a", tenant_id=world.a.tenant_id, user_id=user_id)
    headers = {"Authorization": f"Bearer {(await matrix.sign_in(member, user_id))[1]}"}
    own = await matrix.call(operation, headers, matrix.values(call, member))
    assert call.gets == own.status_code, own.text
    for place, ref in call.refers.items():
        for foreign in world.fellows.get(ref.kind, ()):
            answer = await matrix.call(operation, headers, matrix.values(call, member) | {place: foreign})
            strange = unknown(ref.kind)
            as_unknown = await matrix.call(operation, headers, matrix.values(call, member) | {place: strange})
            assert told(as_unknown, strange) == told(answer, foreign)
            assert not ref.missing or answer.status_code == 404, f"{place}: {answer.status_code} {answer.text}"
            assert world.fellow.marker not in answer.text.replace(foreign, "")


OF_PLATFORM = ("tenants.manage", "operations.read")
"""The rights of lists that are no tenant's, unless their path names one."""


@every(lambda name, call: "query.cursor" in call.plain and (call.right not in OF_PLATFORM or "{" in name))
async def test_a_page_that_begins_at_another_tenants_place_is_ones_own(operation: Operation, matrix: Matrix) -> None:
    call, world = CALLS[str(operation)], matrix.world
    world.forget_names()
    for _ in range(2):  # so that there is a second page
        theirs = {place: world.b.new(ref.kind) for place, ref in call.refers.items() if ref.missing}
        world.b.job("ended job")
        world.b.audited()
        world.b.api_key()
        world.b.email()
        world.b.new("widget")
    right = rights_for_role("owner")
    asker = await matrix.person(*((world.b, "owner") if call.right in right else (world.platform, "admin")))
    first = await matrix.call(operation, asker, {**theirs, "query.limit": 1})
    cursor = first.json()["next_cursor"]
    assert cursor is not None, "B has too few of these"
    mine = {place: name for place, name in matrix.values(call, world.a).items() if call.refers[place].missing}
    changes = {str(theirs[place]): str(mine[place]) for place in mine} | {
        str(world.b.tenant_id): str(world.a.tenant_id)
    }
    forged = _of_another_list(cursor, changes)
    for place, status in ((forged, 200), *(((cursor, 400),) if forged != cursor else ())):
        answer = await matrix.call(operation, await matrix.leader(call), mine | {"query.cursor": place})
        assert status == answer.status_code
        _check_silence(matrix, answer, "")


def _of_another_list(cursor: str, changes: Mapping[str, str]) -> str:
    """Return a cursor with its position, but the name of another list: cursors are not signed."""
    name, position = json.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
    for theirs, mine in changes.items():
        name = name.replace(theirs, mine)
    return write_cursor(name, position)


@pytest.mark.parametrize(
    "spelling",
    [
        *("{slug}", "{id}", "{slug}%20", "%20{slug}", "{slug}%00", "{slug}.", "{slug}/", "{slug}%2f", "{slug}%2f.."),
        *(
            "%2e%2e",
            "%2e%2e%2f{slug}",
            "..%2f{slug}",
            "%252e%252e%252f{slug}",
            "{slug}%2f..%2f{own}",
            "{slug};",
            "*",
            "_",
        ),
        *(
            "{upper}",
            "{cyrillic}",
            "{fullwidth}",
            "{slug}%e2%80%8b",
            "{slug}%0a",
            "{id}%20",
            "{ID}",
            "{{{id}}}",
            "{bare}",
        ),
        *("urn:uuid:{id}", "{own},{slug}", "{own}%00{slug}", "{own}%20{slug}", "%25", "%ff"),
    ],
)
async def test_no_spelling_of_another_tenant_is_taken_for_ones_own(spelling: str, matrix: Matrix) -> None:
    world, headers = matrix.world, await matrix.person(matrix.world.a, "owner")
    before, jobs = world.digest(), _count_jobs(world)
    answer = await matrix.http.post(
        f"/api/{_spelled(spelling, world.b, world.a.slug)}/chat", json={"message": "hi"}, headers=headers
    )
    assert answer.status_code in (400, 404, 405), answer.text
    assert (before, jobs) == (world.digest(), _count_jobs(world))


@pytest.mark.parametrize(
    "spelling", ["{slug}%20", "{upper}", "{cyrillic}", "{fullwidth}", "{ID}", "{bare}", "{{{id}}}"]
)
async def test_ones_own_tenant_has_two_spellings_and_no_others(spelling: str, matrix: Matrix) -> None:
    headers = await matrix.person(matrix.world.a, "owner")
    for right in ("{slug}", "{id}"):
        path, body = f"/api/{_spelled(right, matrix.world.a)}/chat", {"message": "hi"}
        assert 202 == (await matrix.http.post(path, json=body, headers=headers)).status_code
    path = f"/api/{_spelled(spelling, matrix.world.a)}/chat"
    assert 404 == (await matrix.http.post(path, json={"message": "hi"}, headers=headers)).status_code


async def test_an_idempotency_key_is_found_by_its_tenant_and_its_person_alone(matrix: Matrix) -> None:
    world, key = matrix.world, {"Idempotency-Key": matrix.world.b.marker, "Prefer": "respond-async"}
    before = world.digest()
    jobs = set()
    for role in ("owner", "member", "member"):
        headers = await matrix.person(world.a, role)
        answer = await matrix.http.post("/api/chat", json={"message": "hi"}, headers=headers | key)
        assert 202 == answer.status_code, answer.text
        jobs.add(answer.json()["job_id"])
    assert (3, before) == (len(jobs), world.digest())


async def _swapped(matrix: Matrix, operation: Operation, place: str, name: str) -> httpx.Response:
    """Call with what A has, all but one of it."""
    call = CALLS[str(operation)]
    values: Values = matrix.values(call, matrix.world.a) | {place: name}
    return await matrix.call(operation, await matrix.leader(call), values)


def _check_error(operation: Operation, answer: httpx.Response, code: str) -> None:
    body: dict[str, Any] = answer.json()
    assert answer.status_code in operation.answers, f"{operation} does not document {answer.status_code}"
    if operation.is_openai:
        assert {"message", "type", "param", "code"} == body["error"].keys()
    elif operation.is_anthropic:
        assert ("error", {"type", "message", "details"}) == (body["type"], body["error"].keys())
    else:
        assert "application/problem+json" == answer.headers["content-type"]
        assert (answer.status_code, code) == (body["status"], body["code"])
    assert (answer.status_code == 401) == ("www-authenticate" in answer.headers)


def _check_silence(matrix: Matrix, answer: httpx.Response, sent: str) -> None:
    """Nothing of B is in an answer but the name that was asked for."""
    text = answer.text.replace(sent, "") if sent else answer.text
    for secret in (matrix.world.b.marker, str(matrix.world.b.tenant_id), matrix.world.b.slug):
        assert secret not in text, f"B's {secret} is told: {text[:500]}"


def _spelled(spelling: str, holder: Holder, own: str = "") -> str:
    tenant_id, slug = holder.tenant_id, holder.slug
    return spelling.format(
        slug=slug,
        own=own,
        upper=slug.upper(),
        cyrillic={"a": "\u0430", "b": "\u0412"}[slug[0]] + slug[1:],
        fullwidth=chr(ord(slug[0]) + 0xFEE0) + slug[1:],
        id=tenant_id,
        ID=str(tenant_id).upper(),
        bare=tenant_id.hex,
    )


def _count_jobs(world: World) -> dict[UUID, int]:
    rows = world.db.execute("SELECT tenant_id, count(*) AS number FROM jobs GROUP BY 1").fetchall()
    return {row["tenant_id"]: row["number"] for row in rows}
