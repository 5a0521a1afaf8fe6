"""Where the bytes of documents are kept: a folder, or a bucket that speaks S3.

contract.py   what every storage does, and which names it takes
settings.py   which storage is meant (HEADRACE_STORAGE)
opening.py    opens it
incoming.py   files that are not whole yet, of processes that live
disk.py, s3.py
removals.py   removes what nothing refers to any more
"""
