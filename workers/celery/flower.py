"""Starts Flower, with the header on every response that keeps browsers from guessing types."""

import socket
from typing import Any

from celery import Celery

NOSNIFF = ("X-Content-Type-Options", "nosniff")


def start_flower(app: Celery, *, host: str, port: str) -> None:
    """Serve Flower until SIGINT or SIGTERM, then raise SystemExit or KeyboardInterrupt."""
    add_nosniff_to_static_files()
    app.start(["flower", f"--address={host}", f"--port={port}", "--persistent=False"])


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
