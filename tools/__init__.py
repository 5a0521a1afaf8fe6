"""What an agent may do: one plain async function per file, with its dependencies passed in.

contract.py      what a tool is, what a call is given and what it returns
execution.py     makes one call within limits: arguments.py reads what the model wrote, errors.py is the error tree
registry.py      the list of tools: builtin/, langchain/, and plugins from installed packages
parameter_schema.py  which JSON Schemas an admin may give to a tool
configured/      tools that are rows, not code
egress/          the guard for every outgoing request; http_calls.py requests JSON through it
data_source.py, sql_allowlist.py, sql_reading.py   reading a tenant's own database
run_sandboxed.py, subprocesses.py, sandbox.py      work in a child process with limits: algebra/, analysis/, ocr/
documents/       reading uploaded files
erp/             the demo's business system
"""
