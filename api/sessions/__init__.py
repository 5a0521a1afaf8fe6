"""Conversations: their messages, forks, exports, feedback, and what is remembered about people."""
