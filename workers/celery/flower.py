"""Starts Flower, with the header on every response that keeps browsers from guessing types."""

from typing import Any

from celery import Celery

NOSNIFF = ("X-Content-Type-Options", "nosniff")


def start_flower(app: Celery, *, host: str, port: str) -> None:
    """Serve Flower until SIGINT or SIGTERM, then raise SystemExit or KeyboardInterrupt."""
    add_nosniff_to_static_files()
    app.start(["flower", f"--address={host}", f"--port={port}", "--persistent=False"])


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
