"""The graphs that agents run: `react`, `plan_execute`, `supervisor`, `auto`. Read them in this order.

contract.py    what a run is given: agents, tools, models, the ledger, where events go
state.py       what is remembered from node to node, and so survives a killed worker
telling.py     how a node tells what happens, so that it can be told again
asking.py      one call of a model
tool_calls.py  calls of tools: once each, whatever happens
prompts.py     what a model is told
formats.py     answers of a given form, checked and mended once
react.py, plan_execute.py, routing.py   the nodes
building.py    how they are put together
"""
