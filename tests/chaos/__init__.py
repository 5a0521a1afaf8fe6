"""Faults on purpose, and one oracle that looks after every case whether a job was lost or done twice.

python -m tests.chaos --quick          what CI runs, at most 4 minutes
python -m tests.chaos --case zombies   one case of the table (`cases.py`)
"""
