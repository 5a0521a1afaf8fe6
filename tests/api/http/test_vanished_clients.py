"""Clients that are gone without a word, as behind a cut cable: their connections end all the same."""

import socket

from api.http.connections import notice_vanished_clients


def test_an_accepted_connection_ends_when_nothing_is_acknowledged_for_so_long() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        notice_vanished_clients([listening], within_s=7)
        with socket.create_connection(listening.getsockname()):
            accepted, _ = listening.accept()
            with accepted:
                assert 7000 == accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT)
