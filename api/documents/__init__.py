"""Documents and collections: upload, list, get, search, update, retry, delete, and statistics."""
