"""The network that the cluster's cases break: what is cut off hears nothing, not even that it is, until it is healed."""

import socket
import time
from collections.abc import Iterator

import pytest

from tests.chaos.cluster.network import Network, why_not

REASON = why_not()
pytestmark = pytest.mark.skipif(REASON is not None, reason=f"no network of namespaces: {REASON}")

Pair = tuple[Network, socket.socket, socket.socket]
NOT_YET = 0.3  # seconds, of which the unbroken network takes less than a thousandth


@pytest.fixture
def pair() -> Iterator[Pair]:
    """A connection between two hosts, and its ends."""
    with Network({"one": "10.18.0.1", "other": "10.18.0.2"}) as network:
        with network.inside("other"):
            listening = socket.create_server(("0.0.0.0", 5000))
        with network.inside("one"):
            near = socket.create_connection(("10.18.0.2", 5000))
        with listening, near:
            far, _ = listening.accept()
            with far:
                yield network, near, far


def hears(ear: socket.socket, mouth: socket.socket, within_s: float) -> bool:
    """Whether what is said at one end comes to the other in time."""
    mouth.sendall(b"?")
    ear.settimeout(within_s)
    try:
        return ear.recv(1) == b"?"
    except TimeoutError:
        return False


@pytest.mark.parametrize("fault", ["cut", "unplugged"])
def test_hosts_that_are_cut_off_hear_nothing_until_it_is_healed(pair: Pair, fault: str) -> None:
    network, near, far = pair
    with network.without("one", "other") if fault == "cut" else network.unplugged("other"):
        assert not hears(far, near, NOT_YET)
        assert not hears(near, far, NOT_YET)
    for end in (near, far):
        end.settimeout(30)
        assert b"?" == end.recv(1)  # the system says it again


def test_one_way_may_be_lost_alone(pair: Pair) -> None:
    network, near, far = pair
    with network.one_way("other", "one"):
        assert hears(far, near, 5)
        assert not hears(near, far, NOT_YET)


def test_answers_of_a_slowed_host_come_later(pair: Pair) -> None:
    network, near, far = pair
    with network.slowed("other", NOT_YET):
        began = time.monotonic()
        assert hears(near, far, 5)
        assert time.monotonic() - began >= NOT_YET
    assert hears(near, far, 5)
