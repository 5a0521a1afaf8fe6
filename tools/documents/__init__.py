"""Documents: which files can be read (`media_types.py`), what stands in them (`formats/`), and how that is cut into passages
(`chunking.py`). Hostile files are the ordinary case: they are opened in a child that can do nothing else (`reader.py`)."""
