"""Statements about agents, tools, data sources, pipelines and cached answers."""
