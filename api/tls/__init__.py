"""TLS of this process: which certificate a handshake gets, the port that it is served at, and what plain HTTP does beside it.

The certificates are rows (`schema/queries/certificates/`); platform admins change them with the routes in `api/certificates/`.
"""
