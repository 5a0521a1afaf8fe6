"""Ingestion: files become passages that can be searched. Each file has a state, a reason, a time and tries of its own.

    claimed ─► read and cut in a child ─► known texts: vectors copied ─► the others: embedded, drafted batch by batch
            ─► one transaction: the drafts are what is searched, what was searched before is gone            (`files.py`)

A worker that dies leaves drafts: the next reads the file again and embeds only what is missing. Finished files stay finished.
"""
