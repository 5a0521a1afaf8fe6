"""Chats without an agent: which messages go to the model, and the one call of it."""
