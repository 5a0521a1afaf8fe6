"""Anthropic's `/v1/messages/batches`: the batches of `api/batches/`, whose requests come in the body and whose results are one
file. What calls the requests, counts them and ends the batch is the same."""
