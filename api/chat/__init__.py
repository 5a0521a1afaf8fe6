"""`POST /api/chat`, and the response modes that every route with an answer shares."""
