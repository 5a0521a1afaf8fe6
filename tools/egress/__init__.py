"""The guard for every outgoing request to a URL that comes from outside: tools, webhooks, key sets, OpenID sign-in.

    policy.py     what is allowed (HEADRACE_EGRESS_ALLOW), and limits for size and time of a response
    tenants.py    what each tenant was granted of that
    urls.py       which URLs are refused before any DNS lookup
    addresses.py  which addresses are on the public internet
    network.py    resolves once, checks every address, connects only to those
    body.py       decompresses a response within its size and time limits
    transport.py  combines them into a transport for httpx2, and for libraries that accept one, such as Authlib
    targets.py    checks an address when it is stored
    trust.py      which certificate authorities are trusted
    client.py     what callers use: `open_client` and `fetch_json`; `parse_url` for URLs that will be stored

It is built on httpx2, which continues httpx (last release 0.28.1, 2024): Authlib's client uses httpx2 wherever it is installed,
and accepts no httpx transport.

Model vendors at the operator's own URLs do not pass through it (Ollama's is usually private); a URL that came with a tenant's
credential does.
"""

from tools.egress.client import client_over, fetch_json, open_client
from tools.egress.network import Resolver
from tools.egress.policy import EgressPolicy
from tools.egress.targets import check_target
from tools.egress.tenants import TenantEgress
from tools.egress.transport import EgressTransport
from tools.egress.urls import parse_url

__all__ = [
    "EgressPolicy",
    "EgressTransport",
    "Resolver",
    "TenantEgress",
    "check_target",
    "client_over",
    "fetch_json",
    "open_client",
    "parse_url",
]
