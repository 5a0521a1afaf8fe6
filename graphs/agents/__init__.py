"""The graphs that agents run: `react`, `plan_execute`, `supervisor`, `auto`. Read the files in this order.

contract.py        what a run is given: agents, tools, models, the ledger, where events go
state.py           what is remembered from node to node, and so survives a killed worker
emitter.py         how a node reports events, so that they can be replayed
model_call.py      one call of a model
tool_calls.py      tool calls, each made once
prompts.py         what a model is told
output_formats.py  answers in a required format, checked and corrected once
tool_offer.py      which tools are offered, where an agent has more than may be
citations.py       numbers passages, which answers cite
grounding.py       figures and quotations of an answer that nothing before it has
react.py, plan_execute.py, routing.py   the nodes
graphs.py          how the nodes are connected
checkpointer.py    where state is kept, in Postgres
summaries.py       summaries of earlier conversation
spans.py           what is traced
"""
