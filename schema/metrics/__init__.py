"""What every process counts and measures for Prometheus: `catalog.py` names it all, `family.py` is one name with its labels,
`shared_values.py` keeps the values of a process where a kill can't lose them, `exposition.py` reads those of all processes,
`process.py` starts it for one, and `settings.py` says who may read it.
`figures.py` has what Postgres counts by minute and hour, `quantiles.py` percentiles of histograms.

Labels have few values, which our own code makes up: no tenant, user, model, session or id is one (DECISIONS 106).
"""
