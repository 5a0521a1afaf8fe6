"""A small ERP of a fictional trading company, which the demo's tools call with a token of the job.

It stands for a customer's business system, so it is a separate process that knows nothing of headrace but the keys its tokens
are signed with. The data is fictional and fixed (`data.json`); reminders are kept in memory.

    data.json          customers, invoices, shipments, stock
    ledger.py          queries on them
    reminders.py       its one action: sends a reminder, once per Idempotency-Key
    authentication.py  checks the JWT's signature, issuer, audience, times and tenant
    service.py         HTTP in, JSON out
    definitions.py     the tools that call it, as rows
    __main__.py        python -m tools.erp --port N --jwks URL --issuer ISSUER
"""
