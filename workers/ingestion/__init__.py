"""Ingestion: turns files into searchable passages. Each file has its own state, error, deadline and tries.

    claimed ─► read and chunked in a child process ─► known texts: copy vectors ─► others: embed, draft batch by batch
            ─► one transaction: the drafts replace the passages that were searched before                    (`files.py`)

A worker that dies leaves drafts behind: the next one reads the file again and embeds only what is missing. Finished files stay
finished.
"""
