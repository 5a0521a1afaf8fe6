"""Statements about triggers."""
