"""Tokens of jobs: whom they are for, and what they let the caller do."""

from typing import Any
from uuid import uuid4

import pytest

from schema.errors import SecretUnreadable
from schema.identity.rights import MEMBER, OWNER, VIEWER
from tests.secret import VAULT
from workers.agents.tool_context import tool_rights
from workers.job_tokens import JobCaller, open_caller, read_audience, seal_caller, sorted_rights


def make_caller(**fields: Any) -> JobCaller:
    said: dict[str, Any] = {
        "issuer": "https://h.example",
        "tenant_id": uuid4(),
        "subject": "u1",
        "role": "owner",
        "rights": OWNER,
    }
    return JobCaller(**said | fields)


@pytest.mark.parametrize(
    ("url", "audience"),
    [
        ("https://ERP.example.com/debts/1?x=y", "erp.example.com"),
        ("https://erp.example.com:443/", "erp.example.com"),
        ("https://erp.example.com:8443/", "erp.example.com:8443"),
        ("http://erp.example.com.:80/", "erp.example.com"),
        ("http://127.0.0.1:8099/debts", "127.0.0.1:8099"),
        ("http://[::1]:8099/", "[::1]:8099"),
        ("https://user@erp.example.com@evil.example/", "evil.example"),
    ],
)
def test_the_audience_is_the_host_that_is_called(url: str, audience: str) -> None:
    assert audience == read_audience(url)


def test_a_caller_is_sealed_for_one_job_and_not_shown() -> None:
    caller, job_id = make_caller(provider_token="canary"), uuid4()
    sealed = seal_caller(VAULT, caller, job_id)
    assert caller == open_caller(VAULT, sealed, caller.tenant_id, job_id)
    assert "canary" not in repr(caller)
    with pytest.raises(SecretUnreadable):
        open_caller(VAULT, sealed, caller.tenant_id, uuid4())


def test_what_an_older_version_sealed_is_unreadable() -> None:
    tenant_id, job_id = uuid4(), uuid4()
    with pytest.raises(SecretUnreadable):
        open_caller(VAULT, VAULT.seal("eyJ.x.y", tenant_id=tenant_id, owner_id=job_id), tenant_id, job_id)


def test_a_user_who_was_demoted_has_the_rights_of_the_new_role() -> None:
    caller = make_caller(rights=sorted_rights(("chat", "users.manage", "self")))
    assert ("member", ("chat", "self")) == (caller.narrowed_to("member").role, caller.narrowed_to("member").rights)
    assert caller is caller.narrowed_to(None)
    assert set(VIEWER) == set(make_caller(rights=MEMBER).narrowed_to("viewer").rights)


def test_an_admins_key_without_the_admins_rights_uses_no_tool_for_admins() -> None:
    assert {"admin"} == tool_rights(make_caller(role="admin", rights=("chat", "tenants.manage")))
    assert set() == tool_rights(make_caller(role="admin", rights=("chat",))) == tool_rights(None)
