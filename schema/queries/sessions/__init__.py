"""Statements about sessions, their messages, feedback and memories."""
