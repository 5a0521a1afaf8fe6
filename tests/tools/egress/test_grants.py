"""Whether the operator's setting opens anything of a grant."""

import pytest

from tools.egress.policy import EgressPolicy, parse_entry

HOSTS = "erp.internal, a.example:8080, 127.0.0.1:9, [::1]:9000"
NETWORKS = "10.1.0.0/16, fd00::/8"


@pytest.mark.parametrize(
    ("entry", "by_hosts", "by_networks"),
    [
        ("erp.internal", True, True),
        ("erp.internal:81", True, True),
        ("a.example", True, True),
        ("a.example:8080", True, True),
        ("a.example:81", False, True),
        ("other.internal", False, True),
        ("10.1.2.3:80", False, True),
        ("10.2.2.3:80", False, False),
        ("127.0.0.1:9", True, False),
        ("127.0.0.1:8", False, False),
        ("[::1]:9000", True, False),
        ("[::1]:9", False, False),
        ("127.0.0.0/8", True, False),
        ("10.0.0.0/8", True, True),
        ("10.2.0.0/16", True, False),
        ("fd12::/16", True, True),
    ],
)
def test_a_grant_may_open_what_the_setting_lists_too(entry: str, by_hosts: bool, by_networks: bool) -> None:
    """A name may have any address, so names and networks may always meet."""
    grant = parse_entry(entry)
    assert by_hosts == EgressPolicy.from_env({"HEADRACE_EGRESS_ALLOW": HOSTS}).may_open(grant)
    assert by_networks == EgressPolicy.from_env({"HEADRACE_EGRESS_ALLOW": NETWORKS}).may_open(grant)
    assert not EgressPolicy.from_env({}).may_open(grant)
