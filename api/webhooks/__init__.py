"""Webhooks: endpoints, their deliveries, and callbacks of single jobs."""
