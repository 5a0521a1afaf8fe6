"""Statements about files outside of collections."""
