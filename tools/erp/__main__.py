"""Starts the ERP: `python -m tools.erp --port 8099 --jwks URL --issuer ISSUER`; it serves until SIGINT or SIGTERM."""

import argparse
import signal
import sys
import threading

from tools.erp.authentication import KeySetCache
from tools.erp.service import Erp


def main(arguments: list[str]) -> int:
    """Serve; the first line printed is the URL. Returns 0 after SIGINT or SIGTERM."""
    parser = argparse.ArgumentParser(prog="python -m tools.erp", description="The demo's ERP.")
    parser.add_argument("--port", type=int, required=True, help="0 picks a free one")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--jwks", required=True, help="URL of the key set that tokens are signed with")
    parser.add_argument("--issuer", required=True, help="`iss` of the tokens")
    parser.add_argument(
        "--audience", default="", help="`aud` of the tokens; by default the host and port where it answers"
    )
    chosen = parser.parse_args(arguments)
    keys, told = KeySetCache(chosen.jwks), {"issuer": chosen.issuer, "audience": chosen.audience}
    with Erp(keys, port=chosen.port, host=chosen.host, **told) as erp:
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: threading.Thread(target=erp.shutdown).start())
        print(erp.url, flush=True)
        erp.serve_forever(poll_interval=0.1)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
