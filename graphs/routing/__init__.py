"""Routing: which of a tenant's agents answers, several in turn, or plain chat; decided in milliseconds without a model."""
