"""The guard that every outgoing request to an address from outside passes: tools, webhooks, key sets, OpenID sign-in.

    policy.py     what is allowed (HEADRACE_EGRESS_ALLOW), and how large and how slow an answer may be
    urls.py       which spellings of a URL are refused before anything is looked up
    addresses.py  which addresses are on the public internet
    network.py    resolves once, has every address admitted, connects to just those
    body.py       counts and unpacks an answer until it is too large or too late
    transport.py  puts them together for httpx2, and for whatever takes a transport of httpx2 (Authlib does)
    client.py     what callers use: `open_client` and `fetch_json`; `parse_url` for addresses that are to be stored

It is built on httpx2, which goes on where httpx ended (0.28.1, 2024): Authlib's client is one of httpx2 wherever that is
installed, and takes no transport of httpx.

Model vendors at the operator's own addresses do not pass it (Ollama's is usually private); an address that came with a tenant's
credential does.
"""

from tools.egress.client import fetch_json, open_client
from tools.egress.network import Resolver
from tools.egress.policy import EgressPolicy
from tools.egress.transport import EgressTransport
from tools.egress.urls import parse_url

__all__ = ["EgressPolicy", "EgressTransport", "Resolver", "fetch_json", "open_client", "parse_url"]
