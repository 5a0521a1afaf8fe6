"""Holds up each packet that this host sends: `python -m tests.chaos.cluster.delay_line ADDRESS SECONDS`, in its namespace.

Routes more exact than that of `eth0` lead the packets into a TUN device; they leave through `eth0` when their time has come.
Prints a line when it works. The device and its routes are gone when the process is.
"""

import fcntl
import os
import select
import socket
import struct
import subprocess
import sys
import time
from collections import deque

TUNSETIFF, IFF_TUN, IFF_NO_PI = 0x400454CA, 0x0001, 0x1000
DEVICE, MTU = "slow0", 1500


def main(address: str, delay_s: float) -> None:
    """Forward until the process is ended."""
    tun = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(tun, TUNSETIFF, struct.pack("16sH", DEVICE.encode(), IFF_TUN | IFF_NO_PI))
    out = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
    out.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"eth0")
    out.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 22)
    net = address.rpartition(".")[0]
    _ip("link", "set", DEVICE, "mtu", str(MTU), "txqueuelen", "10000", "up")
    for half in (f"{net}.0/25", f"{net}.128/25"):
        _ip("route", "add", half, "dev", DEVICE, "src", address)
    print("slow", flush=True)
    waiting = deque[tuple[float, bytes]]()
    while True:
        left_s = waiting[0][0] - time.monotonic() if waiting else None
        if left_s is None or left_s > 0:
            select.select([tun], [], [], left_s)
        _take(tun, waiting, delay_s)
        while waiting and waiting[0][0] <= time.monotonic():
            packet = waiting.popleft()[1]
            out.sendto(packet, (socket.inet_ntoa(packet[16:20]), 0))


def _take(tun: int, waiting: deque[tuple[float, bytes]], delay_s: float) -> None:
    while True:
        try:
            packet = os.read(tun, MTU + 100)
        except BlockingIOError:
            return
        if packet[0] >> 4 == 4:
            waiting.append((time.monotonic() + delay_s, packet))


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True)


if __name__ == "__main__":
    main(sys.argv[1], float(sys.argv[2]))
