"""What an agent may do: one plain async function a file, with what it needs passed in.

contract.py   what a tool is, what it is told and what it gives back
calling.py    one call, held in bounds: arguments.py reads what the model wrote, errors.py has the sentences
registry.py   which tools there are: builtin/, and plugins from installed packages
parameters.py which JSON Schemas an admin may give to a tool
configured/   tools that are rows and no code
egress/       the guard that every request to the outside passes; http_calls.py asks services for JSON through it
data_source.py, sql_gate.py, sql_reading.py   reading a tenant's own database
jailed.py, children.py, jail.py               work in a child process with limits: algebra/, analysis/, ocr/
"""
