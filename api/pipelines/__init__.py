"""Pipelines: graphs of steps, built in or a tenant's own. Routes to manage, draw and run them."""
