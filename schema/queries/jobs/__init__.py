"""Statements about jobs: submitted, dispatched, claimed, finished, swept."""
