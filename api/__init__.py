"""The API process and the command line: how the outside world talks to headrace. Imports `workers`, never the reverse."""
