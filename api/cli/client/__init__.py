"""The commands that talk to a running headrace over HTTP, as its clients do: on this machine or elsewhere."""
