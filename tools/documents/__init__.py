"""Documents: reading files. Each is treated as hostile, and opened in a sandboxed child process.

media_types.py, unsupported_types.py   which files are supported, and what is said of the others
reader_pool.py, fork_server.py         the child processes
read_document.py                       what happens in one: type, blocks, chunks, language
formats/                               a reader for each format
zips.py, decoding.py, display_names.py   archives, encodings and names from outside
blocks.py, block_collector.py          what readers find
cleaning.py, tables.py                 text as it is stored, tables as Markdown
chunking.py, boundaries.py             how blocks become chunks, and where text may be cut
"""
