"""Conversations of clients of OpenAI's API, and their items."""
