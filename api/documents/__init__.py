"""Documents over HTTP: upload, list, get, update, delete; and the collections that they are in."""
