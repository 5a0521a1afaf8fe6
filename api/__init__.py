"""How the world talks to headrace: HTTP in, JSON and SSE out, the console page, the command line."""
