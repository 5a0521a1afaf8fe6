"""Starts Flower, with the header on every response that keeps browsers from guessing types, and without its four warnings that
no worker has answered yet."""

import ipaddress
import logging
import socket
import time
from collections.abc import Callable
from typing import Any

from celery import Celery

from workers.counted_lines import CountedLines

NOSNIFF = ("X-Content-Type-Options", "nosniff")


STARTING_S = 60.0
"""How long workers may take to start beside Flower, which asks each of its questions at its own start."""


class UnansweredFilter(logging.Filter):
    """Keeps back the line for each question that no worker answered: while workers start it says nothing, later one line a
    minute says so for all."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._clock, self._began_at = clock, clock()
        self._lines = CountedLines("workers_not_answering", by="asked_by", clock=clock)

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether the line is logged."""
        if not str(record.msg).startswith("Inspect method"):
            return True
        if self._clock() - self._began_at > STARTING_S:
            self._lines.count("flower")
        return False


COLUMNS = "name,uuid,args,state,exception,received,runtime,worker"
"""Of the list of tasks; the arguments are the path of the job."""


def start_flower(app: Celery, *, host: str, port: str, sign_in: str | None = None) -> None:
    """Serve Flower until SIGINT or SIGTERM, then raise SystemExit or KeyboardInterrupt. `sign_in` is `name:password`, which it
    asks for."""
    add_nosniff_to_static_files()
    remove_metrics()
    logging.getLogger("flower.inspector").addFilter(UnansweredFilter())
    options = [f"--address={host}", f"--port={port}", "--persistent=False", f"--tasks_columns={COLUMNS}"]
    app.start(["flower", *options, *([f"--basic_auth={sign_in}"] if sign_in else [])])


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches what listens there."""
    try:
        return host == "localhost" or ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def is_port_free(host: str, port: int) -> bool:
    """Whether Flower could listen there. Asked before: Flower itself would end with a traceback, and be started again."""
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        with socket.socket(family) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except OSError:
        return False
    return True


def remove_metrics() -> None:
    """Flower shows metrics of its own to whoever asks, without a sign-in; ours are at `/metrics` of the API."""
    from flower.urls import handlers  # loaded only by the process that is Flower

    routes: list[Any] = handlers
    routes[:] = [route for route in routes if not (isinstance(route, tuple) and route[0] == "/metrics")]


def add_nosniff_to_static_files() -> None:
    """Flower sends the header with its pages, but not with its static files, which Tornado serves."""
    from flower.urls import handlers, settings  # loaded only by the process that is Flower
    from tornado.web import StaticFileHandler

    class StaticFiles(StaticFileHandler):
        def set_default_headers(self) -> None:
            self.set_header(*NOSNIFF)

    routes: list[Any] = handlers
    settings["static_handler_class"] = StaticFiles
    for place, route in enumerate(routes):
        if isinstance(route, tuple) and route[1] is StaticFileHandler:
            routes[place] = (route[0], StaticFiles, *route[2:])
