"""headrace as its users run it: real processes, real stores, a model stand-in on a real socket; one file per theme."""
