"""Agents with their tools, end to end."""
