"""Taking files in: from a request's body or from URLs, straight to disk, checked, and committed with the job that ingests
them. The routes are in `api/documents/upload/routes.py`.

    limits.py      how much may come
    receiving.py   the body, piece by piece, into a batch
    parts.py       multipart/form-data
    fields.py      what is sent besides the files
    sinks.py       one file, written and hashed while it comes
    batch.py       what has come so far, counted; what was refused
    fetching.py    files from URLs
    intake.py      types, zips, names: what becomes a document and what doesn't
    committing.py  bytes into the storage, the job into the queue
    answering.py   the response
    documentation.py   what the OpenAPI document says of it
"""
