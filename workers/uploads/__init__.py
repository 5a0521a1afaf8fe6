"""Files that arrive, from a request's body or from addresses, until they are stored: counted, written to disk, checked.

addresses.py   what a job that names addresses says, and what became of them
limits.py      how much may arrive
batch.py       counts what has arrived; lists what was refused
file_sink.py   writes and hashes one file while it arrives
fetch.py       fetches files from addresses
classify.py    media types, zips, names: what becomes a document
store.py       what is new among the files, and storing their bytes
"""
