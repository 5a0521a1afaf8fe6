"""Documents over HTTP: uploaded, listed, looked at, changed, deleted; and the collections that they are in (A5, A9)."""
