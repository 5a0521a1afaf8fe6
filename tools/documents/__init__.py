"""Documents: which files are supported (`media_types.py`), what is in them (`formats/`), and how that is split into chunks
(`chunking.py`). Every file is treated as hostile: it is opened in a sandboxed child process (`reader_pool.py`)."""
