"""Batches: OpenAI's `/v1/batches`, and the server that calls this API's routes for their lines."""
