"""Uploads: files from a request's body or from URLs are written to disk, checked, and committed with the job that ingests them.

routes.py           the routes, and the order of the steps
receive.py          reads the body, chunk by chunk, into a batch
multipart_parts.py  parses multipart/form-data
fields.py           parses the fields that are sent with the files
file_sink.py        writes and hashes one file while it arrives
batch.py            counts what has arrived; lists what was refused
fetch.py            fetches files from URLs
classify.py         media types, zips, names: what becomes a document
commit.py           stores the bytes, submits the job
response.py         builds the response
documentation.py    what the OpenAPI document says about uploads
"""
