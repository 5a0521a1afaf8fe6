"""Benchmarks of quality: are the answers right?

settings.py   what is to be judged: a model, an agent, the routing or the search
items.py      what a dataset holds
run.py        asks; agents.py, routing.py and passages.py, where it isn't a model
calls.py      one call, within the tenant's limits
answers.py    what was answered, and whether that is right: checks.py by rule, judge.py by a model
outcome.py    what is said of one question
summary.py    adds up
"""
