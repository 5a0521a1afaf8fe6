"""Pipelines: named graphs that can be listed, drawn and run; built in, or defined by a tenant as JSON.

definition.py      the JSON as typed steps
templates.py       placeholders: `{{input}}` and `{{steps.NAME.field}}`
topology.py        nodes and edges: what is checked, drawn and compiled
validation.py      whether a definition is valid, and where it is not
mermaid.py, layout.py, svg.py   drawings
builtin.py         the built-in pipelines, as they are drawn
state.py, steps.py, agent_steps.py   how steps run
compile_graph.py   a definition as a LangGraph graph
run.py             a run: from its start, or resumed where another worker was killed
errors.py          what can go wrong in one

The API doesn't load what runs them (`state.py` to `run.py`), which needs LangGraph.
"""
