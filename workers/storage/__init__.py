"""Storage for the files of documents: a folder, or an S3-compatible bucket.

contract.py       the interface of every storage, and the names of stored files
settings.py       which storage is used (HEADRACE_STORAGE)
factory.py        opens it
private_files.py  files and folders that only their owner can read
staging.py        temporary folders for files that are still being received
disk.py, s3.py    the implementations
removals.py       deletes files that nothing refers to any more
"""
