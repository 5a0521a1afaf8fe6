"""`serve`: the API process alone, as the Procfile and containers run it."""

import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Takes none: its settings come from the environment, see `.env.example`."""


def run(arguments: argparse.Namespace) -> int:
    from api.server import serve

    serve()
    return 0
