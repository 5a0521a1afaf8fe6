"""Uploads: files from a request's body or from URLs are written to disk, checked, and committed with the job that ingests them.

routes.py           the routes, and the order of the steps
receive.py          reads the body, chunk by chunk, into a batch
multipart_parts.py  parses multipart/form-data
fields.py           parses the fields that are sent with the files
commit.py           stores the bytes, submits the job
response.py         builds the response
documentation.py    what the OpenAPI document says about uploads

What workers do as well, for files that a job fetches, is in `workers/uploads/`.
"""
