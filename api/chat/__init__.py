"""`POST /api/chat`, and the response modes that all routes with an answer share (stream, wait, respond-async)."""
