"""The certificates that the API serves TLS with: checked, made here, or had from a certificate authority, and renewed in time.

Not here: the rows (`schema/queries/certificates/`), and how a process of the API serves them (`api/tls/`).
"""
