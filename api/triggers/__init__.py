"""Triggers: addresses that start a job from a template."""
