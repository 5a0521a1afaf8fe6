"""A small ERP of a made-up trading company: what the demo's tools call, with the caller's own token.

It stands for the business system that a customer brings along, so it is a process of its own that knows headrace only by
the keys its tokens are signed with. The data is made up and fixed (`data.json`); reminders are kept in memory.

    data.json       customers, invoices, shipments, stock
    books.py        what can be asked about them
    reminders.py    the one thing that it does: a reminder, once for each Idempotency-Key
    callers.py      who calls: the JWT's signature, issuer, audience, times and tenant
    service.py      HTTP in, JSON out
    definitions.py  the tools that call it, as rows
    __main__.py     python -m tools.erp --port N --jwks URL --issuer ISSUER
"""
