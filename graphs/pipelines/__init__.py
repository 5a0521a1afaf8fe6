"""Pipelines: named graphs that can be listed, drawn and executed; built in, or written down by a tenant as JSON.

definition.py   the JSON, as typed steps
templates.py    `{{input}}` and `{{steps.NAME.field}}`
topology.py     steps as places and the ways between them: what is checked, drawn and compiled
checking.py     whether a definition is right, and where it is not
mermaid.py, layout.py, svg.py   how one is drawn
builtin.py      the built-in ones, as they are drawn
state.py, steps.py, agent_steps.py   how steps run
compiling.py    a definition as a LangGraph graph
running.py      a run: from its start, or on from where another worker was killed

The API loads all but the last four, which need LangGraph.
"""
